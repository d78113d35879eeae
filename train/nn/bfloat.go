package nn

import "mien/train/nn/internal/kernel"

// bfloatConv is a convolution whose products are of bfloat16. Pictures are
// laid out on grids with zeros around them, so that the window of a pixel is
// as far from it as that of any other, and a convolution is one product of
// matrices for each tap: rows of A are pixels of the grid, one after the
// other, and those in the padding are computed for nothing.
//
// With a stride s a picture is divided into s*s phases, by the pixels' places
// modulo s. A tap reads one phase, at stride 1.
//
// A picture with few channels is replaced by its windows, which a convolution
// of 1x1 goes over.
type bfloatConv struct {
	in, out *tensor
	w, b    *Param
	elu     bool
	work    *workers
	unfold  *geometry // of the windows, or nil
	grid    grid
	dx      []part

	ci, co int   // channels, in whole blocks
	taps   []tap // of forward, by the weight's order
	fw, bw []kernel.BF16
	offs   []int // of forward's steps
	jobs   []kernel.Job

	x       []kernel.BF16 // grids of the batch
	xImage  int           // size of a grid
	scratch []bfloatScratch
	lanes   int
	group   int // pictures whose pixels a weight gradient sums at once
	dw, db  [][]float32
	n       int

	pack, fwd, bwd, unpack func(worker, i int)
}

// grid is the shape of a phase: rows of pitch pixels. What is read beyond a
// row's end are the zeros at its end or those before the next row.
type grid struct {
	s          int // phases, a side
	pitch      int
	padY, padX int
	run        int // pixels from the output's first to its last row's end
	reach      int // pixels from a tap to the farthest one
	phase      int // pixels of a phase
}

// tap is where an output pixel's window reads the grid, in pixels.
type tap struct{ at int }

// part is a phase of the input's gradient: a convolution of the output's
// gradient by the taps that read the phase.
type part struct {
	y, x       int // first pixel of the picture
	rows, cols int
	from       int   // first pixel of the output's gradient
	taps       []int // of the weight
	offs       []int // in bytes, from from
	w          int   // where its weights begin
	run        int   // pixels, in whole blocks
	jobs       []kernel.Job
}

type bfloatScratch struct {
	sum    []float32     // a product of forward, or of a part
	dy     []kernel.BF16 // grid of the output's gradient
	planes []kernel.BF16 // of a group's inputs
	pairs  []kernel.BF16 // of a group's gradients
	col    []float32     // the windows' values
	w      []kernel.BF16 // of one output channel
	offs   []int         // of a weight gradient
	jobs   []kernel.Job
}

const blk = kernel.Block

func blocks(n int) int { return ceil(n, blk) }

func newGrid(g geometry, in *tensor) grid {
	reach := (g.k - 1) / g.stride
	r := grid{s: g.stride, padY: g.padY, padX: g.padX}
	r.pitch = max(g.w+reach, (in.w-1+g.padX)/g.stride+1)
	if g.stride == 1 {
		r.pitch = g.w + max(g.padX, g.k-1-g.padX)
	}
	rows := max(g.h+reach, (in.h-1+g.padY)/g.stride+1)
	r.run, r.reach = g.h*r.pitch, reach*r.pitch+reach
	r.phase = rows*r.pitch + reach
	return r
}

