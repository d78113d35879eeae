package data

import (
	"image"

	"mien/runtime/face"
)

// Geometry names the way from a crop to a face. Cached faces of another
// geometry are not used, and checkpoints say of which theirs were: change it
// when runtime/face finds, levels or frames otherwise. The faces of "face-1"
// were found by pigo's cascade, those of "face-2" by the network; those of "face-3"
// have their eyes from the eye net too, and are levelled altogether where it is sure.
const Geometry = "face-3"

// GeometryOf names the way of faces that were levelled so.
func GeometryOf(l face.Levelling) string {
	if l == face.AsBoards {
		return Geometry
	}
	return Geometry + " levelling " + string(l)
}

// thumb writes the mean grey of thumbSide x thumbSide cells of img: it tells
// duplicates, whatever the geometry of faces.
func thumb(dst []byte, img *image.Gray) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	for ty := range thumbSide {
		y0 := ty * h / thumbSide
		y1 := max((ty+1)*h/thumbSide, y0+1)
		for tx := range thumbSide {
			x0 := tx * w / thumbSide
			x1 := max((tx+1)*w/thumbSide, x0+1)
			sum := 0
			for y := y0; y < y1; y++ {
				for _, v := range img.Pix[y*img.Stride+x0 : y*img.Stride+x1] {
					sum += int(v)
				}
			}
			dst[ty*thumbSide+tx] = uint8(sum / ((y1 - y0) * (x1 - x0)))
		}
	}
}
