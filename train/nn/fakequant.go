package nn

import "math"

// fakeQuant gives each value that int8 of a scale and zero point would make of
// it. Its gradient is the straight-through one (Bengio et al. 2013): 1 where
// the value fits, 0 where it is clipped.
type fakeQuant struct {
	in, out       *tensor
	scale, lo, hi float32 // the limits are in units of scale, from the zero point
	work          *workers
	fwd, bwd      func(worker, i int)
}

func newFakeQuant(in, out *tensor, scale float32, zero int, work *workers) *fakeQuant {
	f := &fakeQuant{in: in, out: out, scale: scale, lo: float32(-128 - zero), hi: float32(127 - zero), work: work}
	f.fwd, f.bwd = f.forwardImage, f.backwardImage
	return f
}

func (f *fakeQuant) forward(p *pass) { f.work.run(p.n, f.fwd) }

func (f *fakeQuant) backward(p *pass) {
	if f.in.grad != nil {
		f.work.run(p.n, f.bwd)
	}
}

func (f *fakeQuant) forwardImage(_, i int) {
	out := f.out.image(i)
	for k, x := range f.in.image(i) {
		q := float32(math.Round(float64(x / f.scale)))
		out[k] = min(max(q, f.lo), f.hi) * f.scale
	}
}

func (f *fakeQuant) backwardImage(_, i int) {
	to, from := f.in.imageGrad(i), f.out.imageGrad(i)
	for k, x := range f.in.image(i) {
		g := float32(0)
		if q := x / f.scale; q >= f.lo-0.5 && q <= f.hi+0.5 {
			g = from[k]
		}
		to[k] = g
	}
}