func newBfloatConv(g geometry, batch int, in, out *tensor, w, b *Param, work *workers) *bfloatConv {
	c := &bfloatConv{in: in, out: out, w: w, b: b, work: work, ci: blocks(in.c) * blk, co: blocks(out.c) * blk}
	shape := in
	if in.c%blk != 0 {
		u := g
		c.unfold = &u
		c.ci = blocks(g.k*g.k*in.c) * blk
		shape = &tensor{h: g.h, w: g.w, c: c.ci}
		g = geometry{k: 1, stride: 1, h: g.h, w: g.w}
	}
	c.grid = newGrid(g, shape)
	c.forwardTaps(g)
	c.jobs = rowJobs(blocks(c.grid.run), c.ci, c.co)
	if in.grad != nil {
		c.backwardParts(g, shape)
	}
	n := len(c.taps) * c.ci * c.co
	c.fw, c.bw = make([]kernel.BF16, n), make([]kernel.BF16, n)
	c.xImage = g.stride * g.stride * c.grid.phase * c.ci
	c.x = make([]kernel.BF16, batch*c.xImage+(c.grid.reach+c.planeSize())*c.ci)
	c.memory(batch, shape)
	c.pack, c.fwd, c.bwd, c.unpack = c.packBlock, c.forwardImage, c.backwardLane, c.unpackBlock
	return c
}

// groupSize bounds the memory of a group's planes and pairs.
const groupSize = 1 << 18

func (c *bfloatConv) memory(batch int, shape *tensor) {
	r := &c.grid
	perImage := r.s*r.s*c.planeSize()*c.ci + blocks(r.run)*blk*c.co
	c.lanes = lanes
	c.group = max(1, min(ceil(batch, c.lanes), groupSize/perImage))
	sum := blocks(r.run) * blk * c.co
	dy := r.reach + blocks(r.run)*blk
	for _, p := range c.dx {
		sum = max(sum, p.run*c.ci)
		dy = max(dy, r.reach+p.from+p.run)
	}
	for range c.work.n {
		s := bfloatScratch{sum: make([]float32, sum), dy: make([]kernel.BF16, (dy+r.reach)*c.co),
			planes: make([]kernel.BF16, c.group*r.s*r.s*c.planeSize()*c.ci),
			pairs:  make([]kernel.BF16, c.group*blocks(r.run)*blk*c.co),
			offs:   make([]int, c.group*blocks(r.run)),
			w:      make([]kernel.BF16, blk*len(c.taps)),
			jobs:   make([]kernel.Job, len(c.taps)*c.ci/blk)}
		if c.unfold != nil {
			s.col = make([]float32, c.out.h*c.out.w*c.unfold.k*c.unfold.k*c.in.c)
		}
		c.scratch = append(c.scratch, s)
	}
	for range lanesOf(c.w) {
		c.dw = append(c.dw, make([]float32, len(c.taps)*c.ci*c.co))
		c.db = append(c.db, make([]float32, c.out.c))
	}
}

// planeSize is the pixels of a plane of a phase, with those that a block of
// the run reads behind it.
func (c *bfloatConv) planeSize() int {
	return blocks(blocks(c.grid.run)*blk+c.grid.reach) * blk
}

func (c *bfloatConv) forwardTaps(g geometry) {
	r := &c.grid
	for t := range g.k * g.k {
		y, x := t/g.k, t%g.k
		c.taps = append(c.taps, tap{(y%r.s*r.s+x%r.s)*r.phase + y/r.s*r.pitch + x/r.s})
	}
	for _, t := range c.taps {
		for b := range c.ci / blk {
			c.offs = append(c.offs, 2*(t.at*c.ci+b*blk))
		}
	}
}

func (c *bfloatConv) backwardParts(g geometry, in *tensor) {
	r, w := &c.grid, 0
	for phase := range r.s * r.s {
		py, px := phase/r.s, phase%r.s
		top, left := ceil(max(0, g.padY-py), r.s), ceil(max(0, g.padX-px), r.s)
		p := part{y: top*r.s + py - g.padY, x: left*r.s + px - g.padX, from: top*r.pitch + left, w: w}
		p.rows, p.cols = ceil(in.h-p.y, r.s), ceil(in.w-p.x, r.s)
		if p.rows < 1 || p.cols < 1 {
			continue
		}
		for t := range g.k * g.k {
			if y, x := t/g.k, t%g.k; y%r.s == py && x%r.s == px {
				p.taps = append(p.taps, t)
				for b := range c.co / blk {
					p.offs = append(p.offs, 2*((r.reach-y/r.s*r.pitch-x/r.s)*c.co+b*blk))
				}
			}
		}
		p.run = blocks(p.rows*r.pitch) * blk
		p.jobs = rowJobs(p.run/blk, c.co, c.ci)
		w += len(p.taps) * c.ci * c.co
		c.dx = append(c.dx, p)
	}
}

