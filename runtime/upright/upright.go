// Package upright turns pictures the right way up: as a camera is mounted, or
// as the EXIF data of a file say.
package upright

import (
	"fmt"
	"image"
)

// Turn is how a picture has to be turned to be upright.
type Turn struct {
	Degrees int  // clockwise: 0, 90, 180 or 270
	Mirror  bool // then left and right are swapped
}

// Check refuses angles that are none of the four.
func (t Turn) Check() error {
	if t.Degrees%90 != 0 || t.Degrees < 0 || t.Degrees > 270 {
		return fmt.Errorf("upright: a picture is turned by 0, 90, 180 or 270 degrees, not by %d", t.Degrees)
	}
	return nil
}

// Size returns the size of a picture of w by h pixels when it is turned.
func (t Turn) Size(w, h int) (int, int) {
	if t.Degrees%180 == 90 {
		return h, w
	}
	return w, h
}

// Gray turns src into dst, whose bounds have to be of the turned size. They
// share no memory.
func (t Turn) Gray(dst, src *image.Gray) {
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	from, right, down := t.walk(src)
	// Squares of 32 pixels stay in the cache however the rows lie.
	const tile = 32
	for y0 := 0; y0 < h; y0 += tile {
		for x0 := 0; x0 < w; x0 += tile {
			for y := y0; y < min(y0+tile, h); y++ {
				out := dst.Pix[y*dst.Stride+x0 : y*dst.Stride+min(x0+tile, w)]
				at := from + y*down + x0*right
				for i := range out {
					out[i] = src.Pix[at]
					at += right
				}
			}
		}
	}
}

// walk says where in src the turned picture's first pixel is, and how far it is
// from one pixel to the next to the right, and below.
func (t Turn) walk(src *image.Gray) (from, right, down int) {
	w, h, s := src.Rect.Dx(), src.Rect.Dy(), src.Stride
	switch t.Degrees {
	case 90:
		from, right, down = (h-1)*s, -s, 1
	case 180:
		from, right, down = (h-1)*s+w-1, -1, -s
	case 270:
		from, right, down = w-1, s, -1
	default:
		from, right, down = 0, 1, s
	}
	if t.Mirror {
		width, _ := t.Size(w, h)
		from, right = from+(width-1)*right, -right
	}
	return from, right, down
}

// Image returns img turned. Its colours are those of img.
func (t Turn) Image(img image.Image) image.Image {
	if t == (Turn{}) {
		return img
	}
	b := img.Bounds()
	if g, ok := img.(*image.Gray); ok {
		w, h := t.Size(b.Dx(), b.Dy())
		out := image.NewGray(image.Rect(0, 0, w, h))
		if w > 0 && h > 0 {
			src := *g
			src.Pix = g.Pix[g.PixOffset(b.Min.X, b.Min.Y):]
			t.Gray(out, &src)
		}
		return out
	}
	w, h := t.Size(b.Dx(), b.Dy())
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sx, sy := t.source(x, y, b.Dx(), b.Dy())
			out.Set(x, y, img.At(b.Min.X+sx, b.Min.Y+sy))
		}
	}
	return out
}

// source returns the place in a picture of w by h pixels that is at x, y when
// it is turned.
func (t Turn) source(x, y, w, h int) (int, int) {
	if t.Mirror {
		width, _ := t.Size(w, h)
		x = width - 1 - x
	}
	switch t.Degrees {
	case 90:
		return y, h - 1 - x
	case 180:
		return w - 1 - x, h - 1 - y
	case 270:
		return w - 1 - y, x
	}
	return x, y
}
