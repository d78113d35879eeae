package mjpeg

import "mien/camera"

// cos(k pi/16)/2, times 8192.
const (
	c1 = 4017
	c2 = 3784
	c3 = 3406
	c4 = 2896
	c5 = 2276
	c6 = 1567
	c7 = 799
)

// one is the inverse transform of eight numbers, times 8192: even and odd
// coefficients apart, for the second half of the output differs from the first
// only in the sign of the odd ones.
func one(x0, x1, x2, x3, x4, x5, x6, x7 int32) (y0, y1, y2, y3, y4, y5, y6, y7 int32) {
	a, b := c4*(x0+x4), c4*(x0-x4)
	c, d := c2*x2+c6*x6, c6*x2-c2*x6
	e0, e1, e2, e3 := a+c, b+d, b-d, a-c
	o0 := c1*x1 + c3*x3 + c5*x5 + c7*x7
	o1 := c3*x1 - c7*x3 - c1*x5 - c5*x7
	o2 := c5*x1 - c1*x3 + c7*x5 + c3*x7
	o3 := c7*x1 - c5*x3 + c3*x5 - c1*x7
	return e0 + o0, e1 + o1, e2 + o2, e3 + o3, e3 - o3, e2 - o2, e1 - o1, e0 - o0
}

// idct turns a block of coefficients into pixels of f, whose upper left corner
// is at x, y; those beyond the picture's edge are left out. Damaged pictures
// may overflow, to wrong pixels and no worse.
func idct(b *[64]int32, f *camera.Frame, x, y int) {
	w, h := min(8, f.Rect.Dx()-x), min(8, f.Rect.Dy()-y)
	if w <= 0 || h <= 0 {
		return
	}
	// Rows first, leaving three more bits than a pixel needs.
	const up = 10
	for i := 0; i < 64; i += 8 {
		r := (*[8]int32)(b[i:])
		if r[1]|r[2]|r[3]|r[4]|r[5]|r[6]|r[7] == 0 {
			v := (c4*r[0] + 1<<(up-1)) >> up
			*r = [8]int32{v, v, v, v, v, v, v, v}
			continue
		}
		r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7] = one(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		for k := range r {
			r[k] = (r[k] + 1<<(up-1)) >> up
		}
	}
	for k := range w {
		var p [8]int32
		p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7] = one(b[k], b[8+k], b[16+k], b[24+k], b[32+k], b[40+k], b[48+k], b[56+k])
		at := y*f.Stride + x + k
		for i := range h {
			v := (p[i]+1<<15)>>16 + 128
			if uint32(v) > 255 {
				v = ^v >> 31 & 255
			}
			f.Pix[at] = uint8(v)
			at += f.Stride
		}
	}
}