// fuseELU makes ELU part of forward if t is the output.
func (c *bfloatConv) fuseELU(t *tensor) bool {
	c.elu = t == c.out
	return c.elu
}

func (c *bfloatConv) forward(p *pass) {
	c.n = p.n
	c.work.run(c.ci/blk*c.co/blk, c.pack)
	c.work.run(p.n, c.fwd)
}

// packBlock makes both factors' blocks of 32 output channels by 32 of input.
func (c *bfloatConv) packBlock(worker, i int) {
	ob, ib := i%(c.co/blk), i/(c.co/blk)
	for o := ob * blk; o < min((ob+1)*blk, c.out.c); o++ {
		w := c.weights(worker, o, ib)
		c.packForward(w, o, ib)
		c.packBackward(w, o, ib)
	}
}

// weights rounds those from 32 input channels to output channel o, [in][tap];
// with unfold, windows' values are the channels.
func (c *bfloatConv) weights(worker, o, ib int) []kernel.BF16 {
	taps, n := len(c.taps), len(c.w.Value)/c.out.c
	all, w := c.w.Value[o*n:][:n], c.scratch[worker].w
	clear(w)
	if c.unfold == nil {
		kernel.Round(w, all[ib*blk*taps:min((ib+1)*blk*taps, n)])
		return w
	}
	for i := ib * blk; i < min((ib+1)*blk, n); i++ {
		w[i-ib*blk] = kernel.RoundBF16(all[i%c.in.c*(n/c.in.c)+i/c.in.c])
	}
	return w
}

// packForward places them by pairs of input channels.
func (c *bfloatConv) packForward(w []kernel.BF16, o, ib int) {
	taps, steps := len(c.taps), len(c.taps)*c.ci/blk
	for t := range taps {
		to := c.fw[(o/blk*steps+t*c.ci/blk+ib)*blk*blk+kernel.PairAt(blk, 0, o%blk):]
		for i, at := 0, t; i < blk/2; i++ {
			to[i*blk], to[i*blk+1] = w[at], w[at+taps]
			at += 2 * taps
		}
	}
}

// packBackward places them by pairs of output channels, of which o is one.
func (c *bfloatConv) packBackward(w []kernel.BF16, o, ib int) {
	for i := range c.dx {
		p := &c.dx[i]
		steps := len(p.taps) * c.co / blk
		for k, t := range p.taps {
			to := c.bw[p.w+(ib*steps+k*c.co/blk+o/blk)*blk*blk+kernel.PairAt(blk, o%blk, 0):]
			for half := range 2 {
				row, at := to[half*blk*blk/2:], t+half*16*len(c.taps)
				for j := 0; j < blk; j += 2 {
					row[j] = w[at]
					at += len(c.taps)
				}
			}
		}
	}
}

func (c *bfloatConv) forwardImage(worker, i int) {
	c.load(worker, i)
	s, r, co := &c.scratch[worker], &c.grid, c.out.c
	multiply(s.sum, c.co, c.jobs, c.offs, c.x[i*c.xImage:], c.ci, c.fw)
	y := c.out.image(i)
	for row := range c.out.h {
		line := y[row*c.out.w*co:][:c.out.w*co]
		copyPixels(line, co, s.sum[row*r.pitch*c.co:], c.co)
		if c.b != nil {
			kernel.AddRow(line, c.b.Value)
		}
		if c.elu {
			kernel.ELU(line)
		}
	}
}

// multiply is y = a * w for all blocks of columns of w.
func multiply(y []float32, cols int, jobs []kernel.Job, offs []int, a []kernel.BF16, row int, w []kernel.BF16) {
	for j := range cols / blk {
		kernel.MulTiles(jobs, offs, a, row, w[j*len(offs)*blk*blk:], y[j*blk:], cols, false)
	}
}

