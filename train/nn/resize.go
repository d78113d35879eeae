package nn

import "mien/train/nn/internal/kernel"

// pad puts zeros around a picture.
type pad struct {
	in, out  *tensor
	n        int
	work     *workers
	fwd, bwd func(worker, i int)
}

func newPad(in, out *tensor, n int, work *workers) *pad {
	p := &pad{in: in, out: out, n: n, work: work}
	p.fwd, p.bwd = p.forwardImage, p.backwardImage
	return p
}

func (p *pad) forward(s *pass) { p.work.run(s.n, p.fwd) }
func (p *pad) backward(s *pass) {
	if p.in.grad != nil {
		p.work.run(s.n, p.bwd)
	}
}

// forwardImage leaves the border, which nobody writes, at zero.
func (p *pad) forwardImage(_, i int) {
	p.rows(p.in.image(i), p.out.image(i), func(in, out []float32) { copy(out, in) })
}

func (p *pad) backwardImage(_, i int) {
	p.rows(p.in.imageGrad(i), p.out.imageGrad(i), func(in, out []float32) { copy(in, out) })
}

func (p *pad) rows(in, out []float32, f func(in, out []float32)) {
	row := p.in.w * p.in.c
	for y := range p.in.h {
		f(in[y*row:][:row], out[((y+p.n)*p.out.w+p.n)*p.in.c:][:row])
	}
}

// upsample repeats each pixel n times, each way.
type upsample struct {
	in, out  *tensor
	n        int
	work     *workers
	fwd, bwd func(worker, i int)
}

func newUpsample(in, out *tensor, n int, work *workers) *upsample {
	u := &upsample{in: in, out: out, n: n, work: work}
	u.fwd, u.bwd = u.forwardImage, u.backwardImage
	return u
}

func (u *upsample) forward(p *pass) { u.work.run(p.n, u.fwd) }
func (u *upsample) backward(p *pass) {
	if u.in.grad != nil {
		u.work.run(p.n, u.bwd)
	}
}

func (u *upsample) forwardImage(_, i int) {
	u.pixels(u.in.image(i), u.out.image(i), func(in, out []float32) { copy(out, in) })
}

func (u *upsample) backwardImage(_, i int) {
	clear(u.in.imageGrad(i))
	u.pixels(u.in.imageGrad(i), u.out.imageGrad(i), func(in, out []float32) { kernel.Add(in, out) })
}

func (u *upsample) pixels(in, out []float32, f func(in, out []float32)) {
	c := u.in.c
	for p := range u.out.h * u.out.w {
		from := p/u.out.w/u.n*u.in.w + p%u.out.w/u.n
		f(in[from*c:][:c], out[p*c:][:c])
	}
}
