package nn

// geometry is how a window moves over a picture.
type geometry struct {
	k, stride  int
	padY, padX int // rows above and columns to the left; the rest is at the end
	h, w       int // of the output
}

// same pads as TFLite's SAME does: the output is the input over the stride,
// rounded up, and an odd pixel of padding goes to the end.
func same(in *tensor, k, stride int) geometry {
	g := geometry{k: k, stride: stride}
	g.h, g.padY = samePad(in.h, k, stride)
	g.w, g.padX = samePad(in.w, k, stride)
	return g
}

func samePad(in, k, stride int) (out, before int) {
	out = (in + stride - 1) / stride
	return out, max((out-1)*stride+k-in, 0) / 2
}

// valid does not pad.
func valid(in *tensor, k, stride int) geometry {
	return geometry{k: k, stride: stride, h: (in.h-k)/stride + 1, w: (in.w-k)/stride + 1}
}

// windows visits every row of every window of n output rows from r on: where
// it is among the windows and in the picture, and how many of its values are
// before, inside and after the picture.
func (g geometry) windows(in *tensor, r, n int, f func(at, from, before, inside, after int)) {
	k, ci, at := g.k, in.c, 0
	for oy := r; oy < min(r+n, g.h); oy++ {
		for ox := range g.w {
			x := ox*g.stride - g.padX
			before, after := max(0, -x), max(0, x+k-in.w)
			for ky := range k {
				if y := oy*g.stride + ky - g.padY; y >= 0 && y < in.h {
					f(at, (y*in.w+x+before)*ci, before*ci, (k-before-after)*ci, after*ci)
				} else {
					f(at, 0, k*ci, 0, 0)
				}
				at += k * ci
			}
		}
	}
}