// rowJobs are those of rows in order, of n blocks of 32: rows of A of in
// values, rows of C of out.
func rowJobs(n, in, out int) []kernel.Job {
	jobs := make([]kernel.Job, n)
	for i := range jobs {
		jobs[i] = kernel.Job{A: 2 * i * blk * in, C: 4 * i * blk * out}
	}
	return jobs
}

// copyPixels copies the channels that both have.
func copyPixels(dst []float32, cd int, src []float32, cs int) {
	if cd == cs {
		copy(dst, src)
		return
	}
	for i := range len(dst) / cd {
		copy(dst[i*cd:][:cd], src[i*cs:][:min(cs, cd)])
	}
}

// load lays picture i out on its grid.
func (c *bfloatConv) load(worker, i int) {
	x, grid, r := c.in.image(i), c.x[i*c.xImage:][:c.xImage], &c.grid
	if u := c.unfold; u != nil {
		s, n := &c.scratch[worker], u.k*u.k*c.in.c
		u.windows(c.in, 0, u.h, func(at, from, before, inside, after int) {
			clear(s.col[at : at+before])
			copy(s.col[at+before:at+before+inside], x[from:])
			clear(s.col[at+before+inside : at+before+inside+after])
		})
		for p := range u.h * u.w {
			kernel.Round(grid[p*c.ci:], s.col[p*n:][:n])
		}
		return
	}
	for y := range c.in.h {
		gy := y + r.padY
		for px := range r.s {
			// The row's pixels of this phase.
			left := ceil(max(0, r.padX-px), r.s)
			at := ((gy%r.s*r.s+px)*r.phase + gy/r.s*r.pitch + left) * c.ci
			from := left*r.s + px - r.padX
			if r.s == 1 {
				kernel.Round(grid[at:], x[y*c.in.w*c.ci:][:c.in.w*c.ci])
				continue
			}
			for p := from; p < c.in.w; p += r.s {
				kernel.Round(grid[at:], x[(y*c.in.w+p)*c.ci:][:c.ci])
				at += c.ci
			}
		}
	}
}

func (c *bfloatConv) backward(p *pass) {
	c.n = p.n
	c.work.run(c.lanes, c.bwd)
	c.work.run(c.ci/blk, c.unpack)
	if c.b != nil {
		for l := 1; l < c.lanes; l++ {
			kernel.Add(c.db[0], c.db[l])
		}
		copy(c.b.Grad, c.db[0])
	}
}

func (c *bfloatConv) backwardLane(worker, l int) {
	clear(c.db[l])
	lo, hi := lane(l, c.lanes, c.n)
	if lo == hi {
		clear(c.dw[l])
	}
	for i := lo; i < hi; i += c.group {
		n := min(c.group, hi-i)
		for k := range n {
			c.backwardImage(worker, l, i+k, k, n)
		}
		c.weightGrad(worker, l, n, i > lo)
	}
}

// backwardImage makes the input's gradient of picture i, and its planes and
// pairs, as number k of n in a group.
func (c *bfloatConv) backwardImage(worker, l, i, k, n int) {
	s, r, dy := &c.scratch[worker], &c.grid, c.out.imageGrad(i)
	if c.b != nil {
		kernel.SumRows(c.db[l], dy)
	}
	for y := range c.out.h {
		row, line := s.dy[(r.reach+y*r.pitch)*c.co:], dy[y*c.out.w*c.out.c:][:c.out.w*c.out.c]
		if c.out.c == c.co {
			kernel.Round(row, line)
			continue
		}
		for x := range c.out.w {
			kernel.Round(row[x*c.co:], line[x*c.out.c:][:c.out.c])
		}
	}
	steps := blocks(r.run)
	kernel.Pairs(s.pairs[k*steps*blk*blk:], n*steps*blk*blk, s.dy[r.reach*c.co:], c.co, steps)
	plane := c.planeSize()
	for phase := range r.s * r.s {
		kernel.Planes(s.planes[(phase*c.ci*n+k)*plane:], n*plane, c.x[i*c.xImage+phase*r.phase*c.ci:], c.ci, plane/blk)
	}
	if c.in.grad != nil {
		c.inputGrad(s, c.in.imageGrad(i))
	}
}

