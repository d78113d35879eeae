// Package optest makes graphs of one operator with random shapes, paddings,
// strides and scales: what engines are compared on, operator by operator.
package optest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"mien/runtime/graph"
)

// makers make a graph of each operator.
var makers = map[graph.Kind]func(*builder, graph.Kind){
	graph.Abs:               (*builder).unary,
	graph.Add:               (*builder).arith,
	graph.ArgMax:            (*builder).argMax,
	graph.AveragePool2D:     (*builder).pool,
	graph.BatchMatMul:       (*builder).batchMatMul,
	graph.BroadcastTo:       (*builder).broadcastTo,
	graph.Concatenation:     (*builder).concatenation,
	graph.Conv2D:            (*builder).conv,
	graph.DepthToSpace:      (*builder).depthToSpace,
	graph.DepthwiseConv2D:   (*builder).depthwise,
	graph.Dequantize:        (*builder).dequantise,
	graph.Div:               (*builder).divide,
	graph.Elu:               (*builder).unary,
	graph.Exp:               (*builder).unary,
	graph.ExpandDims:        (*builder).expandDims,
	graph.FullyConnected:    (*builder).fullyConnected,
	graph.Gather:            (*builder).gather,
	graph.GatherND:          (*builder).gatherND,
	graph.Gelu:              (*builder).gelu,
	graph.HardSwish:         (*builder).unary,
	graph.L2Normalization:   (*builder).l2Normalization,
	graph.LeakyRelu:         (*builder).leakyRelu,
	graph.Log:               (*builder).positive,
	graph.Logistic:          (*builder).unary,
	graph.MaxPool2D:         (*builder).pool,
	graph.Maximum:           (*builder).same,
	graph.Mean:              (*builder).reduce,
	graph.Minimum:           (*builder).same,
	graph.MirrorPad:         (*builder).mirrorPad,
	graph.Mul:               (*builder).arith,
	graph.Neg:               (*builder).unary,
	graph.Pack:              (*builder).pack,
	graph.Pad:               (*builder).pad,
	graph.PadV2:             (*builder).pad,
	graph.Prelu:             (*builder).prelu,
	graph.Quantize:          (*builder).quantise,
	graph.ReduceMax:         (*builder).reduce,
	graph.ReduceMin:         (*builder).reduce,
	graph.Relu:              (*builder).unary,
	graph.ReluN1:            (*builder).unary,
	graph.Relu6:             (*builder).unary,
	graph.Reshape:           (*builder).reshape,
	graph.ResizeBilinear:    (*builder).resize,
	graph.ResizeNearest:     (*builder).resize,
	graph.Rsqrt:             (*builder).positive,
	graph.Shape:             (*builder).shapeOf,
	graph.Slice:             (*builder).slice,
	graph.Softmax:           (*builder).softmax,
	graph.SpaceToDepth:      (*builder).spaceToDepth,
	graph.Split:             (*builder).split,
	graph.SplitV:            (*builder).split,
	graph.Sqrt:              (*builder).positive,
	graph.Square:            (*builder).unary,
	graph.SquaredDifference: (*builder).squaredDifference,
	graph.Squeeze:           (*builder).squeeze,
	graph.StridedSlice:      (*builder).stridedSlice,
	graph.Sub:               (*builder).arith,
	graph.Sum:               (*builder).reduce,
	graph.Tanh:              (*builder).unary,
	graph.Tile:              (*builder).tile,
	graph.Transpose:         (*builder).transpose,
	graph.TransposeConv:     (*builder).transposeConv,
	graph.Unpack:            (*builder).unpack,
}

// Kinds are the operators that Random makes, in the schema's order.
func Kinds() []graph.Kind { return slices.Sorted(maps.Keys(makers)) }

