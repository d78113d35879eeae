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
