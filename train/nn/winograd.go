package nn

import "mien/train/nn/internal/kernel"

// winograd is a convolution of stride 1 by Winograd's algorithm: tiles of the
// input and the weights are transformed (V, U), multiplied point by point,
// which is one product of matrices for each of the n*n points, and the
// products (M) transformed into tiles of the output. Going back, the output's
// gradient becomes that of M, from which come those of U and of V.
//
// Filters with more points need fewer products and lose more digits. Forward
// takes an accurate one, since a rounding error there may change which pixel a
// pool picks; backward the fastest.
type winograd struct {
	fast, exact tiling
	in, out     *tensor
	w, b        *Param
	work        *workers
	mem         *arena
	scratch     []tileScratch
	db          [lanes][]float32
	images      int
	fwd, bwd    func(worker, i int)
	wFwd, wBwd  func(worker, i int)
	wGrad       func(worker, i int)
}

// tiling is how one filter divides the pictures.
type tiling struct {
	kernel.Filter
	n          int // inputs of a tile, a side
	pad        int
	rows, cols int // of tiles in a picture
	perImage   int
	block      int // tiles at a time
	pointU     int // distance of a point's matrix in U from the next one's,
	pointV     int // and in V and M, by the wider of the two
}

// arena is memory that the convolutions of a network use one after the other.
type arena struct {
	u      []float32   // transformed weights
	du     [][]float32 // a lane's gradient of them
	worker [][]float32 // a worker's block of tiles
}

func (a *arena) grow(threads, u, tiles int) {
	if a.du == nil {
		a.du, a.worker = make([][]float32, lanes), make([][]float32, threads)
	}
	grow(&a.u, u)
	for l := range a.du {
		grow(&a.du[l], u)
	}
	for t := range a.worker {
		grow(&a.worker[t], tiles)
	}
}

func grow(x *[]float32, n int) {
	if len(*x) < n {
		*x = make([]float32, n)
	}
}

// tileScratch is what one worker needs for one tile.
type tileScratch struct{ patch, half []float32 }

// exactPoints is the largest side of a tile that loses next to no accuracy.
const exactPoints = 6

// filterFor chooses the filter with the fewest products for an output of h x w
// among those of at most points inputs a side.
func filterFor(g geometry, points int) (best kernel.Filter, ok bool) {
	cost := 0
	for _, f := range kernel.Filters {
		c := ceil(g.h, f.M) * ceil(g.w, f.M) * f.N() * f.N()
		if f.R == g.k && f.N() <= points && (!ok || c < cost) {
			best, cost, ok = f, c, true
		}
	}
	return best, ok
}

// hasWinograd reports whether the algorithm pays for a convolution.
func hasWinograd(g geometry, in *tensor, out int) bool {
	_, ok := filterFor(g, exactPoints)
	return ok && g.stride == 1 && in.c >= 16 && out >= 16
}

func ceil(a, b int) int { return (a + b - 1) / b }

func newTiling(g geometry, points, batch int, in, out *tensor) tiling {
	f, _ := filterFor(g, points)
	t := tiling{Filter: f, n: f.N(), pad: g.padY, rows: ceil(out.h, f.M), cols: ceil(out.w, f.M)}
	t.perImage = t.rows * t.cols
	t.block = blockOf(ceil(batch, lanes)*t.perImage, in.c, out.c)
	t.pointU, t.pointV = in.c*out.c+spread, t.block*max(in.c, out.c)+spread
	return t
}

func newWinograd(g geometry, batch int, in, out *tensor, w, b *Param, work *workers, mem *arena) *winograd {
	c := &winograd{in: in, out: out, w: w, b: b, work: work, mem: mem,
		fast: newTiling(g, 8, batch, in, out), exact: newTiling(g, exactPoints, batch, in, out)}
	n := 0
	for _, t := range []tiling{c.fast, c.exact} {
		mem.grow(work.n, t.n*t.n*t.pointU, 2*t.n*t.n*t.pointV)
		n = max(n, t.n)
	}
	for range work.n {
		size := n * n * max(in.c, out.c)
		c.scratch = append(c.scratch, tileScratch{make([]float32, size), make([]float32, size)})
	}
	for l := range lanes {
		c.db[l] = make([]float32, out.c)
	}
	c.fwd, c.bwd = c.forwardLane, c.backwardLane
	c.wFwd, c.wBwd, c.wGrad = c.weightsOfInput, c.weightsOfOutput, c.gradOfInput
	return c
}

// spread keeps the points' matrices from starting at the same place in the
// cache's pages.
const spread = 16

// blockOf divides tiles into equal blocks whose V and M take about the memory
// that U takes, so that neither is read too often.
func blockOf(tiles, in, out int) int {
	goal := max(24, in*out/(in+out))
	return ceil(tiles, max(1, (tiles+goal/2)/goal))
}

func (c *winograd) forward(p *pass) {
	c.images = p.n
	c.work.run(c.in.c, c.wFwd)
	c.work.run(lanes, c.fwd)
}