// Random returns a graph of one operator of that kind whose activations are of
// type t, float32 or int8. The same r gives the same graph.
func Random(r *rand.Rand, k graph.Kind, t graph.Type) *graph.Graph {
	b := &builder{Rand: r, typ: t, g: &graph.Graph{Name: k.String()}}
	makers[k](b, k)
	return b.g
}

// Older returns an int8 graph the way files of before 2019 have it: in uint8,
// and with weights around a zero point that is not 0.
func Older(r *rand.Rand, g *graph.Graph) *graph.Graph {
	c := g.Clone()
	for i, t := range c.Tensors {
		if t.Type != graph.Int8 {
			continue
		}
		t.Type = graph.UInt8
		zero := int64(128) + t.Quant.Zero[0]
		if t.Data != nil {
			if i == c.Ops[0].Inputs[1] {
				zero = int64(100 + r.IntN(56))
			}
			t.Data = slices.Clone(t.Data)
			for k := range t.Data {
				t.Data[k] ^= 0x80
			}
		}
		t.Quant = &graph.Quant{Scale: t.Quant.Scale[:1], Zero: []int64{zero}}
	}
	if op := c.Ops[0]; len(op.Inputs) > 2 && c.Tensors[op.Inputs[2]].Type == graph.Int32 && c.Tensors[op.Inputs[2]].Quant != nil {
		in, w := c.Tensors[op.Inputs[0]].Quant.Scale[0], c.Tensors[op.Inputs[1]].Quant.Scale[0]
		c.Tensors[op.Inputs[2]].Quant = &graph.Quant{Scale: []float32{in * w}, Zero: []int64{0}}
	}
	c.Ops[0].Version = 1
	return c
}

// FillInt8 fills an int8 input with values of the whole range.
func FillInt8(r *rand.Rand, v []int8) {
	for i := range v {
		v[i] = int8(r.IntN(256) - 128)
	}
}

// FillFloat32 fills a float32 input with values around 0, few of them large.
func FillFloat32(r *rand.Rand, v []float32) {
	for i := range v {
		v[i] = float32(r.NormFloat64() * 2)
	}
}

type builder struct {
	*rand.Rand
	typ graph.Type
	g   *graph.Graph
}

// between returns a number of [lo, hi].
func (b *builder) between(lo, hi int) int { return lo + b.IntN(hi-lo+1) }

// quant returns a random quantisation of values between about -range and range.
func (b *builder) quant(reach float64) *graph.Quant {
	return &graph.Quant{
		Scale: []float32{float32(reach / 128 * (0.5 + b.Float64()))},
		Zero:  []int64{int64(b.between(-128, 127))},
	}
}

// value adds a computed tensor; q is used for int8 only.
func (b *builder) value(name string, q *graph.Quant, shape ...int) int {
	t := &graph.Tensor{Name: name, Type: b.typ, Shape: shape}
	if b.typ == graph.Int8 {
		t.Quant = q
	}
	return b.add(t)
}

func (b *builder) add(t *graph.Tensor) int {
	b.g.Tensors = append(b.g.Tensors, t)
	return len(b.g.Tensors) - 1
}

func (b *builder) int32s(name string, v ...int32) int {
	t := &graph.Tensor{Name: name, Type: graph.Int32, Shape: []int{len(v)}}
	t.Data = []byte{}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(x))
	}
	return b.add(t)
}

func (b *builder) floats(name string, v []float32, shape ...int) int {
	t := &graph.Tensor{Name: name, Type: graph.Float32, Shape: shape}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(x))
	}
	return b.add(t)
}

// op finishes the graph: its inputs are the computed tensors among in.
func (b *builder) op(k graph.Kind, o graph.Options, out int, in ...int) {
	b.ops(k, o, []int{out}, in...)
}

