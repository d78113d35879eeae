package face

import (
	"fmt"
	"hash/fnv"
	"image"
	"slices"
)

// Levelling says how a Cropper levels faces. Boards have one way; the others are
// for experiments, which ask what levelling is worth.
type Levelling string

// The ways.
const (
	AsBoards   Levelling = ""
	Unlevelled Levelling = "none"
	// HaarEyes levels as widespread scripts do, by the first two eyes that
	// OpenCV's haarcascade_eye.xml finds: by the tilt and an error drawn from
	// those that it made on marked faces. HaarEyesCapped turns by MaxLevel at most.
	HaarEyes       Levelling = "opencv"
	HaarEyesCapped Levelling = "opencv-10"
)

// Levellings returns the ways that are not boards'.
func Levellings() []Levelling { return []Levelling{Unlevelled, HaarEyes, HaarEyesCapped} }

// Check refuses a way that there is not.
func (l Levelling) Check() error {
	if l == AsBoards || slices.Contains(Levellings(), l) {
		return nil
	}
	return fmt.Errorf("there is no levelling %q (there are %v)", string(l), Levellings())
}

// What OpenCV 4.6.0's haarcascade_eye.xml, with detectMultiScale's own settings,
// made of 421 faces of the set of Sun, Wang and Tang 2013, 240 pixels wide with
// some 45 between the eyes: in 15% no two eyes; in the others the tilt through the
// middles of the first two was off by so much, in degrees, the middles of tenths.
const haarBlind = 0.15

var haarErrors = [...]float64{-67.2, -31.5, -2.7, -1.1, -0.1, 0.7, 1.6, 3.0, 33.8, 72.8}

// turn returns by how much to turn the face of src, in degrees. Errors are the
// same for the same picture.
func (l Levelling) turn(f *Face, src *image.Gray) float64 {
	switch l {
	case Unlevelled:
		return 0
	case HaarEyes:
		return haarTurn(f, src)
	case HaarEyesCapped:
		return min(max(haarTurn(f, src), -MaxLevel), MaxLevel)
	}
	return f.level()
}

func haarTurn(f *Face, src *image.Gray) float64 {
	h := fnv.New64a()
	for y := range src.Rect.Dy() {
		h.Write(src.Pix[y*src.Stride:][:src.Rect.Dx()])
	}
	draw := float64(h.Sum64()>>11) / (1 << 53)
	if draw < haarBlind {
		return 0
	}
	return f.Tilt() + haarErrors[int((draw-haarBlind)/(1-haarBlind)*float64(len(haarErrors)))]
}
