package nn

import "mien/train/nn/internal/kernel"

// winograd is a convolution of stride 1 by Winograd's algorithm: tiles of the
// input and the weights are transformed (V, U), multiplied point by point,
// which is one product of matrices for each of the n*n points, and the
// products (M) transformed into tiles of the output. Going back, the output's
// gradient becomes that of M, from which come those of U and of V.
type winograd struct {
	f          kernel.Filter
	in, out    *tensor
	w, b       *Param
	work       *workers
	mem        *arena
	n, m, r    int
	pad        int
	rows, cols int // of tiles in a picture
	block      int // tiles at a time
	scratch    []tileScratch
	db         [lanes][]float32
	images     int
	fwd, bwd   func(worker, i int)
	wFwd, wBwd func(worker, i int)
	wGrad      func(worker, i int)
	pointU     int // distance of a point's matrix in U from the next one's
	pointV     int // and in V and M, by the wider of the two
	widest     int
	perImage   int
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

// winogradFor chooses the filter for a convolution: that with the fewest
// products, or none.
func winogradFor(g geometry, in *tensor, out int) (kernel.Filter, bool) {
	best, cost := kernel.Filter{}, 0
	if g.stride != 1 || in.c < 16 || out < 16 {
		return best, false
	}
	for _, f := range kernel.Filters {
		tiles := ceil(g.h, f.M) * ceil(g.w, f.M)
		if c := tiles * f.N() * f.N(); f.R == g.k && (cost == 0 || c < cost) {
			best, cost = f, c
		}
	}
	return best, cost > 0
}

func ceil(a, b int) int { return (a + b - 1) / b }

func newWinograd(f kernel.Filter, g geometry, batch int, in, out *tensor, w, b *Param, work *workers, mem *arena) *winograd {
	c := &winograd{f: f, in: in, out: out, w: w, b: b, work: work, mem: mem, n: f.N(), m: f.M, r: f.R, pad: g.padY}
	c.rows, c.cols = ceil(out.h, c.m), ceil(out.w, c.m)
	c.perImage = c.rows * c.cols
	c.widest = max(in.c, out.c)
	c.block = c.blockOf(ceil(batch, lanes) * c.perImage)
	c.pointU, c.pointV = in.c*out.c+spread, c.block*c.widest+spread
	mem.grow(work.n, c.n*c.n*c.pointU, 2*c.n*c.n*c.pointV)
	for range work.n {
		size := c.n * c.n * c.widest
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
func (c *winograd) blockOf(tiles int) int {
	goal := max(24, c.in.c*c.out.c/(c.in.c+c.out.c))
	return ceil(tiles, max(1, (tiles+goal/2)/goal))
}

func (c *winograd) forward(p *pass) {
	c.images = p.n
	c.work.run(c.in.c, c.wFwd)
	c.work.run(lanes, c.fwd)
}

// weightsOfInput transforms the weights of one input channel: U[point][in][out].
func (c *winograd) weightsOfInput(worker, ci int) {
	c.transformWeights(worker, c.w.Value[ci*c.r*c.r:], c.in.c*c.r*c.r, c.out.c, c.mem.u[ci*c.out.c:])
}

// weightsOfOutput does it for one output channel: U[point][out][in].
func (c *winograd) weightsOfOutput(worker, co int) {
	c.transformWeights(worker, c.w.Value[co*c.in.c*c.r*c.r:], c.r*c.r, c.in.c, c.mem.u[co*c.in.c:])
}

// transformWeights takes count filters, step values apart.
func (c *winograd) transformWeights(worker int, w []float32, step, count int, u []float32) {
	s, n, r := c.scratch[worker], c.n, c.r
	for i := range count {
		for t, v := range w[i*step:][:r*r] {
			s.patch[t*count+i] = v
		}
	}
	c.f.Transform(kernel.G, r, count, kernel.View{V: s.half, Row: r * count, Col: count}, kernel.View{V: s.patch, Row: r * count, Col: count})
	c.f.Transform(kernel.G, n, count, kernel.View{V: u, Row: c.pointU, Col: n * c.pointU}, kernel.View{V: s.half, Row: count, Col: r * count})
}

func (c *winograd) forwardLane(worker, l int) {
	lo, hi := lane(l, c.images)
	for t := lo * c.perImage; t < hi*c.perImage; t += c.block {
		c.forwardBlock(worker, t, min(c.block, hi*c.perImage-t))
	}
}

// halves are the worker's memory for V and for M.
func (c *winograd) halves(worker int) (v, m []float32) {
	all, size := c.mem.worker[worker], c.n*c.n*c.pointV
	return all[:size], all[size : 2*size]
}

func (c *winograd) forwardBlock(worker, first, count int) {
	v, m := c.halves(worker)
	ci, co := c.in.c, c.out.c
	for t := range count {
		c.loadInput(worker, first+t, v[t*ci:])
	}
	for k := range c.n * c.n {
		kernel.Gemm(count, co, ci, v[k*c.pointV:], ci, 1, c.mem.u[k*c.pointU:], co, m[k*c.pointV:], co, false)
	}
	for t := range count {
		c.storeOutput(worker, first+t, m[t*co:])
	}
}

// window is the part of a picture of h x w pixels that a tile covers, which
// begins at (y, x): rows y+top to y+bottom, columns x+left to x+right.
type window struct{ y, x, top, bottom, left, right int }

func (c *winograd) window(t *tensor, tile, size, pad int) window {
	at := tile % c.perImage
	y, x := at/c.cols*c.m-pad, at%c.cols*c.m-pad
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
func (c *winograd) loadInput(worker, tile int, v []float32) {
	s, n, ci := c.scratch[worker], c.n, c.in.c
	d := c.window(c.in, tile, n, c.pad).view(c.in.image(tile/c.perImage), c.in.w, ci, n, s.patch)
	c.f.Transform(kernel.BT, n, ci, kernel.View{V: s.half, Row: n * ci, Col: ci}, d)
	c.f.Transform(kernel.BT, n, ci, kernel.View{V: v, Row: c.pointV, Col: n * c.pointV}, kernel.View{V: s.half, Row: ci, Col: n * ci})
}

// storeOutput is y = AT M A + bias for one tile.
func (c *winograd) storeOutput(worker, tile int, mm []float32) {
	s, n, m, co := c.scratch[worker], c.n, c.m, c.out.c
	c.f.Transform(kernel.AT, n, co, kernel.View{V: s.half, Row: n * co, Col: co}, kernel.View{V: mm, Row: n * c.pointV, Col: c.pointV})
	half := kernel.View{V: s.half, Row: co, Col: n * co}
	w, y := c.window(c.out, tile, m, 0), c.out.image(tile/c.perImage)
	c.f.Transform(kernel.AT, m, co, kernel.View{V: s.patch, Row: co, Col: m * co}, half)
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
	lo, hi := lane(l, c.images)
	clear(c.db[l])
	if lo == hi {
		clear(c.mem.du[l][:c.n*c.n*c.pointU])
		return
	}
	for i := lo; i < hi; i++ {
		kernel.SumRows(c.db[l], c.out.imageGrad(i))
		if c.in.grad != nil {
			clear(c.in.imageGrad(i))
		}
	}
	for t := lo * c.perImage; t < hi*c.perImage; t += c.block {
		c.backwardBlock(worker, l, t, min(c.block, hi*c.perImage-t), t > lo*c.perImage)
	}
}

func (c *winograd) backwardBlock(worker, l, first, count int, more bool) {
	v, m := c.halves(worker)
	ci, co := c.in.c, c.out.c
	for t := range count {
		c.loadInput(worker, first+t, v[t*ci:])
		c.loadGrad(worker, first+t, m[t*co:])
	}
	for k := range c.n * c.n {
		vk, mk := v[k*c.pointV:], m[k*c.pointV:]
		kernel.Gemm(ci, co, count, vk, 1, ci, mk, co, c.mem.du[l][k*c.pointU:], co, more)
		if c.in.grad != nil { // V is not needed any more: its gradient takes its place
			kernel.Gemm(count, ci, co, mk, co, 1, c.mem.u[k*c.pointU:], ci, vk, ci, false)
		}
	}
	for t := 0; t < count && c.in.grad != nil; t++ {
		c.addInputGrad(worker, first+t, v[t*ci:])
	}
}

// loadGrad is dM = A dy AT for one tile.
func (c *winograd) loadGrad(worker, tile int, mm []float32) {
	s, n, m, co := c.scratch[worker], c.n, c.m, c.out.c
	dy := c.window(c.out, tile, m, 0).view(c.out.imageGrad(tile/c.perImage), c.out.w, co, m, s.patch)
	c.f.Transform(kernel.A, m, co, kernel.View{V: s.half, Row: m * co, Col: co}, dy)
	c.f.Transform(kernel.A, n, co, kernel.View{V: mm, Row: c.pointV, Col: n * c.pointV}, kernel.View{V: s.half, Row: co, Col: m * co})
}

// addInputGrad adds B dV BT of one tile, which overlaps with its neighbours.
func (c *winograd) addInputGrad(worker, tile int, v []float32) {
	s, n, ci := c.scratch[worker], c.n, c.in.c
	c.f.Transform(kernel.B, n, ci, kernel.View{V: s.half, Row: n * ci, Col: ci}, kernel.View{V: v, Row: n * c.pointV, Col: c.pointV})
	c.f.Transform(kernel.B, n, ci, kernel.View{V: s.patch, Row: ci, Col: n * ci}, kernel.View{V: s.half, Row: ci, Col: n * ci})
	w, dx := c.window(c.in, tile, n, c.pad), c.in.imageGrad(tile/c.perImage)
	for y := w.top; y < w.bottom; y++ {
		kernel.Add(dx[((w.y+y)*c.in.w+w.x+w.left)*ci:][:(w.right-w.left)*ci], s.patch[(y*n+w.left)*ci:])
	}
}

// gradOfInput is dg = GT dU G for the filters of one input channel.
func (c *winograd) gradOfInput(worker, ci int) {
	s, n, r, co := c.scratch[worker], c.n, c.r, c.out.c
	du := c.mem.du[0][ci*co:]
	for l := 1; l < lanes; l++ {
		for k := range n * n {
			kernel.Add(du[k*c.pointU:][:co], c.mem.du[l][k*c.pointU+ci*co:])
		}
	}
	c.f.Transform(kernel.GT, n, co, kernel.View{V: s.half, Row: n * co, Col: co}, kernel.View{V: du, Row: n * c.pointU, Col: c.pointU})
	c.f.Transform(kernel.GT, r, co, kernel.View{V: s.patch, Row: co, Col: r * co}, kernel.View{V: s.half, Row: co, Col: n * co})
	for o := range co {
		g := c.w.Grad[(o*c.in.c+ci)*r*r:][:r*r]
		for t := range g {
			g[t] = s.patch[t*co+o]
		}
	}
}