// newer are operators that some options or inputs need a later version of.
var newer = map[graph.Kind]func(o graph.Options, in []int) int{
	graph.ResizeBilinear: func(o graph.Options, _ []int) int { return after(o.(graph.ResizeOptions).HalfPixel) },
	graph.ResizeNearest: func(o graph.Options, _ []int) int {
		n := o.(graph.ResizeNearestOptions)
		return after(n.HalfPixel || n.AlignCorners)
	},
	graph.TransposeConv: func(_ graph.Options, in []int) int { return after(len(in) > 3) },
}

func after(new bool) int {
	if new {
		return 3
	}
	return 1
}

// ops is op for several outputs.
func (b *builder) ops(k graph.Kind, o graph.Options, outs []int, in ...int) {
	known, _ := graph.Known(k)
	version := max(known.Versions.Of(b.typ), 1)
	if need, ok := newer[k]; ok {
		version = max(version, need(o, in))
	}
	b.g.Ops = []*graph.Op{{Kind: k, Version: version, Inputs: in, Outputs: outs, Options: o}}
	b.g.Outputs = outs
	for _, i := range in {
		if !b.g.Tensors[i].Const() && !slices.Contains(b.g.Inputs, i) {
			b.g.Inputs = append(b.g.Inputs, i)
		}
	}
}

// filter adds weights and a bias. fan is the number of products of one sum; the
// output's scale is chosen so that sums fill the range, and some clip.
func (b *builder) filter(in, oc, axis, fan int, perChannel bool, shape ...int) (weights, bias int, out *graph.Quant) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if b.typ == graph.Float32 {
		w, v := make([]float32, n), make([]float32, oc)
		for i := range w {
			w[i] = float32(b.NormFloat64() / math.Sqrt(float64(fan)))
		}
		for i := range v {
			v[i] = float32(b.NormFloat64())
		}
		return b.floats("weights", w, shape...), b.floats("bias", v, oc), nil
	}
	q := &graph.Quant{Axis: axis}
	for range oc {
		q.Scale = append(q.Scale, float32((0.2+b.Float64())/100))
		q.Zero = append(q.Zero, 0)
	}
	if !perChannel {
		q.Scale, q.Zero, q.Axis = q.Scale[:1], q.Zero[:1], 0
	}
	w := &graph.Tensor{Name: "weights", Type: graph.Int8, Shape: shape, Quant: q}
	for range n {
		w.Data = append(w.Data, byte(int8(b.between(-127, 127))))
	}
	input := b.g.Tensors[in].Quant.Scale[0]
	var v []int32
	bq := &graph.Quant{}
	for c := range oc {
		v = append(v, int32(b.between(-5000, 5000)))
		if c < len(q.Scale) {
			bq.Scale, bq.Zero = append(bq.Scale, input*q.Scale[c]), append(bq.Zero, 0)
		}
	}
	weights, bias = b.add(w), b.int32s("bias", v...)
	b.g.Tensors[bias].Quant = bq
	deviation := float64(input) * float64(q.Scale[0]) * 73 * 100 * math.Sqrt(float64(fan))
	return weights, bias, b.quant(2 * deviation)
}

// side is a side of a picture and what a filter does along it.
type side struct{ in, k, stride, dilation, out int }

func (b *builder) side(p graph.Padding, k, stride, dilation int) side {
	reach := (k-1)*dilation + 1
	s := side{k: k, stride: stride, dilation: dilation}
	s.in = b.between(1, 14)
	if p == graph.Valid {
		s.in += reach - 1
		s.out = (s.in-reach)/stride + 1
	} else {
		s.out = (s.in + stride - 1) / stride
	}
	return s
}

// window draws padding, filter, strides and dilations.
func (b *builder) window(dilate bool) (p graph.Padding, h, w side) {
	p = graph.Padding(b.IntN(2))
	dilation := 1
	stride := b.between(1, 3)
	if dilate && b.IntN(5) == 0 {
		dilation, stride = 2, 1
	}
	return p, b.side(p, b.between(1, 5), stride, dilation), b.side(p, b.between(1, 5), stride, dilation)
}

