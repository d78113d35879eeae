package nn

// fork gives several layers the same values, each with a gradient of its own;
// backward adds those up.
type fork struct {
	in   *tensor
	outs []*tensor
	work *workers
	bwd  func(worker, i int)
}

func newFork(in *tensor, n int, work *workers) *fork {
	f := &fork{in: in, work: work}
	for range n {
		f.outs = append(f.outs, &tensor{h: in.h, w: in.w, c: in.c, data: in.data, grad: make([]float32, len(in.grad))})
	}
	f.bwd = f.backwardImage
	return f
}

func (f *fork) forward(*pass)    {}
func (f *fork) backward(p *pass) { f.work.run(p.n, f.bwd) }

func (f *fork) backwardImage(_, i int) {
	dx := f.in.imageGrad(i)
	copy(dx, f.outs[0].imageGrad(i))
	for _, o := range f.outs[1:] {
		for j, v := range o.imageGrad(i) {
			dx[j] += v
		}
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
	y, a := s.out.image(i), s.a.image(i)
	for j, v := range s.b.image(i) {
		y[j] = a[j] + v
	}
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
