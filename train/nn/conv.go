package nn

import "mien/train/nn/internal/kernel"

// conv is a convolution of any kernel and stride as a product of matrices:
// each output pixel's window is a row (im2col), a few output rows at a time.
type conv struct {
	g        geometry
	in, out  *tensor
	w, b     *Param
	work     *workers
	rows     int       // output rows at a time
	taps     int       // kernel*kernel*in.c
	wt, wtT  []float32 // weight as [taps][out.c] and [out.c][taps]
	col      [][]float32
	elu      bool // forward goes on with ELU
	planes   bool // col is [taps][pixels], for a picture of one channel
	dw, db   [lanes][]float32
	n        int
	fwd, bwd func(worker, i int)
}

func newConv(g geometry, in, out *tensor, w, b *Param, work *workers) *conv {
	c := &conv{g: g, in: in, out: out, w: w, b: b, work: work}
	c.taps = g.k * g.k * in.c
	c.planes = in.c == 1 && g.k > 1 && g.stride == 1 && in.grad == nil
	c.rows = max(1, min(out.h, 64*1024/(out.w*c.taps)))
	c.wt, c.wtT = make([]float32, c.taps*out.c), make([]float32, c.taps*out.c)
	for range work.n {
		c.col = append(c.col, make([]float32, c.rows*out.w*c.taps))
	}
	for l := range lanesOf(w) {
		c.dw[l], c.db[l] = make([]float32, c.taps*out.c), make([]float32, out.c)
	}
	c.fwd, c.bwd = c.forwardImage, c.backwardLane
	return c
}

// fuseELU makes ELU part of forward if t is the output.
func (c *conv) fuseELU(t *tensor) bool {
	c.elu = t == c.out
	return c.elu
}

func (c *conv) forward(p *pass) {
	c.transpose()
	c.work.run(p.n, c.fwd)
}

// transpose makes wt and wtT from the parameter, which is [out][in][k][k].
func (c *conv) transpose() {
	kk, ci, co := c.g.k*c.g.k, c.in.c, c.out.c
	for o := range co {
		for i := range ci {
			for t, v := range c.w.Value[(o*ci+i)*kk:][:kk] {
				c.wt[(t*ci+i)*co+o] = v
				c.wtT[o*c.taps+t*ci+i] = v
			}
		}
	}
}

func (c *conv) forwardImage(worker, i int) {
	x, y, co := c.in.image(i), c.out.image(i), c.out.c
	for r := 0; r < c.out.h; r += c.rows {
		n := min(c.rows, c.out.h-r) * c.out.w
		col, ld := c.gather(worker, x, r)
		part := y[r*c.out.w*co:][:n*co]
		gemm(c.planes, n, co, c.taps, col, ld, c.wt, co, part, co, false)
		if c.b != nil {
			kernel.AddRow(part, c.b.Value)
		}
		if c.elu {
			kernel.ELU(part)
		}
	}
}

func (c *conv) backward(p *pass) {
	c.n = p.n
	c.work.run(lanes, c.bwd)
	for l := 1; l < lanes; l++ {
		kernel.AddRow(c.dw[0], c.dw[l])
		kernel.AddRow(c.db[0], c.db[l])
	}
	c.untranspose(c.w.Grad, c.dw[0])
	if c.b != nil {
		copy(c.b.Grad, c.db[0])
	}
}

// untranspose writes src, [taps][out.c], as [out][in][k][k].
func (c *conv) untranspose(dst, src []float32) {
	kk, ci, co := c.g.k*c.g.k, c.in.c, c.out.c
	for o := range co {
		for i := range ci {
			for t := range kk {
				dst[(o*ci+i)*kk+t] = src[(t*ci+i)*co+o]
			}
		}
	}
}

func (c *conv) backwardLane(worker, l int) {
	clear(c.dw[l])
	clear(c.db[l])
	lo, hi := lane(l, lanes, c.n)
	for i := lo; i < hi; i++ {
		c.backwardImage(worker, l, i)
	}
}

func (c *conv) backwardImage(worker, l, i int) {
	x, dy, co := c.in.image(i), c.out.imageGrad(i), c.out.c
	var dx []float32
	if c.in.grad != nil {
		dx = c.in.imageGrad(i)
		clear(dx)
	}
	kernel.SumRows(c.db[l], dy)
	for r := 0; r < c.out.h; r += c.rows {
		n := min(c.rows, c.out.h-r) * c.out.w
		col, ld := c.gather(worker, x, r)
		part := dy[r*c.out.w*co:][:n*co]
		gemm(!c.planes, c.taps, co, n, col, ld, part, co, c.dw[l], co, true)
		if dx == nil {
			continue
		}
		col = c.col[worker]
		gemm(false, n, c.taps, co, part, co, c.wtT, c.taps, col, c.taps, false)
		c.scatter(col, dx, r)
	}
}

// gather returns the windows of c.rows output rows from r on as a matrix of
// one row a pixel, or of one row a tap with c.planes, and the length of a row.
// A 1x1 convolution of stride 1 needs no copy.
func (c *conv) gather(worker int, x []float32, r int) (col []float32, ld int) {
	switch {
	case c.g.k == 1 && c.g.stride == 1:
		return x[r*c.out.w*c.in.c:], c.taps
	case c.planes:
		return c.gatherPlanes(worker, x, r), c.rows * c.out.w
	}
	return c.gatherWindows(worker, x, r), c.taps
}

// gatherPlanes moves whole rows of the picture, once for every tap.
func (c *conv) gatherPlanes(worker int, x []float32, r int) []float32 {
	w := c.out.w
	for t := range c.taps {
		dx := t%c.g.k - c.g.padX
		lo, hi := max(0, -dx), min(w, w-dx)
		for oy := r; oy < min(r+c.rows, c.out.h); oy++ {
			row := c.col[worker][(t*c.rows+oy-r)*w:][:w]
			iy := oy + t/c.g.k - c.g.padY
			if iy < 0 || iy >= c.in.h {
				clear(row)
				continue
			}
			clear(row[:lo])
			copy(row[lo:hi], x[iy*w+lo+dx:])
			clear(row[hi:])
		}
	}
	return c.col[worker]
}

// gatherWindows copies a window's rows, which lie together in the picture.
func (c *conv) gatherWindows(worker int, x []float32, r int) []float32 {
	col := c.col[worker]
	c.g.windows(c.in, r, c.rows, func(at, from, before, inside, after int) {
		clear(col[at : at+before])
		copy(col[at+before:at+before+inside], x[from:])
		clear(col[at+before+inside : at+before+inside+after])
	})
	return col
}

// scatter adds windows back to where gather took them from.
func (c *conv) scatter(col, dx []float32, r int) {
	c.g.windows(c.in, r, c.rows, func(at, from, before, inside, _ int) {
		if inside > 0 {
			kernel.Add(dx[from:from+inside], col[at+before:])
		}
	})
}