func (b *builder) activation() graph.Activation {
	return []graph.Activation{graph.None, graph.None, graph.ReluAct, graph.Relu6Act}[b.IntN(4)]
}

// channelCounts include those that fill no vector.
var channelCounts = []int{1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 24, 32, 40, 64}

func (b *builder) channels() int { return channelCounts[b.IntN(len(channelCounts))] }

func (b *builder) conv(k graph.Kind) {
	p, h, w := b.window(true)
	ic, oc := b.channels(), b.channels()
	n := b.between(1, 2)
	in := b.value("in", b.quant(3), n, h.in, w.in, ic)
	weights, bias, q := b.filter(in, oc, 0, h.k*w.k*ic, true, oc, h.k, w.k, ic)
	out := b.value("out", q, n, h.out, w.out, oc)
	b.op(k, graph.ConvOptions{
		Padding: p, StrideH: h.stride, StrideW: w.stride, DilationH: h.dilation, DilationW: w.dilation, Activation: b.activation(),
	}, out, in, weights, bias)
}

func (b *builder) depthwise(k graph.Kind) {
	p, h, w := b.window(true)
	ic, multiplier := b.channels(), 1
	if b.IntN(4) == 0 {
		multiplier = 2
	}
	if b.IntN(4) == 0 { // a factor and a summand per channel
		h, w = b.side(p, 1, 1, 1), b.side(p, 1, 1, 1)
	}
	oc := ic * multiplier
	in := b.value("in", b.quant(3), 1, h.in, w.in, ic)
	weights, bias, q := b.filter(in, oc, 3, h.k*w.k, true, 1, h.k, w.k, oc)
	out := b.value("out", q, 1, h.out, w.out, oc)
	b.op(k, graph.DepthwiseOptions{
		Padding: p, StrideH: h.stride, StrideW: w.stride, DilationH: h.dilation, DilationW: w.dilation,
		Multiplier: multiplier, Activation: b.activation(),
	}, out, in, weights, bias)
}

func (b *builder) fullyConnected(k graph.Kind) {
	n, depth, oc := b.between(1, 3), b.between(1, 300), b.channels()
	in := b.value("in", b.quant(3), n, depth)
	weights, bias, q := b.filter(in, oc, 0, depth, false, oc, depth)
	out := b.value("out", q, n, oc)
	b.op(k, graph.FullyConnectedOptions{Activation: b.activation()}, out, in, weights, bias)
}

func (b *builder) pool(k graph.Kind) {
	p, h, w := b.window(false)
	c, q := b.channels(), b.quant(3)
	in := b.value("in", q, 1, h.in, w.in, c)
	out := b.value("out", q, 1, h.out, w.out, c)
	b.op(k, graph.PoolOptions{
		Padding: p, StrideH: h.stride, StrideW: w.stride, FilterH: h.k, FilterW: w.k, Activation: b.activation(),
	}, out, in)
}

func (b *builder) shape() []int { return []int{1, b.between(1, 9), b.between(1, 9), b.channels()} }

func (b *builder) arith(k graph.Kind) {
	shape := b.shape()
	other := slices.Clone(shape)
	switch b.IntN(4) {
	case 0:
		other = shape[3:]
	case 1:
		other[1], other[2] = 1, 1
	}
	x, y := b.value("x", b.quant(3), shape...), b.value("y", b.quant(4), other...)
	reach := 5.0
	if k == graph.Mul {
		reach = 10
	}
	out := b.value("out", b.quant(reach), shape...)
	b.op(k, graph.ArithOptions{Activation: b.activation()}, out, x, y)
}

