package nn

import "mien/train/nn/internal/kernel"

// maxPool takes the largest value of each window; of equal ones the first
// gets the gradient. Backward looks at the input again.
type maxPool struct {
	g        geometry
	in, out  *tensor
	work     *workers
	fwd, bwd func(worker, i int)
}

func newMaxPool(g geometry, in, out *tensor, work *workers) *maxPool {
	m := &maxPool{g: g, in: in, out: out, work: work}
	m.fwd, m.bwd = m.forwardImage, m.backwardImage
	if g.k == 2 && g.stride == 2 {
		m.fwd, m.bwd = m.forwardImage2, m.backwardImage2
	}
	return m
}

func (m *maxPool) forward(p *pass)  { m.work.run(p.n, m.fwd) }
func (m *maxPool) backward(p *pass) { m.work.run(p.n, m.bwd) }

func (m *maxPool) forwardImage2(_, i int) {
	x, y, row := m.in.image(i), m.out.image(i), m.in.w*m.in.c
	for r := range m.g.h {
		kernel.Max4(y[r*m.g.w*m.in.c:][:m.g.w*m.in.c], x[2*r*row:], m.in.c, row)
	}
}

func (m *maxPool) backwardImage2(_, i int) {
	x, dx, dy, row := m.in.image(i), m.in.imageGrad(i), m.out.imageGrad(i), m.in.w*m.in.c
	if m.in.h%2+m.in.w%2 > 0 {
		clear(dx) // the last row or column is in no window
	}
	for r := range m.g.h {
		kernel.Max4Grad(dx[2*r*row:], dy[r*m.g.w*m.in.c:][:m.g.w*m.in.c], x[2*r*row:], m.in.c, row)
	}
}

func (m *maxPool) forwardImage(_, i int) {
	x, y := m.in.image(i), m.out.image(i)
	for o := range y {
		y[o] = x[m.largest(x, o)]
	}
}

func (m *maxPool) backwardImage(_, i int) {
	x, dx := m.in.image(i), m.in.imageGrad(i)
	clear(dx)
	for o, g := range m.out.imageGrad(i) {
		dx[m.largest(x, o)] += g
	}
}

// largest finds where an output value comes from.
func (m *maxPool) largest(x []float32, o int) int {
	c := m.in.c
	pixel, channel := o/c, o%c
	corner := ((pixel/m.g.w)*m.in.w+pixel%m.g.w)*m.g.stride*c + channel
	best := corner
	for t := range m.g.k * m.g.k {
		if p := corner + (t/m.g.k*m.in.w+t%m.g.k)*c; x[p] > x[best] {
			best = p
		}
	}
	return best
}

// mean is the mean over all pixels.
type mean struct {
	in, out  *tensor
	work     *workers
	fwd, bwd func(worker, i int)
}

func newMean(in, out *tensor, work *workers) *mean {
	m := &mean{in: in, out: out, work: work}
	m.fwd, m.bwd = m.forwardImage, m.backwardImage
	return m
}

func (m *mean) forward(p *pass)  { m.work.run(p.n, m.fwd) }
func (m *mean) backward(p *pass) { m.work.run(p.n, m.bwd) }

func (m *mean) forwardImage(_, i int) {
	y, scale := m.out.image(i), 1/float32(m.in.h*m.in.w)
	clear(y)
	kernel.SumRows(y, m.in.image(i))
	for j := range y {
		y[j] *= scale
	}
}

func (m *mean) backwardImage(_, i int) {
	dx, dy, scale := m.in.imageGrad(i), m.out.imageGrad(i), 1/float32(m.in.h*m.in.w)
	for o := range dx {
		dx[o] = dy[o%m.in.c] * scale
	}
}
