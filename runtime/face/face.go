// Package face finds faces in grey pictures and makes the model's input of
// them. The trainer and the firmware share it, so that a face is framed in
// training as it is on the board.
//
// There are two finders. The network is BlazeFace of short range (Bazarevsky et
// al., arXiv 1907.05047), run by this project's own engine: it finds faces of
// every skin and age, with glasses, caps and tilts, and says about where the
// eyes are. network/README.md has where it is from and what it cannot see. A net
// of our own then says where the eyes are, and how sure it is: eyes/README.md.
//
// The other finder and the pupil localiser, which serves both, are those of Markus et al., "Object
// detection with pixel intensity comparisons organized in decision trees"
// (arXiv 1305.4537) and "Eye pupil localization with an ensemble of randomized
// trees" (Pattern Recognition 47, 2014), with the cascades that
// github.com/esimov/pigo carries. The cascades are run by code of our own:
// pigo allocates on every call, draws its perturbations from the global
// random source, panics on a cut cascade and mistakes rows for columns when
// the window is rotated. pigo is the oracle of the tests, which demand the same
// windows with the same scores.
//
// Everything here is deterministic: the same pixels give the same faces.
package face

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
)

// Point is a place in a picture, in pixels: the centre of the top left pixel
// is at 0,0 of a picture whose Rect begins there.
type Point struct{ X, Y float64 }

// Face is a face in a picture.
type Face struct {
	Box         image.Rectangle // square, from the brows to the chin; may reach over the border when the face is tilted
	Score       float32         // how sure the finder is of the place and of its surroundings; half of all faces are above 7
	Left, Right Point           // pupils; Left is the one at the smaller x
	Eyes        bool            // both pupils were found where eyes can be
	Angle       float64         // its tilt as the detector sees it, degrees, clockwise positive; coarse
	Doubt       float64         // standard deviation of Tilt, degrees, by the eye net's own word; 0 where it was not asked
}

// Tilt returns the tilt of the line through the eyes in degrees, clockwise
// positive; without eyes there is nothing to measure it by, and it is 0.
func (f *Face) Tilt() float64 {
	if !f.Eyes {
		return 0
	}
	return math.Atan2(f.Right.Y-f.Left.Y, f.Right.X-f.Left.X) * 180 / math.Pi
}

// Finder says what finds faces.
type Finder string

// The finders. Pupils are pigo's with both.
const (
	Auto    Finder = "auto"    // the better of the others; "" means it too
	Network Finder = "network" // BlazeFace, run by this project's own engine
	Pigo    Finder = "pigo"    // pigo's cascade
)

// Finders are the names of all finders.
func Finders() []string { return []string{string(Auto), string(Network), string(Pigo)} }

// best is the finder that Auto stands for.
const best = Network

// Options of a Detector. The zero value suits a camera of 640x480.
type Options struct {
	Finder Finder // "" means Auto
	// Live says that pictures are frames of one camera, one after the other: the
	// network then looks at a part of each, so that every frame costs the same,
	// and Looked says where. Without it all of a picture is looked at at once.
	Live     bool
	MinSize  int       // smallest box in pixels; 0 means the finder's own: 36 of the network, 60 of pigo
	MaxSize  int       // largest box in pixels; 0 means as large as the picture allows
	Grow     float64   // ratio between one window size and the next; 0 means 1.1; pigo alone
	Step     float64   // distance between windows as a share of their size; 0 means 0.1; pigo alone
	MinScore float32   // of a face; 0 means the default, DefaultScore
	Angles   []float64 // tilts to look for besides upright, degrees, clockwise positive, within +-90; each costs as much time as upright; pigo alone, the network sees tilts to 40 degrees
	MaxFaces int       // 0 means 16
}

// DefaultScore is the lowest score of a face unless Options say otherwise.
const DefaultScore = 0.4

// SureScore is the score from which a face may be believed to be one when it
// is seen again and again. Of 320 pictures of noise, blurred over 2 to 14
// pixels, 284 had faces of at least DefaultScore in them, 15 of at least
// SureScore, and those were blurred every one; of 177 photographs of people
// whose face was found 147 reach it.
const SureScore = 2

// blind is how many times as much a face needs whose eyes were not found: few
// faces and many false ones are like that.
const blind = 3

// Check says what is wrong with o.
func (o Options) Check() error {
	_, err := o.defaults()
	return err
}

