package nn

import "mien/train/nn/internal/kernel"

// maxPool takes the largest value of each window; of equal ones the first.
type maxPool struct {
	g        geometry
	in, out  *tensor
	arg      []uint8 // which of the window's pixels
	work     *workers
	fwd, bwd func(worker, i int)
}

func newMaxPool(g geometry, in, out *tensor, work *workers) *maxPool {
	m := &maxPool{g: g, in: in, out: out, arg: make([]uint8, len(out.data)), work: work}
	m.fwd, m.bwd = m.forwardImage, m.backwardImage
	return m
}

func (m *maxPool) forward(p *pass)  { m.work.run(p.n, m.fwd) }
func (m *maxPool) backward(p *pass) { m.work.run(p.n, m.bwd) }

func (m *maxPool) forwardImage(_, i int) {
	x, y, c := m.in.image(i), m.out.image(i), m.in.c
	arg := m.arg[i*len(y):][:len(y)]
	for o := 0; o < len(y); o += c {
		in := m.corner(o / c)
		copy(y[o:o+c], x[in:])
		clear(arg[o : o+c])
		for t := 1; t < m.g.k*m.g.k; t++ {
			kernel.MaxArg(y[o:o+c], arg[o:o+c], x[in+m.tap(t):], uint8(t))
		}
	}
}

func (m *maxPool) backwardImage(_, i int) {
	dx, dy, c := m.in.imageGrad(i), m.out.imageGrad(i), m.in.c
	arg := m.arg[i*len(dy):][:len(dy)]
	clear(dx)
	for o := 0; o < len(dy); o += c {
		in := m.corner(o / c)
		for t := range m.g.k * m.g.k {
			kernel.AddWhere(dx[in+m.tap(t):], dy[o:o+c], arg[o:o+c], uint8(t))
		}
	}
}

// corner is the offset of the first pixel of an output pixel's window, tap
// that of a pixel of the window from there.
func (m *maxPool) corner(o int) int {
	return ((o/m.g.w)*m.g.stride*m.in.w + o%m.g.w*m.g.stride) * m.in.c
}

func (m *maxPool) tap(t int) int { return (t/m.g.k*m.in.w + t%m.g.k) * m.in.c }

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
