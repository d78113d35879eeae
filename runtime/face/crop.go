package face

import (
	"image"
	"math"
)

// Crop says how the pictures of a data set are framed.
type Crop int

const (
	// Fer is FER-2013's framing: what the model sees, and a little more. The
	// picture is levelled, if a face is found in it, and keeps its place and size.
	Fer Crop = iota
	// Loose is any picture with one face in it that fills most of it: the face
	// is found, and framed as a camera's would be. Where none is found, the
	// picture is taken to be framed as UTKFace's crops are.
	Loose
)

// A crop is laid on a canvas of twice its side, its border going on around
// it: boxes are often larger than crops, and the finder wants all of a window.
const (
	cropSide   = 96
	canvasSide = 2 * cropSide
	cropStart  = (canvasSide - cropSide) / 2
)

// UTKFace's crops as boxes see them: medians of BenchmarkFraming.
const (
	utkBox = 1.086 // side of a box, as a share of the crop
	utkX   = 0.480 // its centre
	utkY   = 0.381
)

// Cropper frames the pictures of data sets. It keeps its working memory and
// serves one goroutine at a time.
type Cropper struct {
	d      *Detector
	canvas *image.Gray
}

// NewCropper returns a cropper with the cascades of this package.
func NewCropper() (*Cropper, error) {
	d, err := NewDetector(Options{
		Finder: Pigo, MinSize: cropSide * 6 / 10, MaxSize: cropSide * 15 / 10, Grow: 1.07, Step: 0.06,
	})
	if err != nil {
		return nil, err
	}
	return &Cropper{d, image.NewGray(image.Rect(0, 0, canvasSide, canvasSide))}, nil
}

// FromCrop writes the face of src, a picture that is already a face, into dst,
// which is model.Side pixels wide and high: in the same geometry as Align. It
// reports whether a face was found; dst is filled either way.
func (c *Cropper) FromCrop(dst, src *image.Gray, kind Crop) bool {
	w, h := float64(src.Rect.Dx()), float64(src.Rect.Dy())
	side := min(w, h)
	// The canvas holds the middle square of src, at the scale of cropSide.
	sample(c.canvas, src, frame{x: (w - 1) / 2, y: (h - 1) / 2, side: side * canvasSide / cropSide})
	win, found := c.pick()
	f := Face{Box: expected(kind)}
	if found {
		f = c.d.face(c.canvas, win)
	}
	on := frameOf(f, image.Point{})
	if kind == Fer {
		dy, dx := turnOf(level(f.Tilt())).by(-ferRise*cropSide, 0)
		mid := float64(canvasSide-1) / 2
		on.x, on.y, on.side = mid+dx, mid+dy, ferSide*cropSide
	}
	// From the canvas back to src.
	k := side / cropSide
	back := func(v, n float64) float64 { return (v+0.5-canvasSide/2)*k + n/2 - 0.5 }
	sample(dst, src, frame{x: back(on.x, w), y: back(on.y, h), side: on.side * k, turn: on.turn})
	return found
}

// expected returns where a box is on the canvas as a rule.
func expected(kind Crop) image.Rectangle {
	side, x, y := utkBox, utkX, utkY
	if kind == Fer {
		side, x, y = ferBox, ferX, ferY
	}
	s := int(side*cropSide + 0.5)
	left, top := int(cropStart+x*cropSide-float64(s)/2+0.5), int(cropStart+y*cropSide-float64(s)/2+0.5)
	return image.Rect(left, top, left+s, top+s)
}

// pick returns the face that the crop is about: the one with the best score
// whose centre is near the crop's.
func (c *Cropper) pick() (best window, ok bool) {
	c.d.find(c.canvas)
	for _, w := range c.d.picked {
		if math.Hypot(w.row-canvasSide/2, w.col-canvasSide/2) > cropSide/3 {
			continue
		}
		if w.score > best.score {
			best, ok = w, true
		}
	}
	return best, ok
}
