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
	elu         bool // forward goes on with ELU
	work        *workers
	mem         *arena
	scratch     []tileScratch
	db          []float32 // of every picture
	images      int

	// What workers do, forward and backward: with one channel's weights, with
	// a block of tiles or a lane, or, where a layer goes point by point, with
	// a picture's tiles, a point, and a picture's tiles again.
	fwd, bwd struct{ weights, block, load, point, store func(worker, i int) }
	gradient func(worker, i int)
}

// tiling is how one filter divides the pictures.
type tiling struct {
	kernel.Filter
	n          int // inputs of a tile, a side
	pad        int
	rows, cols int // of tiles in a picture
	perImage   int
	block      int  // tiles at a time
	lanes      int  // parts of a batch, each with its own gradient of U
	whole      bool // a block is the batch: workers share points, not tiles
	pointU     int  // distance of a point's matrix in U from the next one's,
	pointV     int  // and in V and M, by the wider of the two
}

// arena is memory that the convolutions of a network use one after the other.
type arena struct {
	u      []float32   // transformed weights
	du     [][]float32 // a lane's gradient of them
	whole  []float32   // tiles of a batch
	worker [][]float32 // a worker's block of tiles
}

func (a *arena) grow(threads int, t *tiling) {
	if a.du == nil {
		a.du, a.worker = make([][]float32, lanes), make([][]float32, threads)
	}
	points := t.n * t.n
	grow(&a.u, points*t.pointU)
	for l := range t.lanes {
		grow(&a.du[l], points*t.pointU)
	}
	if t.whole {
		grow(&a.whole, 2*points*t.pointV)
		return
	}
	for w := range a.worker {
		grow(&a.worker[w], 2*points*t.pointV)
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

// wholeRatio: a layer whose tiles of a batch are at most so many times its
// channels has more weights to share among workers than pictures.
const wholeRatio = 6

// laneWeights bounds the sizes of U of all lanes together, which have to be
// added up in the end.
const laneWeights = 1 << 21

// panel is the width of the parts that U is kept in: what a micro-kernel reads
// lies together.
const panel = 32

// spread keeps the points' matrices from starting at the same place in the
// cache's pages.
const spread = 16

func newTiling(g geometry, points, batch int, in, out *tensor) tiling {
	f, _ := filterFor(g, points)
	t := tiling{Filter: f, n: f.N(), pad: g.padY, rows: ceil(out.h, f.M), cols: ceil(out.w, f.M)}
	t.perImage = t.rows * t.cols
	t.whole = batch*t.perImage <= wholeRatio*min(in.c, out.c)
	t.block, t.lanes = batch*t.perImage, 1
	if !t.whole {
		t.lanes = min(lanes, max(4, laneWeights/(t.n*t.n*in.c*out.c)))
		t.block = blockOf(ceil(batch, t.lanes)*t.perImage, in.c, out.c)
	}
	t.pointU = max(in.c*ceil(out.c, panel), out.c*ceil(in.c, panel))*panel + spread
	t.pointV = t.block*max(in.c, out.c) + spread
	return t
}

// blockOf divides tiles into equal blocks whose V and M take about the memory
// that U takes, so that neither is read too often; eights suit the kernels.
func blockOf(tiles, in, out int) int {
	goal := max(24, in*out/(in+out))
	return ceil(ceil(tiles, max(1, (tiles+goal/2)/goal)), 8) * 8
}

func newWinograd(g geometry, batch int, in, out *tensor, w, b *Param, work *workers, mem *arena) *winograd {
	c := &winograd{in: in, out: out, w: w, b: b, work: work, mem: mem, db: make([]float32, batch*out.c),
		fast: newTiling(g, 8, batch, in, out), exact: newTiling(g, exactPoints, batch, in, out)}
	n := max(c.fast.n, c.exact.n)
	mem.grow(work.n, &c.fast)
	mem.grow(work.n, &c.exact)
	for range work.n {
		size := n * n * max(in.c, out.c)
		c.scratch = append(c.scratch, tileScratch{make([]float32, size), make([]float32, size)})
	}
	c.fwd.weights, c.bwd.weights, c.gradient = c.weightsOfInput, c.weightsOfOutput, c.gradOfInput
	c.fwd.block, c.bwd.block = c.forwardBlock, c.backwardLane
	c.fwd.load, c.fwd.point, c.fwd.store = c.loadImage, c.multiply, c.storeImage
	c.bwd.load, c.bwd.point, c.bwd.store = c.loadGrads, c.multiplyGrads, c.addInputGrads
	return c
}

// fuseELU makes ELU part of forward if t is the output.
func (c *winograd) fuseELU(t *tensor) bool {
	c.elu = t == c.out
	return c.elu
}

func (c *winograd) forward(p *pass) {
	f := &c.exact
	c.images = p.n
	c.work.run(c.in.c, c.fwd.weights)
	if f.whole {
		c.work.run(p.n, c.fwd.load)
		c.work.run(f.n*f.n, c.fwd.point)
		c.work.run(p.n, c.fwd.store)
		return
	}
	c.work.run(ceil(p.n*f.perImage, f.block), c.fwd.block)
}

// weightsOfInput transforms the weights of one input channel: U[point][in][out].
func (c *winograd) weightsOfInput(worker, ci int) {
	f := &c.exact
	c.transformWeights(f, worker, c.w.Value[ci*f.R*f.R:], c.in.c*f.R*f.R, c.out.c, c.in.c, ci)
}

// weightsOfOutput does it for one output channel: U[point][out][in].
func (c *winograd) weightsOfOutput(worker, co int) {
	f := &c.fast
	c.transformWeights(f, worker, c.w.Value[co*c.in.c*f.R*f.R:], f.R*f.R, c.in.c, c.out.c, co)
}

// transformWeights takes count filters, step values apart, and makes them row
// at of rows in every point's matrix.
func (c *winograd) transformWeights(f *tiling, worker int, w []float32, step, count, rows, at int) {
	s, n, r := c.scratch[worker], f.n, f.R
	for i := range count {
		for t, v := range w[i*step:][:r*r] {
			s.patch[t*count+i] = v
		}
	}
	f.Transform(kernel.G, r, count, kernel.View{V: s.half, Row: r * count, Col: count}, kernel.View{V: s.patch, Row: r * count, Col: count})
	for j := 0; j < count; j += panel {
		u := kernel.View{V: c.mem.u[j*rows+at*panel:], Row: f.pointU, Col: n * f.pointU}
		f.Transform(kernel.G, n, min(panel, count-j), u, kernel.View{V: s.half[j:], Row: count, Col: r * count})
	}
}

// product is y = x * U at one point, for rows of x.
func (f *tiling) product(y, x, u []float32, rows, in, out int) {
	for j := 0; j < out; j += panel {
		gemm(false, rows, min(panel, out-j), in, x, in, u[j*in:], panel, y[j:], out, false)
	}
}

// tiles are the memory for V and for M.
func (c *winograd) tiles(f *tiling, worker int) (v, m []float32) {
	all, size := c.mem.whole, f.n*f.n*f.pointV
	if !f.whole {
		all = c.mem.worker[worker]
	}
	return all[:size], all[size : 2*size]
}

func (c *winograd) forwardBlock(worker, i int) {
	f := &c.exact
	v, m := c.tiles(f, worker)
	first := i * f.block
	count := min(f.block, c.images*f.perImage-first)
	for t := range count {
		c.loadInput(f, worker, first+t, v[t*c.in.c:])
	}
	for k := range f.n * f.n {
		f.product(m[k*f.pointV:], v[k*f.pointV:], c.mem.u[k*f.pointU:], count, c.in.c, c.out.c)
	}
	for t := range count {
		c.storeOutput(worker, first+t, m[t*c.out.c:])
	}
}

func (c *winograd) loadImage(worker, i int) {
	f := &c.exact
	v, _ := c.tiles(f, worker)
	for t := i * f.perImage; t < (i+1)*f.perImage; t++ {
		c.loadInput(f, worker, t, v[t*c.in.c:])
	}
}

func (c *winograd) multiply(worker, k int) {
	f := &c.exact
	v, m := c.tiles(f, worker)
	f.product(m[k*f.pointV:], v[k*f.pointV:], c.mem.u[k*f.pointU:], c.images*f.perImage, c.in.c, c.out.c)
}

func (c *winograd) storeImage(worker, i int) {
	f := &c.exact
	_, m := c.tiles(f, worker)
	for t := i * f.perImage; t < (i+1)*f.perImage; t++ {
		c.storeOutput(worker, t, m[t*c.out.c:])
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

// storeOutput is y = AT M A + bias for one tile, and ELU where it follows.
func (c *winograd) storeOutput(worker, tile int, mm []float32) {
	f := &c.exact
	s, n, m, co := c.scratch[worker], f.n, f.M, c.out.c
	f.Transform(kernel.AT, n, co, kernel.View{V: s.half, Row: n * co, Col: co}, kernel.View{V: mm, Row: n * f.pointV, Col: f.pointV})
	half := kernel.View{V: s.half, Row: co, Col: n * co}
	w, y := f.window(c.out, tile, m, 0), c.out.image(tile/f.perImage)
	y = y[(w.y*c.out.w+w.x)*co:]
	if w.whole(m) {
		f.Transform(kernel.AT, m, co, kernel.View{V: y, Row: co, Col: c.out.w * co}, half)
	} else {
		f.Transform(kernel.AT, m, co, kernel.View{V: s.patch, Row: co, Col: m * co}, half)
	}
	for row := range w.bottom {
		d := y[row*c.out.w*co:][:w.right*co]
		if !w.whole(m) {
			copy(d, s.patch[row*m*co:])
		}
		if c.b != nil {
			kernel.AddRow(d, c.b.Value)
		}
		if c.elu {
			kernel.ELU(d)
		}
	}
}

func (c *winograd) backward(p *pass) {
	f := &c.fast
	c.images = p.n
	if c.in.grad != nil {
		c.work.run(c.out.c, c.bwd.weights)
	}
	if f.whole {
		c.work.run(p.n, c.bwd.load)
		c.work.run(f.n*f.n, c.bwd.point)
		if c.in.grad != nil {
			c.work.run(p.n, c.bwd.store)
		}
	} else {
		c.work.run(f.lanes, c.bwd.block)
	}
	c.work.run(c.in.c, c.gradient)
	if c.b != nil {
		clear(c.b.Grad)
		kernel.SumRows(c.b.Grad, c.db[:p.n*c.out.c])
	}
}

func (c *winograd) backwardLane(worker, l int) {
	f := &c.fast
	lo, hi := lane(l, f.lanes, c.images)
	if lo == hi {
		clear(c.mem.du[l][:f.n*f.n*f.pointU])
		return
	}
	for i := lo; i < hi; i++ {
		c.biasGrad(i)
	}
	for t := lo * f.perImage; t < hi*f.perImage; t += f.block {
		c.backwardBlock(worker, l, t, min(f.block, hi*f.perImage-t), t > lo*f.perImage)
	}
}

// biasGrad sums the bias's gradient over a picture.
func (c *winograd) biasGrad(i int) {
	if c.b != nil {
		db := c.db[i*c.out.c:][:c.out.c]
		clear(db)
		kernel.SumRows(db, c.out.imageGrad(i))
	}
}

func (c *winograd) backwardBlock(worker, l, first, count int, more bool) {
	f := &c.fast
	v, m := c.tiles(f, worker)
	for t := range count {
		c.loadInput(f, worker, first+t, v[t*c.in.c:])
		c.loadGrad(worker, first+t, m[t*c.out.c:])
	}
	for k := range f.n * f.n {
		c.backwardPoint(k, count, v[k*f.pointV:], m[k*f.pointV:], c.mem.du[l][k*f.pointU:], more)
	}
	for t := 0; t < count && c.in.grad != nil; t++ {
		c.addInputGrad(worker, first+t, v[t*c.in.c:])
	}
}

// backwardPoint is dU = VT dM and then dV = dM UT, which takes V's place.
func (c *winograd) backwardPoint(k, count int, v, m, du []float32, more bool) {
	f, ci, co := &c.fast, c.in.c, c.out.c
	for j := 0; j < co; j += panel {
		gemm(true, ci, min(panel, co-j), count, v, ci, m[j:], co, du[j*ci:], panel, more)
	}
	if c.in.grad != nil {
		f.product(v, m, c.mem.u[k*f.pointU:], count, co, ci)
	}
}

func (c *winograd) loadGrads(worker, i int) {
	f := &c.fast
	v, m := c.tiles(f, worker)
	c.biasGrad(i)
	for t := i * f.perImage; t < (i+1)*f.perImage; t++ {
		c.loadInput(f, worker, t, v[t*c.in.c:])
		c.loadGrad(worker, t, m[t*c.out.c:])
	}
}

func (c *winograd) multiplyGrads(worker, k int) {
	f := &c.fast
	v, m := c.tiles(f, worker)
	c.backwardPoint(k, c.images*f.perImage, v[k*f.pointV:], m[k*f.pointV:], c.mem.du[0][k*f.pointU:], false)
}

func (c *winograd) addInputGrads(worker, i int) {
	f := &c.fast
	v, _ := c.tiles(f, worker)
	for t := i * f.perImage; t < (i+1)*f.perImage; t++ {
		c.addInputGrad(worker, t, v[t*c.in.c:])
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

// addInputGrad adds B dV BT of one tile to what the tiles above and to the
// left gave where they overlap, and stores it elsewhere: tiles come in order.
func (c *winograd) addInputGrad(worker, tile int, v []float32) {
	f := &c.fast
	s, n, ci := c.scratch[worker], f.n, c.in.c
	f.Transform(kernel.B, n, ci, kernel.View{V: s.half, Row: n * ci, Col: ci}, kernel.View{V: v, Row: n * f.pointV, Col: f.pointV})
	f.Transform(kernel.B, n, ci, kernel.View{V: s.patch, Row: ci, Col: n * ci}, kernel.View{V: s.half, Row: ci, Col: n * ci})
	w, dx := f.window(c.in, tile, n, f.pad), c.in.imageGrad(tile/f.perImage)
	above, left := f.R-1, f.R-1
	if w.top > 0 {
		above = w.top
	}
	if w.left > 0 {
		left = w.left
	}
	for y := w.top; y < w.bottom; y++ {
		added := left
		if y < above {
			added = w.right
		}
		added = min(added, w.right)
		d, from := dx[((w.y+y)*c.in.w+w.x+w.left)*ci:], s.patch[(y*n+w.left)*ci:]
		sum, all := (added-w.left)*ci, (w.right-w.left)*ci
		kernel.Add(d[:sum], from)
		copy(d[sum:all], from[sum:])
	}
}

// gradOfInput is dg = GT dU G for the filters of one input channel.
func (c *winograd) gradOfInput(worker, ci int) {
	f := &c.fast
	s, n, r, co := c.scratch[worker], f.n, f.R, c.out.c
	for j := 0; j < co; j += panel {
		at, width := j*c.in.c+ci*panel, min(panel, co-j)
		for l := 1; l < f.lanes; l++ {
			for k := range n * n {
				kernel.Add(c.mem.du[0][k*f.pointU+at:][:width], c.mem.du[l][k*f.pointU+at:])
			}
		}
		du := kernel.View{V: c.mem.du[0][at:], Row: n * f.pointU, Col: f.pointU}
		f.Transform(kernel.GT, n, width, kernel.View{V: s.half[j:], Row: n * co, Col: co}, du)
	}
	f.Transform(kernel.GT, r, co, kernel.View{V: s.patch, Row: co, Col: r * co}, kernel.View{V: s.half, Row: co, Col: n * co})
	for o := range co {
		g := c.w.Grad[(o*c.in.c+ci)*r*r:][:r*r]
		for t := range g {
			g[t] = s.patch[t*co+o]
		}
	}
}