func (o Options) defaults() (Options, error) {
	if o.Finder == "" || o.Finder == Auto {
		o.Finder = best
	}
	if o.MinSize == 0 {
		o.MinSize = 60
		if o.Finder == Network {
			o.MinSize = 36
		}
	}
	if o.Grow == 0 {
		o.Grow = 1.1
	}
	if o.Step == 0 {
		o.Step = 0.1
	}
	if o.MinScore == 0 {
		o.MinScore = DefaultScore
	}
	if o.MaxFaces == 0 {
		o.MaxFaces = 16
	}
	switch {
	case !slices.Contains(Finders(), string(o.Finder)):
		return o, fmt.Errorf("face: no finder %q: want one of %s", o.Finder, strings.Join(Finders(), ", "))
	case o.MinSize < smallest:
		return o, fmt.Errorf("face: smallest size %d pixels: the detector sees nothing below %d", o.MinSize, smallest)
	case o.MaxSize != 0 && o.MaxSize < o.MinSize:
		return o, fmt.Errorf("face: largest size %d pixels is below the smallest, %d", o.MaxSize, o.MinSize)
	case !(o.Grow > 1 && o.Grow <= 2):
		return o, fmt.Errorf("face: window sizes grow by %g: want above 1 and at most 2", o.Grow)
	case !(o.Step > 0 && o.Step <= 1):
		return o, fmt.Errorf("face: windows are %g of their size apart: want above 0 and at most 1", o.Step)
	case o.MaxFaces < 0:
		return o, fmt.Errorf("face: at most %d faces: want a positive number", o.MaxFaces)
	}
	for _, a := range o.Angles {
		if !(a >= -90 && a <= 90) {
			return o, fmt.Errorf("face: angle %g degrees: want -90 to 90", a)
		}
	}
	return o, nil
}

// smallest is the smallest window: below it the cascade compares pixels with
// themselves.
const smallest = 20

// Detector finds faces. It keeps its working memory from picture to picture
// and serves one goroutine at a time.
type Detector struct {
	o      Options
	pupils *pupils
	// of pigo's finder:
	finder *finder
	angles []float64 // o.Angles and upright, upright first
	tables []*table  // for the last picture's stride
	hits   []window
	picked []window
	// of the network:
	net    *network
	eyeNet *eyeNet
	views  []frame     // to look at in a picture of size viewed
	viewed image.Point // size of the last picture
	corner image.Point // and where it begins
	places []place
	spread spread
	watch  watch
}

// NewDetector returns a detector with the cascades and the network of this
// package.
func NewDetector(o Options) (*Detector, error) {
	o, err := o.defaults()
	if err != nil {
		return nil, err
	}
	d := &Detector{o: o}
	if d.pupils, err = parsePupils(pupilFile); err != nil {
		return nil, err
	}
	if o.Finder == Network {
		if d.net, err = newNetwork(networkFile); err != nil {
			return nil, err
		}
		d.eyeNet, err = newEyeNet(eyeFile)
		return d, err
	}
	if d.finder, err = parseFinder(finderFile); err != nil {
		return nil, err
	}
	d.angles = []float64{0}
	for _, a := range o.Angles {
		if !slices.Contains(d.angles, a) {
			d.angles = append(d.angles, a)
		}
	}
	return d, nil
}

// Finder returns what finds the faces: never Auto.
func (d *Detector) Finder() Finder { return d.o.Finder }

// Detect appends the faces of img to faces, the largest first. A picture
// smaller than a face has none. After the first picture of a size it allocates
// only when faces must grow.
func (d *Detector) Detect(img *image.Gray, faces []Face) []Face {
	if d.net != nil {
		return d.detect(img, faces)
	}
	d.find(img)
	n := len(faces)
	for _, w := range d.picked {
		if len(faces)-n == d.o.MaxFaces {
			break
		}
		if f := d.face(img, w); f.Eyes || f.Score >= blind*d.o.MinScore {
			faces = append(faces, f)
		}
	}
	return faces
}

// Looked tells whether the last Detect would have seen a face that is in box,
// if it is still there or near.
func (d *Detector) Looked(box image.Rectangle) bool {
	return d.net == nil || !d.o.Live || d.spread.sees(box.Sub(d.corner))
}

// find leaves the faces of img in d.picked, the largest first.
func (d *Detector) find(img *image.Gray) {
	d.hits = d.hits[:0]
	for _, a := range d.angles {
		d.hits = d.scan(img, a, d.hits)
	}
	d.picked = cluster(d.hits, d.picked[:0])
	keep := d.picked[:0]
	for _, w := range d.picked {
		if w.score < promising {
			continue
		}
		if w = d.look(img, w); w.score >= d.o.MinScore {
			keep = append(keep, w)
		}
	}
	d.picked = apart(keep)
	slices.SortFunc(d.picked, func(a, b window) int {
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(b.score, a.score), cmp.Compare(a.row, b.row), cmp.Compare(a.col, b.col))
	})
}

// face measures the eyes of a window and puts it into the picture's own
// coordinates.
func (d *Detector) face(img *image.Gray, w window) Face {
	f := Face{Score: w.score, Angle: w.angle}
	f.Left, f.Right, f.Eyes = d.pupils.eyes(img, w)
	f.settle(img, w)
	return f
}

// settle puts a face and its window into the picture's own coordinates.
func (f *Face) settle(img *image.Gray, w window) {
	off := img.Rect.Min
	x, y, s := int(w.col-w.size/2+0.5), int(w.row-w.size/2+0.5), int(w.size+0.5)
	f.Box = image.Rect(x, y, x+s, y+s).Add(off)
	f.Left.X, f.Left.Y = f.Left.X+float64(off.X), f.Left.Y+float64(off.Y)
	f.Right.X, f.Right.Y = f.Right.X+float64(off.X), f.Right.Y+float64(off.Y)
	if !f.Eyes {
		f.Left, f.Right = Point{}, Point{}
	}
}
