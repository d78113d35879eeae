package data

import (
	"image"

	"mien/runtime/model"
)

// geometry names the way from a crop to a face. Cached faces of another
// geometry are not used.
const geometry = "resize-1"

func newFace() *image.Gray { return image.NewGray(image.Rect(0, 0, model.Side, model.Side)) }

// fromCrop makes the model's input from a picture that is already a face.
func fromCrop(dst, src *image.Gray, kind string) { resize(dst, src) }

// resize scales src to dst, bilinear between pixel centres.
func resize(dst, src *image.Gray) {
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	sw, sh := src.Rect.Dx(), src.Rect.Dy()
	for y := range h {
		y0, y1, fy := tap(y, h, sh)
		for x := range w {
			x0, x1, fx := tap(x, w, sw)
			a, b := float32(src.Pix[y0*src.Stride+x0]), float32(src.Pix[y0*src.Stride+x1])
			c, d := float32(src.Pix[y1*src.Stride+x0]), float32(src.Pix[y1*src.Stride+x1])
			top, bottom := a+(b-a)*fx, c+(d-c)*fx
			dst.Pix[y*dst.Stride+x] = uint8(top + (bottom-top)*fy + 0.5)
		}
	}
}

// tap returns the two source pixels around pixel i of n and their mix.
func tap(i, n, src int) (lo, hi int, mix float32) {
	p := (float32(i)+0.5)*float32(src)/float32(n) - 0.5
	p = min(max(p, 0), float32(src-1))
	lo = int(p)
	return lo, min(lo+1, src-1), p - float32(lo)
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