func (b *builder) reduce(k graph.Kind) {
	s := b.shape()
	q := b.quant(3)
	in := b.value("in", q, s...)
	axes := [][]int32{{1, 2}, {1}, {-1}, {2, 3}}[b.IntN(4)]
	keep := b.IntN(2) == 0
	n := 1
	var shape []int
	for d, size := range s {
		switch {
		case !slices.Contains(axes, int32(d)) && !slices.Contains(axes, int32(d-4)):
			shape = append(shape, size)
			continue
		case keep:
			shape = append(shape, 1)
		}
		n *= size
	}
	to := b.quant(1)
	known, _ := graph.Known(k)
	if known.Scale == graph.ScaleKept {
		to = q
	}
	b.op(k, graph.ReduceOptions{KeepDims: keep}, b.value("out", to, shape...), in, b.int32s("axes", axes...))
}

func (b *builder) pad(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	in := b.value("in", q, s...)
	v := make([]int32, 8)
	out := slices.Clone(s)
	for i := 2; i < 8; i++ {
		v[i] = int32(b.IntN(4))
		out[i/2] += int(v[i])
	}
	amounts := b.int32s("paddings", v...)
	b.g.Tensors[amounts].Shape = []int{4, 2}
	if k == graph.Pad {
		b.op(k, nil, b.value("out", q, out...), in, amounts)
		return
	}
	value := b.floats("value", []float32{float32(b.NormFloat64())}, 1)
	if b.typ == graph.Int8 {
		b.g.Tensors[value] = &graph.Tensor{Name: "value", Type: graph.Int8, Shape: []int{1}, Quant: q, Data: []byte{byte(b.IntN(256))}}
	}
	b.op(k, nil, b.value("out", q, out...), in, amounts, value)
}

func (b *builder) reshape(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	in := b.value("in", q, s...)
	flat := []int{1, s[1] * s[2] * s[3]}
	b.op(k, graph.ReshapeOptions{Shape: flat}, b.value("out", q, flat...), in,
		b.int32s("shape", int32(flat[0]), int32(flat[1])))
}

func (b *builder) concatenation(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	axis, out := b.between(1, 3), slices.Clone(s)
	out[axis] = 0
	var in []int
	for i := range b.between(1, 3) {
		piece := slices.Clone(s)
		piece[axis] = b.between(1, 6)
		out[axis] += piece[axis]
		in = append(in, b.value(fmt.Sprintf("in%d", i), q, piece...))
	}
	b.op(k, graph.ConcatOptions{Axis: axis - 4*b.IntN(2)}, b.value("out", q, out...), in...)
}

func (b *builder) softmax(k graph.Kind) {
	n, c := b.between(1, 3), b.between(2, 40)
	in := b.value("in", b.quant(float64(b.between(1, 12))), n, c)
	out := b.value("out", &graph.Quant{Scale: []float32{1.0 / 256}, Zero: []int64{-128}}, n, c)
	b.op(k, graph.SoftmaxOptions{Beta: 1}, out, in)
}

func (b *builder) unary(k graph.Kind) {
	s := b.shape()
	in := b.value("in", b.quant(6), s...)
	q := b.quant(4)
	switch known, _ := graph.Known(k); known.Scale {
	case graph.ScaleUnit:
		q = &graph.Quant{Scale: []float32{1.0 / 256}, Zero: []int64{-128}}
	case graph.ScaleSigned:
		q = &graph.Quant{Scale: []float32{1.0 / 128}, Zero: []int64{0}}
	}
	b.op(k, nil, b.value("out", q, s...), in)
}

// quantise goes from typ to int8.
func (b *builder) quantise(k graph.Kind) {
	s := b.shape()
	in := b.value("in", b.quant(6), s...)
	to := *b
	to.typ = graph.Int8
	b.op(k, nil, to.value("out", b.quant(4), s...), in)
}

// dequantise goes from int8 to float32, whatever typ is.
func (b *builder) dequantise(k graph.Kind) {
	s := b.shape()
	b.typ = graph.Int8
	in := b.value("in", b.quant(6), s...)
	to := *b
	to.typ = graph.Float32
	b.op(k, nil, to.value("out", nil, s...), in)
}
