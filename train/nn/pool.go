package nn

import "mien/train/nn/internal/kernel"

// maxPool takes the largest value of each window; of equal ones the first
// gets the gradient. Backward looks at the input again. A pool of 2x2 pixels
// does the work of a norm before it on the way, which then does the pool's
// going back.
type maxPool struct {
	g            geometry
	in, out      *tensor
	norm         *norm // or nil
	scale, shift []float32
	work         *workers
	fwd, bwd     func(worker, i int)
}

func newMaxPool(g geometry, in, out *tensor, work *workers) *maxPool {
	m := &maxPool{g: g, in: in, out: out, work: work}
	m.fwd, m.bwd = m.forwardImage, m.backwardImage
	if m.pairs() {
		m.fwd, m.bwd = m.forwardPairs, m.backwardPairs
		m.scale, m.shift = make([]float32, in.c), make([]float32, in.c)
		for j := range m.scale {
			m.scale[j] = 1
		}
	}
	return m
}

// pairs reports whether the windows are 2x2, for which there are kernels.
func (m *maxPool) pairs() bool { return m.g.k == 2 && m.g.stride == 2 }

// fuse takes the norm over that wrote the pool's input, which then is the
// norm's input.
func (m *maxPool) fuse(n *norm) {
	m.norm, n.pool = n, m
	m.scale, m.shift = n.a, n.d
	n.out.data = n.in.data
}

func (m *maxPool) forward(p *pass) { m.work.run(p.n, m.fwd) }

func (m *maxPool) backward(p *pass) {
	if m.norm == nil {
		m.work.run(p.n, m.bwd)
	}
}

// row returns the part of an output picture that is row r.
func (m *maxPool) row(y []float32, r int) []float32 {
	n := m.out.w * m.out.c
	return y[r*n : (r+1)*n]
}

// stride is the length of a row of the input.
func (m *maxPool) stride() int { return m.in.w * m.in.c }

func (m *maxPool) forwardPairs(_, i int) {
	x, y, s := m.in.image(i), m.out.image(i), m.stride()
	for r := range m.g.h {
		kernel.NormPool(m.row(y, r), x[2*r*s:], m.scale, m.shift, s)
	}
}

func (m *maxPool) backwardPairs(_, i int) { m.gradPairs(i, m.scale, m.shift, m.shift) }

// gradPairs writes the gradient of picture i, or that of the norm before the
// pool by its coefficients. The last row or column may be in no window.
func (m *maxPool) gradPairs(i int, a, b, d []float32) {
	x, dx, dy, s := m.in.image(i), m.in.imageGrad(i), m.out.imageGrad(i), m.stride()
	for r := range m.g.h {
		kernel.NormPoolGrad(dx[2*r*s:], m.row(dy, r), x[2*r*s:], a, b, d, s)
		if m.in.w%2 == 1 {
			m.outside(dx, x, (2*r+1)*s-m.in.c, (2*r+1)*s, b, d)
			m.outside(dx, x, (2*r+2)*s-m.in.c, (2*r+2)*s, b, d)
		}
	}
	m.outside(dx, x, 2*m.g.h*s, len(x), b, d)
}

// outside is the gradient of pixels that are in no window.
func (m *maxPool) outside(dx, x []float32, lo, hi int, b, d []float32) {
	clear(dx[lo:hi])
	kernel.Affine2(dx[lo:hi], x[lo:hi], m.scale, b, d)
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