// weightsOfInput transforms the weights of one input channel: U[point][in][out].
func (c *winograd) weightsOfInput(worker, ci int) {
	f := &c.exact
	c.transformWeights(f, worker, c.w.Value[ci*f.R*f.R:], c.in.c*f.R*f.R, c.out.c, c.mem.u[ci*c.out.c:])
}

// weightsOfOutput does it for one output channel: U[point][out][in].
func (c *winograd) weightsOfOutput(worker, co int) {
	f := &c.fast
	c.transformWeights(f, worker, c.w.Value[co*c.in.c*f.R*f.R:], f.R*f.R, c.in.c, c.mem.u[co*c.in.c:])
}

// transformWeights takes count filters, step values apart.
func (c *winograd) transformWeights(f *tiling, worker int, w []float32, step, count int, u []float32) {
	s, n, r := c.scratch[worker], f.n, f.R
	for i := range count {
		for t, v := range w[i*step:][:r*r] {
			s.patch[t*count+i] = v
		}
	}
	f.Transform(kernel.G, r, count, kernel.View{V: s.half, Row: r * count, Col: count}, kernel.View{V: s.patch, Row: r * count, Col: count})
	f.Transform(kernel.G, n, count, kernel.View{V: u, Row: f.pointU, Col: n * f.pointU}, kernel.View{V: s.half, Row: count, Col: r * count})
}

func (c *winograd) forwardLane(worker, l int) {
	f := &c.exact
	lo, hi := lane(l, c.images)
	for t := lo * f.perImage; t < hi*f.perImage; t += f.block {
		c.forwardBlock(worker, t, min(f.block, hi*f.perImage-t))
	}
}

// halves are the worker's memory for V and for M.
func (c *winograd) halves(f *tiling, worker int) (v, m []float32) {
	all, size := c.mem.worker[worker], f.n*f.n*f.pointV
	return all[:size], all[size : 2*size]
}

func (c *winograd) forwardBlock(worker, first, count int) {
	f := &c.exact
	v, m := c.halves(f, worker)
	ci, co := c.in.c, c.out.c
	for t := range count {
		c.loadInput(f, worker, first+t, v[t*ci:])
	}
	for k := range f.n * f.n {
		kernel.Gemm(count, co, ci, v[k*f.pointV:], ci, 1, c.mem.u[k*f.pointU:], co, m[k*f.pointV:], co, false)
	}
	for t := range count {
		c.storeOutput(worker, first+t, m[t*co:])
	}
}

// window is the part of a picture of h x w pixels that a tile covers, which
// begins at (y, x): rows y+top to y+bottom, columns x+left to x+right.
type window struct{ y, x, top, bottom, left, right int }

func (f *tiling) window(t *tensor, tile, size, pad int) window {
	at := tile % f.perImage
	y, x := at/f.cols*f.M-pad, at%f.cols*f.M-pad
	return window{y, x, max(0, -y), min(size, t.h-y), max(0, -x), min(size, t.w-x)}
}

func (w window) whole(size int) bool {
	return w.top == 0 && w.left == 0 && w.bottom == size && w.right == size
}

// view returns a tile of a picture, in place where it lies inside, otherwise
// as a copy in patch with zeros around.
func (w window) view(x []float32, width, c, size int, patch []float32) kernel.View {
	if w.whole(size) {
		return kernel.View{V: x[(w.y*width+w.x)*c:], Row: width * c, Col: c}
	}
	patch = patch[:size*size*c]
	clear(patch)
	for y := w.top; y < w.bottom; y++ {
		copy(patch[(y*size+w.left)*c:(y*size+w.right)*c], x[((w.y+y)*width+w.x+w.left)*c:])
	}
	return kernel.View{V: patch, Row: size * c, Col: c}
}

// loadInput is V = BT d B for one tile.
func (c *winograd) loadInput(f *tiling, worker, tile int, v []float32) {
	s, n, ci := c.scratch[worker], f.n, c.in.c
	d := f.window(c.in, tile, n, f.pad).view(c.in.image(tile/f.perImage), c.in.w, ci, n, s.patch)
	f.Transform(kernel.BT, n, ci, kernel.View{V: s.half, Row: n * ci, Col: ci}, d)
	f.Transform(kernel.BT, n, ci, kernel.View{V: v, Row: f.pointV, Col: n * f.pointV}, kernel.View{V: s.half, Row: ci, Col: n * ci})
}

// storeOutput is y = AT M A + bias for one tile.
func (c *winograd) storeOutput(worker, tile int, mm []float32) {
	f := &c.exact
	s, n, m, co := c.scratch[worker], f.n, f.M, c.out.c
	f.Transform(kernel.AT, n, co, kernel.View{V: s.half, Row: n * co, Col: co}, kernel.View{V: mm, Row: n * f.pointV, Col: f.pointV})
	half := kernel.View{V: s.half, Row: co, Col: n * co}
	w, y := f.window(c.out, tile, m, 0), c.out.image(tile/f.perImage)
	f.Transform(kernel.AT, m, co, kernel.View{V: s.patch, Row: co, Col: m * co}, half)
	for row := range w.bottom {
		d := y[((w.y+row)*c.out.w+w.x)*co:][:w.right*co]
		copy(d, s.patch[row*m*co:])
		if c.b != nil {
			kernel.AddRow(d, c.b.Value)
		}
	}
}

