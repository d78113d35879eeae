package nn

import "mien/train/nn/internal/kernel"

// depthwise convolves every channel with a kernel of its own.
type depthwise struct {
	g        geometry
	in, out  *tensor
	w, b     *Param
	work     *workers
	wt       []float32 // weight as [k*k][c]
	dw, db   [lanes][]float32
	n        int
	fwd, bwd func(worker, i int)
}

func newDepthwise(g geometry, in, out *tensor, w, b *Param, work *workers) *depthwise {
	d := &depthwise{g: g, in: in, out: out, w: w, b: b, work: work, wt: make([]float32, g.k*g.k*in.c)}
	for l := range lanesOf(w) {
		d.dw[l], d.db[l] = make([]float32, len(d.wt)), make([]float32, in.c)
	}
	d.fwd, d.bwd = d.forwardImage, d.backwardLane
	return d
}

func (d *depthwise) forward(p *pass) {
	kk, c := d.g.k*d.g.k, d.in.c
	for i, v := range d.w.Value {
		d.wt[i%kk*c+i/kk] = v
	}
	d.work.run(p.n, d.fwd)
}

func (d *depthwise) forwardImage(_, i int) {
	x, y, c := d.in.image(i), d.out.image(i), d.in.c
	clear(y)
	d.each(func(o, in, t int) { kernel.MulAdd(y[o:][:c], x[in:][:c], d.wt[t:][:c]) })
	if d.b != nil {
		kernel.AddRow(y, d.b.Value)
	}
}

// each calls f with the offsets of an output pixel, an input pixel and the
// tap between them.
func (d *depthwise) each(f func(out, in, tap int)) {
	g, c := d.g, d.in.c
	for oy := range g.h {
		for ox := range g.w {
			for ky := range g.k {
				iy := oy*g.stride + ky - g.padY
				if iy < 0 || iy >= d.in.h {
					continue
				}
				for kx := range g.k {
					if ix := ox*g.stride + kx - g.padX; ix >= 0 && ix < d.in.w {
						f((oy*g.w+ox)*c, (iy*d.in.w+ix)*c, (ky*g.k+kx)*c)
					}
				}
			}
		}
	}
}

func (d *depthwise) backward(p *pass) {
	d.n = p.n
	d.work.run(lanes, d.bwd)
	for l := 1; l < lanes; l++ {
		kernel.AddRow(d.dw[0], d.dw[l])
		kernel.AddRow(d.db[0], d.db[l])
	}
	kk, c := d.g.k*d.g.k, d.in.c
	for i := range d.w.Grad {
		d.w.Grad[i] = d.dw[0][i%kk*c+i/kk]
	}
	if d.b != nil {
		copy(d.b.Grad, d.db[0])
	}
}

func (d *depthwise) backwardLane(_, l int) {
	clear(d.dw[l])
	clear(d.db[l])
	lo, hi := lane(l, lanes, d.n)
	for i := lo; i < hi; i++ {
		d.backwardImage(l, i)
	}
}

func (d *depthwise) backwardImage(l, i int) {
	x, dy, c := d.in.image(i), d.out.imageGrad(i), d.in.c
	kernel.SumRows(d.db[l], dy)
	if d.in.grad == nil {
		d.each(func(o, in, t int) { kernel.MulAdd(d.dw[l][t:][:c], x[in:][:c], dy[o:][:c]) })
		return
	}
	dx := d.in.imageGrad(i)
	clear(dx)
	d.each(func(o, in, t int) {
		g := dy[o:][:c]
		kernel.MulAdd(d.dw[l][t:][:c], x[in:][:c], g)
		kernel.MulAdd(dx[in:][:c], d.wt[t:][:c], g)
	})
}
