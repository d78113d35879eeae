package portable

import (
	"math"

	"mien/runtime/portable/internal/kernel"
)

// chain is what happens to every piece of a step's output, in order. A chain
// is all int8 or all float32.
type chain struct {
	int8s    []passInt8
	float32s []passFloat32
}

// passInt8 computes dst from src, which are whole pixels of a tensor, or the
// channels from c0 on of one pixel. They may be the same slice.
type passInt8 interface {
	apply(w *worker, dst, src []int8, c0 int)
}

// passFloat32 is passInt8 for float32.
type passFloat32 interface {
	apply(w *worker, dst, src []float32, c0 int)
}

func (c *chain) add(d chain) {
	c.int8s = append(c.int8s, d.int8s...)
	c.float32s = append(c.float32s, d.float32s...)
}

// int8 runs the passes over values in place.
func (c *chain) int8(w *worker, v []int8, c0 int) {
	for _, p := range c.int8s {
		p.apply(w, v, v, c0)
	}
}

func (c *chain) float32(w *worker, v []float32, c0 int) {
	for _, p := range c.float32s {
		p.apply(w, v, v, c0)
	}
}

// each is a chain as a step of its own.
type each struct {
	node
	pixels, channels int
}

func (e *each) cost() int { return e.pixels * e.channels * 8 }

func (e *each) most() int { return e.pixels }

func (e *each) run(w *worker, part, parts int) {
	lo, hi := share(e.pixels, part, parts)
	lo, hi = lo*e.channels, hi*e.channels
	if len(e.then.int8s) > 0 {
		src, dst := w.i8(e.reads[0])[lo:hi], w.i8(e.out)[lo:hi]
		for _, p := range e.then.int8s {
			p.apply(w, dst, src, 0)
			src = dst
		}
		return
	}
	src, dst := w.f32(e.reads[0])[lo:hi], w.f32(e.out)[lo:hi]
	for _, p := range e.then.float32s {
		p.apply(w, dst, src, 0)
		src = dst
	}
}

// lookup is any function of one int8.
type lookup struct{ table *[256]int8 }

func (l lookup) apply(w *worker, dst, src []int8, _ int) { w.set.Lookup(dst, src, l.table) }

// affineInt8 is a depthwise 1x1 convolution: a factor and a bias per channel.
type affineInt8 struct {
	channels int
	w        []int32 // filled up with zeros, as epilogue is
	epilogue *kernel.Epilogue
}

func (a *affineInt8) apply(w *worker, dst, src []int8, c0 int) {
	if c0 == 0 && len(dst)%a.channels == 0 {
		w.set.Affine(dst, src, a.w, a.epilogue, len(dst)/a.channels, a.channels)
		return
	}
	w.part = a.epilogue.From(c0) // some channels of one pixel
	w.set.Affine(dst, src, a.w[c0:], &w.part, 1, len(dst))
}

// clampFloat32 is a fused or separate ReLU.
type clampFloat32 struct{ lo, hi float32 }

func (a clampFloat32) apply(_ *worker, dst, src []float32, _ int) {
	for i, v := range src {
		dst[i] = min(max(v, a.lo), a.hi)
	}
}

type eluFloat32 struct{}

func (eluFloat32) apply(w *worker, dst, src []float32, _ int) { w.set.Elu(dst, src) }

// unaryFloat32 is any function of one variable.
type unaryFloat32 func(float32) float32

func (f unaryFloat32) apply(_ *worker, dst, src []float32, _ int) {
	for i, v := range src {
		dst[i] = f(v)
	}
}

// scaleFloat32 is a factor and a summand per channel.
type scaleFloat32 struct{ m, a []float32 }

func (s *scaleFloat32) apply(w *worker, dst, src []float32, c0 int) {
	for len(dst) > 0 {
		n := min(len(dst), len(s.m)-c0)
		w.set.Scale(dst[:n], src[:n], s.m[c0:], s.a[c0:])
		dst, src, c0 = dst[n:], src[n:], 0
	}
}

func eluReal(v float32) float32 {
	if v < 0 {
		return float32(math.Expm1(float64(v)))
	}
	return v
}

func logistic(v float32) float32 { return float32(1 / (1 + math.Exp(-float64(v)))) }

func hardSwishReal(v float32) float32 { return v * min(max(v+3, 0), 6) / 6 }