func (c *bfloatConv) inputGrad(s *bfloatScratch, dx []float32) {
	if c.unfold != nil {
		clear(dx)
	}
	for i := range c.dx {
		p := &c.dx[i]
		multiply(s.sum, c.ci, p.jobs, p.offs, s.dy[p.from*c.co:], c.co, c.bw[p.w:])
		if c.unfold != nil {
			c.fold(s, dx)
			continue
		}
		for row := range p.rows {
			from, to := s.sum[row*c.grid.pitch*c.ci:], dx[((p.y+row*c.grid.s)*c.in.w+p.x)*c.ci:]
			if c.grid.s == 1 {
				copy(to[:p.cols*c.ci], from)
				continue
			}
			for x := range p.cols {
				copy(to[x*c.grid.s*c.ci:][:c.ci], from[x*c.ci:])
			}
		}
	}
}

// fold adds the windows' gradients to the picture's.
func (c *bfloatConv) fold(s *bfloatScratch, dx []float32) {
	u := c.unfold
	n := u.k * u.k * c.in.c
	copyPixels(s.col, n, s.sum, c.ci)
	u.windows(c.in, 0, u.h, func(at, from, before, inside, _ int) {
		if inside > 0 {
			kernel.Add(dx[from:from+inside], s.col[at+before:])
		}
	})
}

// gradSteps is how many steps of a weight gradient's sum are made for all
// taps before the next ones: what they read stays in the first-level cache.
const gradSteps = 8

// weightGrad is dW[tap][in][out] of n pictures: the planes, as far on as the
// tap, times the pairs.
func (c *bfloatConv) weightGrad(worker, l, n int, add bool) {
	s, steps, plane := &c.scratch[worker], blocks(c.grid.run), c.planeSize()
	offs := s.offs[:n*steps]
	for i := range offs {
		offs[i] = 2 * (i/steps*plane + i%steps*blk)
	}
	jobs := s.jobs[:0]
	for b := range c.ci / blk {
		for t, tap := range c.taps {
			phase, at := tap.at/c.grid.phase, tap.at%c.grid.phase
			jobs = append(jobs, kernel.Job{A: 2 * ((phase*c.ci+b*blk)*n*plane + at), C: 4 * (t*c.ci + b*blk) * c.co})
		}
	}
	for j := range c.co / blk {
		pairs := s.pairs[j*n*steps*blk*blk:]
		for k := 0; k < len(offs); k += gradSteps {
			kernel.MulTiles(jobs, offs[k:min(k+gradSteps, len(offs))], s.planes, n*plane, pairs[k*blk*blk:], c.dw[l][j*blk:], c.co, add || k > 0)
		}
	}
}

// unpackBlock adds up the lanes for 32 input channels and writes them as
// [out][in][k][k].
func (c *bfloatConv) unpackBlock(_, ib int) {
	kk := len(c.w.Value) / c.out.c / c.in.c
	for t := range c.taps {
		at := (t*c.ci + ib*blk) * c.co
		sum := c.dw[0][at:][:blk*c.co]
		for l := 1; l < c.lanes; l++ {
			kernel.Add(sum, c.dw[l][at:])
		}
		for i := ib * blk; i < (ib+1)*blk; i++ {
			ch, tap := i, t
			if c.unfold != nil {
				ch, tap = i%c.in.c, i/c.in.c
			}
			if ch >= c.in.c || tap >= kk {
				continue
			}
			for o := range c.out.c {
				c.w.Grad[(o*c.in.c+ch)*kk+tap] = sum[(i-ib*blk)*c.co+o]
			}
		}
	}
}
