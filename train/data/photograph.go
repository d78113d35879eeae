package data

import (
	"image"
	"math"

	"mien/runtime/face"
)

// Where the face that a photograph is about stands: its middle at most
// offCentre of the photograph's sides from the photograph's, and its side above
// leastPart of the width. Other faces are other people's.
const (
	offCentre = 0.15
	leastPart = 0.2
)

// find writes the face that a photograph is about into w.face, found and framed
// as on a board, and reports whether there is one.
func (w *preparer) find(img *image.Gray) (bool, error) {
	if w.board == nil {
		var err error
		if w.board, err = face.NewDetector(face.Options{}); err != nil {
			return false, err
		}
	}
	var best face.Face
	for _, f := range w.board.Detect(img, nil) {
		if central(f.Box, img.Rect) && f.Box.Dx() > best.Box.Dx() {
			best = f
		}
	}
	if best.Box.Empty() {
		return false, nil
	}
	face.Align(w.face, img, best)
	return true, nil
}

func central(box, whole image.Rectangle) bool {
	part := func(lo, hi, from, to int) float64 { return (float64(lo+hi)/2-float64(from))/float64(to-from) - 0.5 }
	x := part(box.Min.X, box.Max.X, whole.Min.X, whole.Max.X)
	y := part(box.Min.Y, box.Max.Y, whole.Min.Y, whole.Max.Y)
	return math.Hypot(x, y) < offCentre && float64(box.Dx()) > leastPart*float64(whole.Dx())
}
