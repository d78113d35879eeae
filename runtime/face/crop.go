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
	// Whole is a picture that is framed already: none is looked for in it.
	Whole
)

// cropLook is the side of the look at a crop, as a share of its side. Wider
// looks see more of the border, which goes on around the crop, and the network
// then takes faces for smaller than they are: at 2 by 2.5 %, at 3 by 6 %.
const cropLook = 2

// likely is the score from which something in the middle of a crop is its face:
// a crop is known to have one, so that as likely as not is enough.
const likely = 0

// UTKFace's crops as boxes see them: medians of BenchmarkFraming.
const (
	utkBox = 1.086 // side of a box, as a share of the crop
	utkX   = 0.480 // its centre
	utkY   = 0.381
)

// Cropper frames the pictures of data sets, with the finder and the eyes of a
// board. It keeps its working memory and serves one goroutine at a time.
type Cropper struct {
	Levelling Levelling
	d         *Detector
}

// NewCropper returns a cropper with the network and the cascade of this package.
func NewCropper() (*Cropper, error) {
	d, err := NewDetector(Options{Finder: Network, MinSize: smallest})
	if err != nil {
		return nil, err
	}
	return &Cropper{d: d}, nil
}

// FromCrop writes the face of src, a picture that is already a face, into dst,
// which is model.Side pixels wide and high: in the same geometry as Align. It
// reports whether a face was found; dst is filled either way.
func (c *Cropper) FromCrop(dst, src *image.Gray, kind Crop) bool {
	w, h := float64(src.Rect.Dx()), float64(src.Rect.Dy())
	crop := frame{x: (w - 1) / 2, y: (h - 1) / 2, side: min(w, h)}
	if kind == Whole {
		sample(dst, src, crop)
		return true
	}
	on := kind.usual(crop)
	f, found := c.find(src, crop)
	switch {
	case found && kind == Fer:
		on.turn = c.Levelling.turn(&f, src)
		dy, dx := turnOf(on.turn).by(on.y-crop.y, 0)
		on.x, on.y = crop.x+dx, crop.y+dy
	case found:
		on = frameOf(f, src.Rect.Min)
		on.turn = c.Levelling.turn(&f, src)
	}
	sample(dst, src, on)
	return found
}

// usual returns the model's frame of a crop as it is framed as a rule.
func (kind Crop) usual(crop frame) frame {
	if kind == Fer {
		return frame{x: crop.x, y: crop.y - ferRise*crop.side, side: ferSide * crop.side}
	}
	box := utkBox * crop.side
	return frame{x: crop.x + (utkX-0.5)*crop.side + boxDX*box, y: crop.y + (utkY-0.5)*crop.side + boxDY*box, side: boxSide * box}
}

// find returns the face that a crop is about: the likeliest whose middle is
// near the crop's. One look is enough, since it is one from close by.
func (c *Cropper) find(src *image.Gray, crop frame) (f Face, ok bool) {
	look := crop
	look.side *= cropLook
	for _, s := range c.d.net.look(src, look, likely) {
		if math.Hypot(s.x-crop.x, s.y-crop.y) < crop.side/3 {
			return c.d.eyes(src, &s, s.window()), true
		}
	}
	return Face{}, false
}