func (c *winograd) backward(p *pass) {
	c.images = p.n
	if c.in.grad != nil {
		c.work.run(c.out.c, c.wBwd)
	}
	c.work.run(lanes, c.bwd)
	c.work.run(c.in.c, c.wGrad)
	if c.b != nil {
		for l := 1; l < lanes; l++ {
			kernel.Add(c.db[0], c.db[l])
		}
		copy(c.b.Grad, c.db[0])
	}
}

func (c *winograd) backwardLane(worker, l int) {
	f := &c.fast
	lo, hi := lane(l, c.images)
	clear(c.db[l])
	if lo == hi {
		clear(c.mem.du[l][:f.n*f.n*f.pointU])
		return
	}
	for i := lo; i < hi; i++ {
		kernel.SumRows(c.db[l], c.out.imageGrad(i))
		if c.in.grad != nil {
			clear(c.in.imageGrad(i))
		}
	}
	for t := lo * f.perImage; t < hi*f.perImage; t += f.block {
		c.backwardBlock(worker, l, t, min(f.block, hi*f.perImage-t), t > lo*f.perImage)
	}
}

func (c *winograd) backwardBlock(worker, l, first, count int, more bool) {
	f := &c.fast
	v, m := c.halves(f, worker)
	ci, co := c.in.c, c.out.c
	for t := range count {
		c.loadInput(f, worker, first+t, v[t*ci:])
		c.loadGrad(worker, first+t, m[t*co:])
	}
	for k := range f.n * f.n {
		vk, mk := v[k*f.pointV:], m[k*f.pointV:]
		kernel.Gemm(ci, co, count, vk, 1, ci, mk, co, c.mem.du[l][k*f.pointU:], co, more)
		if c.in.grad != nil { // V is not needed any more: its gradient takes its place
			kernel.Gemm(count, ci, co, mk, co, 1, c.mem.u[k*f.pointU:], ci, vk, ci, false)
		}
	}
	for t := 0; t < count && c.in.grad != nil; t++ {
		c.addInputGrad(worker, first+t, v[t*ci:])
	}
}

// loadGrad is dM = A dy AT for one tile.
func (c *winograd) loadGrad(worker, tile int, mm []float32) {
	f := &c.fast
	s, n, m, co := c.scratch[worker], f.n, f.M, c.out.c
	dy := f.window(c.out, tile, m, 0).view(c.out.imageGrad(tile/f.perImage), c.out.w, co, m, s.patch)
	f.Transform(kernel.A, m, co, kernel.View{V: s.half, Row: m * co, Col: co}, dy)
	f.Transform(kernel.A, n, co, kernel.View{V: mm, Row: f.pointV, Col: n * f.pointV}, kernel.View{V: s.half, Row: co, Col: m * co})
}

// addInputGrad adds B dV BT of one tile, which overlaps with its neighbours.
func (c *winograd) addInputGrad(worker, tile int, v []float32) {
	f := &c.fast
	s, n, ci := c.scratch[worker], f.n, c.in.c
	f.Transform(kernel.B, n, ci, kernel.View{V: s.half, Row: n * ci, Col: ci}, kernel.View{V: v, Row: n * f.pointV, Col: f.pointV})
	f.Transform(kernel.B, n, ci, kernel.View{V: s.patch, Row: ci, Col: n * ci}, kernel.View{V: s.half, Row: ci, Col: n * ci})
	w, dx := f.window(c.in, tile, n, f.pad), c.in.imageGrad(tile/f.perImage)
	for y := w.top; y < w.bottom; y++ {
		kernel.Add(dx[((w.y+y)*c.in.w+w.x+w.left)*ci:][:(w.right-w.left)*ci], s.patch[(y*n+w.left)*ci:])
	}
}

// gradOfInput is dg = GT dU G for the filters of one input channel.
func (c *winograd) gradOfInput(worker, ci int) {
	f := &c.fast
	s, n, r, co := c.scratch[worker], f.n, f.R, c.out.c
	du := c.mem.du[0][ci*co:]
	for l := 1; l < lanes; l++ {
		for k := range n * n {
			kernel.Add(du[k*f.pointU:][:co], c.mem.du[l][k*f.pointU+ci*co:])
		}
	}
	f.Transform(kernel.GT, n, co, kernel.View{V: s.half, Row: n * co, Col: co}, kernel.View{V: du, Row: n * f.pointU, Col: f.pointU})
	f.Transform(kernel.GT, r, co, kernel.View{V: s.patch, Row: co, Col: r * co}, kernel.View{V: s.half, Row: co, Col: n * co})
	for o := range co {
		g := c.w.Grad[(o*c.in.c+ci)*r*r:][:r*r]
		for t := range g {
			g[t] = s.patch[t*co+o]
		}
	}
}
