package portable

import (
	"errors"
	"fmt"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// depthwise is a convolution of every channel by itself. Its band holds each
// input channel as often as it has output channels.
type depthwise struct {
	node
	window
	multiplier int
	width      int // channels of accumulators
	load       func(dst, src []int8)
	weights    []int8
	pad        []int8
	epilogue   *kernel.Epilogue
	loadF      func(dst, src []float32)
	weightsF   []float32
	padF       []float32
	biasF      []float32
	lo, hi     float32
}

// cost counts a product eight times: there are no sums of products here.
func (d *depthwise) cost() int { return 8 * d.n * d.oh * d.ow * d.oc * d.kh * d.kw }

func (d *depthwise) most() int { return d.rows() }

func (d *depthwise) needs(parts int) scratch {
	band := d.maxBandRows(parts) * d.bandWidth() * d.oc
	if d.weights != nil {
		return scratch{band: band, acc: d.ow * d.width}
	}
	return scratch{bandF: band, accF: d.ow * d.width}
}

func (d *depthwise) run(w *worker, part, parts int) {
	lo, hi := share(d.rows(), part, parts)
	for i := range d.pictures(lo, hi) {
		b, y0, y1 := d.piece(lo, hi, i)
		if d.weights != nil {
			d.runInt8(w, b, y0, y1)
		} else {
			d.runFloat32(w, b, y0, y1)
		}
	}
}

func (d *depthwise) runInt8(w *worker, b, y0, y1 int) {
	fillBand(&d.window, w.band, w.i8(d.reads[0]), d.pad, b, y0, y1, d.multiplier, d.load)
	t := &w.depth
	t.W, t.Acc = d.weights, w.acc
	t.AStep, t.RunStep, t.TapStep = d.sw*d.oc, d.dh*d.bandWidth()*d.oc, d.dw*d.oc
	t.Pixels, t.Runs, t.Taps, t.Channels = d.ow, d.kh, d.kw, d.width
	for y := y0; y < y1; y++ {
		out := w.i8(d.out)[(b*d.oh+y)*d.ow*d.oc:][:d.ow*d.oc]
		t.A = w.band[(y-y0)*d.sh*d.bandWidth()*d.oc:]
		w.set.DepthInt8(t)
		w.set.Requant(out, w.acc, d.epilogue, d.ow, d.oc, d.oc, d.width)
		d.then.int8(w, out, 0)
	}
}

func (d *depthwise) runFloat32(w *worker, b, y0, y1 int) {
	fillBand(&d.window, w.bandF, w.f32(d.reads[0]), d.padF, b, y0, y1, d.multiplier, d.loadF)
	t := &w.depthF
	t.W, t.Acc = d.weightsF, w.accF
	t.AStep, t.RunStep, t.TapStep = d.sw*d.oc, d.dh*d.bandWidth()*d.oc, d.dw*d.oc
	t.Pixels, t.Runs, t.Taps, t.Channels = d.ow, d.kh, d.kw, d.width
	for y := y0; y < y1; y++ {
		out := w.f32(d.out)[(b*d.oh+y)*d.ow*d.oc:][:d.ow*d.oc]
		t.A = w.bandF[(y-y0)*d.sh*d.bandWidth()*d.oc:]
		w.set.DepthFloat32(t)
		w.set.Finish(out, w.accF, d.biasF, d.lo, d.hi, d.ow, d.oc, d.oc, d.width)
		d.then.float32(w, out, 0)
	}
}

func (p *planner) depthwiseConv2D(op *graph.Op) error {
	o, ok := op.Options.(graph.DepthwiseOptions)
	if !ok {
		return errors.New("it has no options")
	}
	filter := p.tensors[op.Inputs[1]]
	if len(filter.Shape) != 4 || filter.Shape[0] != 1 {
		return fmt.Errorf("filter %v, want [1, height, width, channels]", filter.Shape)
	}
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	f := filter.Shape
	g, err := newWindow(in, out, f[3], f[1], f[2], o.StrideH, o.StrideW, o.DilationH, o.DilationW, o.Padding)
	if err != nil {
		return err
	}
	multiplier := f[3] / max(g.ic, 1)
	if multiplier < 1 || multiplier*g.ic != f[3] {
		return fmt.Errorf("filter %v for %d input channels", f, g.ic)
	}
	n := node{reads: op.Inputs[:1:1], out: op.Outputs[0]}
	switch in.Type {
	case graph.Int8:
		return p.depthwiseInt8(op, n, g, multiplier, o.Activation)
	case graph.Float32:
		return p.depthwiseFloat32(op, n, g, multiplier, o.Activation)
	}
	return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
}

func (p *planner) depthwiseInt8(op *graph.Op, n node, g window, multiplier int, act graph.Activation) error {
	f, err := p.filterInt8(op, g.oc, 3)
	if err != nil {
		return err
	}
	for i, w := range f.w {
		f.bias[i%g.oc] -= f.in.zero * int32(w)
	}
	e := newEpilogue(f.factors, f.bias, f.out, act, p.set.Int8.Align)
	width := len(e.Bias)
	if perChannel(g, multiplier) {
		w := make([]int32, width)
		for c, v := range f.w {
			w[c] = int32(v)
		}
		return p.pass(n.reads[0], n.out, chain{int8s: []passInt8{&affineInt8{g.oc, w, e}}})
	}
	d := &depthwise{node: n, window: g, multiplier: multiplier, width: width, load: repeat[int8](multiplier), epilogue: e}
	d.weights = spread(f.w, g.oc, width)
	if p.set.DepthWide {
		d.weights = kernel.DepthWeights(d.weights)
	}
	d.pad = make([]int8, g.bandWidth()*g.ic)
	for i := range d.pad {
		d.pad[i] = int8(f.in.zero)
	}
	p.push(d)
	return nil
}

func (p *planner) depthwiseFloat32(op *graph.Op, n node, g window, multiplier int, act graph.Activation) error {
	w, bias, err := p.filterFloat32(op, g.oc, 3)
	if err != nil {
		return err
	}
	if perChannel(g, multiplier) {
		c := chain{float32s: []passFloat32{&scaleFloat32{w, bias}}}
		if act != graph.None {
			lo, hi := floatBounds(act)
			c.float32s = append(c.float32s, clampFloat32{lo, hi})
		}
		return p.pass(n.reads[0], n.out, c)
	}
	width := kernel.RoundUp(g.oc, p.set.Float32.Align)
	d := &depthwise{node: n, window: g, multiplier: multiplier, width: width, loadF: repeat[float32](multiplier)}
	d.weightsF = spread(w, g.oc, width)
	d.biasF = append(bias, make([]float32, width-g.oc)...)
	d.padF = make([]float32, g.bandWidth()*g.ic)
	d.lo, d.hi = floatBounds(act)
	p.push(d)
	return nil
}

// perChannel says whether a depthwise convolution is only a factor and a
// summand for each channel.
func perChannel(g window, multiplier int) bool {
	return multiplier == 1 && g.kh*g.kw*g.sh*g.sw == 1
}

// spread returns rows of n values as rows of width, filled up with zeros.
func spread[T int8 | float32](w []T, n, width int) []T {
	out := make([]T, len(w)/n*width)
	for r := range len(w) / n {
		copy(out[r*width:], w[r*n:][:n])
	}
	return out
}

// repeat returns the load function of a band that holds every value m times.
func repeat[T int8 | float32](m int) func(dst, src []T) {
	if m == 1 {
		return func(dst, src []T) { copy(dst, src) }
	}
	return func(dst, src []T) {
		for i := range dst {
			dst[i] = src[i/m]
		}
	}
}
