package nn

import "mien/train/nn/internal/kernel"

// fork gives several layers the same values, each with a gradient of its own,
// the first one's in the memory of the sum; backward adds the others to it.
type fork struct {
	in   *tensor
	outs []*tensor
	work *workers
	bwd  func(worker, i int)
}

func newFork(in *tensor, n int, work *workers) *fork {
	f := &fork{in: in, work: work}
	for i := range n {
		grad := in.grad
		if i > 0 {
			grad = make([]float32, len(in.grad))
		}
		f.outs = append(f.outs, &tensor{h: in.h, w: in.w, c: in.c, data: in.data, grad: grad})
	}
	f.bwd = f.backwardImage
	return f
}

func (f *fork) forward(*pass)    {}
func (f *fork) backward(p *pass) { f.work.run(p.n, f.bwd) }

func (f *fork) backwardImage(_, i int) {
	for _, o := range f.outs[1:] {
		kernel.Add(f.in.imageGrad(i), o.imageGrad(i))
	}
}

// duplicate copies a tensor for a layer that must not work in place.
type duplicate struct {
	in, out *tensor
}

func newCopy(in, out *tensor, _ *workers) *duplicate { return &duplicate{in, out} }

func (d *duplicate) forward(p *pass) { copy(d.out.data[:p.n*d.in.size()], d.in.data) }
func (d *duplicate) backward(p *pass) {
	if d.in.grad != nil {
		copy(d.in.grad[:p.n*d.in.size()], d.out.grad)
	}
}

// add is a residual connection: out = a + b.
type add struct {
	a, b, out *tensor
	work      *workers
	fwd, bwd  func(worker, i int)
}

func newAdd(a, b, out *tensor, work *workers) *add {
	s := &add{a: a, b: b, out: out, work: work}
	s.fwd, s.bwd = s.forwardImage, s.backwardImage
	return s
}

func (s *add) forward(p *pass)  { s.work.run(p.n, s.fwd) }
func (s *add) backward(p *pass) { s.work.run(p.n, s.bwd) }

func (s *add) forwardImage(_, i int) {
	copy(s.out.image(i), s.a.image(i))
	kernel.Add(s.out.image(i), s.b.image(i))
}

func (s *add) backwardImage(_, i int) {
	for _, t := range []*tensor{s.a, s.b} {
		if t.grad != nil {
			copy(t.imageGrad(i), s.out.imageGrad(i))
		}
	}
}

// flatten makes a vector in NCHW order, which is how PyTorch and ONNX number
// the inputs of the dense layer that follows.
type flatten struct {
	in, out  *tensor
	work     *workers
	fwd, bwd func(worker, i int)
}

func newFlatten(in, out *tensor, work *workers) *flatten {
	f := &flatten{in: in, out: out, work: work}
	f.fwd, f.bwd = f.forwardImage, f.backwardImage
	return f
}

func (f *flatten) forward(p *pass)  { f.work.run(p.n, f.fwd) }
func (f *flatten) backward(p *pass) { f.work.run(p.n, f.bwd) }

func (f *flatten) forwardImage(_, i int) { transpose(f.out.image(i), f.in.image(i), f.in.c) }
func (f *flatten) backwardImage(_, i int) {
	transpose(f.in.imageGrad(i), f.out.imageGrad(i), f.in.h*f.in.w)
}

// transpose writes src, rows of c values, as c rows.
func transpose(dst, src []float32, c int) {
	rows := len(src) / c
	for j := range c {
		d := dst[j*rows:][:rows]
		for i := range d {
			d[i] = src[i*c+j]
		}
	}
}

// concat puts the channels of two pictures behind each other.
type concat struct {
	a, b, out *tensor
	work      *workers
	fwd, bwd  func(worker, i int)
}

func newConcat(a, b, out *tensor, work *workers) *concat {
	c := &concat{a: a, b: b, out: out, work: work}
	c.fwd, c.bwd = c.forwardImage, c.backwardImage
	return c
}

func (c *concat) forward(p *pass)  { c.work.run(p.n, c.fwd) }
func (c *concat) backward(p *pass) { c.work.run(p.n, c.bwd) }

func (c *concat) forwardImage(_, i int) {
	y := c.out.image(i)
	at := 0
	for _, t := range []*tensor{c.a, c.b} {
		for p, x := 0, t.image(i); p < t.h*t.w; p++ {
			copy(y[p*c.out.c+at:], x[p*t.c:][:t.c])
		}
		at += t.c
	}
}

func (c *concat) backwardImage(_, i int) {
	dy := c.out.imageGrad(i)
	at := 0
	for _, t := range []*tensor{c.a, c.b} {
		if t.grad != nil {
			for p, dx := 0, t.imageGrad(i); p < t.h*t.w; p++ {
				copy(dx[p*t.c:][:t.c], dy[p*c.out.c+at:])
			}
		}
		at += t.c
	}
}
