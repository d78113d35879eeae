package portable

import (
	"errors"
	"fmt"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// conv is a convolution, or a fully connected layer as one over pictures of
// one row. Each worker copies the input rows that it needs into its band, with
// the padding written out, so that windows become runs of contiguous values;
// small windows are then copied once more, side by side, to waste no tile.
// Where tiles take activations as they are and there is no padding, neither is
// needed.
type conv struct {
	node
	window
	set        *kernel.Set
	pack       *kernel.Pack
	runs       int // of a window as the tile sees it
	runLen     int // filled up
	elem       int
	cols       bool // windows are copied side by side
	direct     bool // windows are read from the input as it is
	byChannels bool // threads share channels, not rows
	// of an int8 convolution:
	weights  []int8
	pad      []int8
	epilogue *kernel.Epilogue
	// of a float32 convolution:
	weightsF []float32
	padF     []float32
	biasF    []float32
	lo, hi   float32
}

// tooShort is how much longer than its values a run may become before windows
// are rather copied side by side.
const tooShort = 1.65

// newConv returns a convolution without weights. When whole, windows that do
// not fill whole runs are copied, so that no zero weight meets a value that is
// not its own: in float32 that could be infinite.
func newConv(n node, g window, s *kernel.Set, p *kernel.Pack, elem int, asIs, whole bool) *conv {
	c := &conv{node: n, window: g, set: s, pack: p, elem: elem, runs: g.kh}
	values := g.kw * g.ic
	padded := kernel.RoundUp(values, p.Round)
	if g.dw > 1 || whole && padded != values || g.kh > 1 && float64(padded) > tooShort*float64(values) {
		c.cols, c.runs = true, 1
	}
	c.direct = asIs && !c.cols && !g.padded()
	return c
}

// run lengths in values: a run of the window, as the weights are packed.
func (c *conv) runValues() int { return c.kh * c.kw * c.ic / c.runs }

// width is the number of channels of accumulators.
func (c *conv) width() int { return kernel.RoundUp(c.oc, c.pack.Align) }

func (c *conv) cost() int { return c.n * c.oh * c.ow * c.oc * c.kh * c.kw * c.ic }

func (c *conv) needs(parts int) scratch {
	if c.byChannels {
		parts = 1
	}
	band := c.maxBandRows(parts) * c.bandWidth() * c.ic * c.elem
	cols := c.ow * c.runLen * c.elem
	if c.weights != nil {
		return scratch{band: band, cols: cols, acc: c.ow * c.width()}
	}
	return scratch{bandF: band, colsF: cols, accF: c.ow * c.width()}
}

// blocks is the number of pieces that the channels can be cut into, and unit
// how many channels each has.
func (c *conv) blocks() (n, unit int) {
	unit = max(c.pack.NR, c.pack.Align)
	return (c.width() + unit - 1) / unit, unit
}

func (c *conv) most() int {
	if c.byChannels {
		n, _ := c.blocks()
		return n
	}
	return c.rows()
}

// cut decides what threads share: rows, as then nothing is computed twice, or
// channels where rows would leave a thread idle for long.
func (c *conv) cut(threads int) {
	used := func(n int) float64 { return float64(n) / float64(kernel.RoundUp(n, threads)) }
	n, _ := c.blocks()
	c.byChannels = used(c.rows()) < 0.9 && used(n) > used(c.rows())
}

func (c *conv) run(w *worker, part, parts int) {
	lo, hi := 0, c.rows()
	c0, c1 := 0, c.width()
	if c.byChannels {
		n, unit := c.blocks()
		c0, c1 = share(n, part, parts)
		c0, c1 = c0*unit, min(c1*unit, c.width())
	} else {
		lo, hi = share(hi, part, parts)
	}
	if c0 >= c1 || c0 >= c.oc {
		return
	}
	for i := range c.pictures(lo, hi) {
		b, y0, y1 := c.piece(lo, hi, i)
		if c.weights != nil {
			c.runInt8(w, b, y0, y1, c0, c1)
		} else {
			c.runFloat32(w, b, y0, y1, c0, c1)
		}
	}
}

// runInt8 computes the channels [c0, c1) of output rows [y0, y1) of picture b.
func (c *conv) runInt8(w *worker, b, y0, y1, c0, c1 int) {
	k := &c.set.Int8
	in, row := w.band, c.bandWidth()*c.ic*c.elem
	if c.direct {
		in, row = w.i8(c.reads[0])[(b*c.ih+y0*c.sh)*c.iw*c.ic:], c.iw*c.ic
	} else {
		fillBand(&c.window, w.band, w.i8(c.reads[0]), c.pad, b, y0, y1, c.elem, k.Load)
	}
	out := w.i8(c.out)
	t := &w.tile
	t.WStep, t.AccStep = c.runs*c.runLen*c.pack.Panel*c.elem, c.width()
	t.Runs, t.RunLen = c.runs, c.runLen*c.elem
	t.AStep, t.RunStep = c.sw*c.ic*c.elem, c.dh*row
	if c.cols {
		t.AStep = t.RunLen
	}
	tiles := (c.ow + c.pack.MR - 1) / c.pack.MR
	for y := y0; y < y1; y++ {
		src := in[(y-y0)*c.sh*row:]
		if c.cols {
			fillCols(&c.window, w.cols, w.band, (y-y0)*c.sh, c.elem, t.RunLen, false)
			src = w.cols
		}
		for p := c0; p < c1; p += c.pack.NR {
			t.W = c.weights[p/c.pack.Panel*t.WStep:]
			for x := range tiles {
				x0, x1 := share(c.ow, x, tiles)
				t.A, t.Acc = src[x0*t.AStep:], w.acc[x0*t.AccStep+p:]
				k.Tile(t, x1-x0, min(c.pack.NR, c1-p))
			}
		}
		c.finishInt8(w, out[(b*c.oh+y)*c.ow*c.oc:][:c.ow*c.oc], c0, min(c1, c.oc))
	}
}

// finishInt8 writes the channels [c0, c1) of one output row.
func (c *conv) finishInt8(w *worker, out []int8, c0, c1 int) {
	e := c.epilogue
	if c0 > 0 {
		w.part = e.From(c0)
		e = &w.part
	}
	c.set.Requant(out[c0:], w.acc[c0:], e, c.ow, c1-c0, c.oc, c.width())
	if c1-c0 == c.oc {
		c.then.int8(w, out, 0)
		return
	}
	for x := range c.ow {
		c.then.int8(w, out[x*c.oc+c0:x*c.oc+c1], c0)
	}
}

func (c *conv) runFloat32(w *worker, b, y0, y1, c0, c1 int) {
	in, row := w.bandF, c.bandWidth()*c.ic
	if c.direct {
		in, row = w.f32(c.reads[0])[(b*c.ih+y0*c.sh)*c.iw*c.ic:], c.iw*c.ic
	} else {
		fillBand(&c.window, w.bandF, w.f32(c.reads[0]), c.padF, b, y0, y1, 1, copyFloats)
	}
	out := w.f32(c.out)
	t := &w.tileF
	t.WStep, t.AccStep = c.runs*c.runLen*c.pack.Panel, c.width()
	t.Runs, t.RunLen = c.runs, c.runLen
	t.AStep, t.RunStep = c.sw*c.ic, c.dh*row
	if c.cols {
		t.AStep = t.RunLen
	}
	tiles := (c.ow + c.pack.MR - 1) / c.pack.MR
	for y := y0; y < y1; y++ {
		src := in[(y-y0)*c.sh*row:]
		if c.cols {
			fillCols(&c.window, w.colsF, w.bandF, (y-y0)*c.sh, 1, t.RunLen, true)
			src = w.colsF
		}
		for p := c0; p < c1; p += c.pack.NR {
			t.W = c.weightsF[p/c.pack.Panel*t.WStep:]
			for x := range tiles {
				x0, x1 := share(c.ow, x, tiles)
				t.A, t.Acc = src[x0*t.AStep:], w.accF[x0*t.AccStep+p:]
				c.set.Float32.Tile(t, x1-x0, min(c.pack.NR, c1-p))
			}
		}
		c.finishFloat32(w, out[(b*c.oh+y)*c.ow*c.oc:][:c.ow*c.oc], c0, min(c1, c.oc))
	}
}

func (c *conv) finishFloat32(w *worker, out []float32, c0, c1 int) {
	c.set.Finish(out[c0:], w.accF[c0:], c.biasF[c0:], c.lo, c.hi, c.ow, c1-c0, c.oc, c.width())
	if c1-c0 == c.oc {
		c.then.float32(w, out, 0)
		return
	}
	for x := range c.ow {
		c.then.float32(w, out[x*c.oc+c0:x*c.oc+c1], c0)
	}
}

func copyFloats(dst, src []float32) { copy(dst, src) }

func (p *planner) conv2D(op *graph.Op) error {
	o, ok := op.Options.(graph.ConvOptions)
	if !ok {
		return errors.New("it has no options")
	}
	filter := p.tensors[op.Inputs[1]]
	if len(filter.Shape) != 4 {
		return fmt.Errorf("filter %v, want [out, height, width, in]", filter.Shape)
	}
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	f := filter.Shape
	g, err := newWindow(in, out, f[0], f[1], f[2], o.StrideH, o.StrideW, o.DilationH, o.DilationW, o.Padding)
	if err != nil {
		return err
	}
	if g.ic != f[3] {
		return fmt.Errorf("filter %v for %d input channels (grouped convolutions are not run)", f, g.ic)
	}
	return p.matrix(op, g, 0, o.Activation)
}

func (p *planner) fullyConnected(op *graph.Op) error {
	o, ok := op.Options.(graph.FullyConnectedOptions)
	if !ok {
		return errors.New("it has no options")
	}
	filter := p.tensors[op.Inputs[1]]
	if len(filter.Shape) != 2 || filter.Shape[1] < 1 || filter.Shape[0] < 1 {
		return fmt.Errorf("filter %v, want [out, in]", filter.Shape)
	}
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	n, k := filter.Shape[0], filter.Shape[1]
	m := in.Elems() / k
	if in.Elems() != m*k || int64(out.Elems()) != int64(m)*int64(n) || channels(out) != n {
		return fmt.Errorf("input %v, filter %v, output %v do not fit together", in.Shape, filter.Shape, out.Shape)
	}
	g := window{n: 1, ih: 1, iw: m, ic: k, oh: 1, ow: m, oc: n, kh: 1, kw: 1, sh: 1, sw: 1, dh: 1, dw: 1}
	return p.matrix(op, g, 0, o.Activation)
}

// oldInt8 takes a layer with asymmetric weights, as those of older uint8 files
// are, through float32.
func oldInt8(build func(*planner, *graph.Op) error) func(*planner, *graph.Op) error {
	return func(p *planner, op *graph.Op) error {
		if w := p.tensors[op.Inputs[1]]; p.tensors[op.Inputs[0]].Type == graph.Int8 && w.Type == graph.Int8 && asymmetric(w) {
			return p.throughFloat(op, build)
		}
		return build(p, op)
	}
}

// matrix adds a convolution; axis is the filter's dimension of output channels.
func (p *planner) matrix(op *graph.Op, g window, axis int, act graph.Activation) error {
	threads := max(p.Threads, 1)
	g.flatten(threads)
	n := node{reads: op.Inputs[:1:1], out: op.Outputs[0]}
	switch t := p.tensors[op.Inputs[0]].Type; t {
	case graph.Float32:
		w, bias, err := p.filterFloat32(op, g.oc, axis)
		if err != nil {
			return err
		}
		c := newConv(n, g, p.set, &p.set.Float32.Pack, 1, true, true)
		c.weightsF, c.runLen = kernel.Weights(c.pack, w, g.oc, c.runs, c.runValues())
		c.padF = make([]float32, g.bandWidth()*g.ic)
		c.biasF = append(bias, make([]float32, c.width()-g.oc)...)
		c.lo, c.hi = floatBounds(act)
		c.cut(threads)
		p.push(c)
	case graph.Int8:
		f, err := p.filterInt8(op, g.oc, axis)
		if err != nil {
			return err
		}
		set := p.set
		if slices.Min(f.w) < set.Int8.Lowest {
			set = kernel.Go
		}
		k := &set.Int8
		c := newConv(n, g, set, &k.Pack, k.Elem, k.Elem == 1 && k.Offset == 0, false)
		c.weights, c.runLen = kernel.Weights(c.pack, f.w, g.oc, c.runs, c.runValues())
		if k.Elem == 2 {
			c.weights = kernel.Widen(c.weights)
		}
		c.pad = make([]int8, g.bandWidth()*g.ic)
		for i := range c.pad {
			c.pad[i] = int8(f.in.zero)
		}
		size := len(f.w) / g.oc
		for o := range g.oc {
			f.bias[o] -= (f.in.zero + k.Offset) * sum(f.w[o*size:][:size])
		}
		c.epilogue = newEpilogue(f.factors, f.bias, f.out, act, k.Align)
		c.cut(threads)
		p.push(c)
	default:
		return fmt.Errorf("input is %v (float32 and int8 are run)", t)
	}
	return nil
}

func sum(v []int8) (s int32) {
	for _, x := range v {
		s += int32(x)
	}
	return s
}

// filterInt8 is an int8 filter with its bias and the real factor of each
// output channel.
type filterInt8 struct {
	in, out affine
	w       []int8
	bias    []int32
	factors []float32
}

func (p *planner) filterInt8(op *graph.Op, oc, axis int) (f filterInt8, err error) {
	if f.in, err = quantOf(p.tensors[op.Inputs[0]]); err != nil {
		return f, err
	}
	if f.out, err = quantOf(p.tensors[op.Outputs[0]]); err != nil {
		return f, err
	}
	t := p.tensors[op.Inputs[1]]
	if t.Type != graph.Int8 || !t.Const() {
		return f, fmt.Errorf("filter %q is not constant int8", t.Name)
	}
	scales, err := scalesOf(t, oc, axis)
	if err != nil {
		return f, err
	}
	f.w, f.bias, f.factors = int8s(t), make([]int32, oc), make([]float32, oc)
	for c, s := range scales {
		f.factors[c] = f.in.scale * s / f.out.scale // in this order, as XNNPACK
	}
	if b := p.optional(op, 2); b != nil {
		if b.Type != graph.Int32 || !b.Const() || b.Elems() != oc {
			return f, fmt.Errorf("bias %q is not %d constant int32", b.Name, oc)
		}
		copy(f.bias, int32s(b))
	}
	return f, nil
}

// scalesOf returns the scale of each of oc channels along axis; zero points
// must be 0, as TFLite wants them of weights.
func scalesOf(t *graph.Tensor, oc, axis int) ([]float32, error) {
	q := t.Quant
	if q == nil || len(q.Scale) != 1 && (len(q.Scale) != oc || q.Axis != axis) {
		return nil, fmt.Errorf("filter %q has not one scale, nor one for each of its %d channels along axis %d", t.Name, oc, axis)
	}
	for _, z := range q.Zero {
		if z != 0 {
			return nil, fmt.Errorf("filter %q has zero point %d, want 0", t.Name, z)
		}
	}
	out := make([]float32, oc)
	for c := range out {
		out[c] = q.Scale[min(c, len(q.Scale)-1)]
	}
	return out, nil
}

// filterFloat32 returns filter and bias as float32. A filter stored in int8
// (dynamic range) is computed with its real values.
func (p *planner) filterFloat32(op *graph.Op, oc, axis int) (w, bias []float32, err error) {
	return p.filterFloat32At(op, 1, 2, oc, axis)
}

// filterFloat32At is filterFloat32 for other places of filter and bias among the
// inputs.
func (p *planner) filterFloat32At(op *graph.Op, filter, biasAt, oc, axis int) (w, bias []float32, err error) {
	if out := p.tensors[op.Outputs[0]]; out.Type != graph.Float32 {
		return nil, nil, fmt.Errorf("output is %v, want float32", out.Type)
	}
	t := p.tensors[op.Inputs[filter]]
	switch {
	case !t.Const():
		return nil, nil, fmt.Errorf("filter %q is not constant", t.Name)
	case t.Type == graph.Int8:
		if _, err := scalesOf(t, oc, axis); err != nil {
			return nil, nil, err
		}
	}
	if w, err = realsOf(t); err != nil {
		return nil, nil, err
	}
	bias = make([]float32, oc)
	if b := p.optional(op, biasAt); b != nil {
		if b.Type != graph.Float32 || !b.Const() || b.Elems() != oc {
			return nil, nil, fmt.Errorf("bias %q is not %d constant float32", b.Name, oc)
		}
		bias = float32s(b)
	}
	return w, bias, nil
}

// optional returns an input tensor of op, or nil where it is absent.
func (p *planner) optional(op *graph.Op, i int) *graph.Tensor {
	if i >= len(op.Inputs) || op.Inputs[i] < 0 {
		return nil
	}
	return p.tensors[op.Inputs[i]]
}
