package optest

import (
	"fmt"
	"slices"

	"mien/runtime/graph"
)

// positive makes functions that want values above 0: of x*x + 1/2. They are
// float32 in the library.
func (b *builder) positive(k graph.Kind) {
	s := b.shape()
	b.typ = graph.Float32
	in := b.value("in", nil, s...)
	square, shifted, out := b.value("square", nil, s...), b.value("shifted", nil, s...), b.value("out", nil, s...)
	half := b.floats("half", []float32{0.5}, 1)
	b.op(k, nil, out, shifted)
	b.g.Ops = []*graph.Op{
		{Kind: graph.Mul, Version: 1, Inputs: []int{in, in}, Outputs: []int{square}, Options: graph.ArithOptions{}},
		{Kind: graph.Add, Version: 1, Inputs: []int{square, half}, Outputs: []int{shifted}, Options: graph.ArithOptions{}},
		b.g.Ops[0],
	}
	b.g.Inputs = []int{in}
}

// divide keeps what it divides by away from 0.
func (b *builder) divide(k graph.Kind) {
	s := b.shape()
	b.typ = graph.Float32
	by := make([]float32, s[3])
	for i := range by {
		by[i] = float32(0.5 + 2*b.Float64())
		if b.IntN(2) == 0 {
			by[i] = -by[i]
		}
	}
	b.op(k, graph.ArithOptions{Activation: b.activation()}, b.value("out", nil, s...), b.value("in", nil, s...), b.floats("by", by, s[3]))
}

// same makes the larger or smaller of two tensors of one quantisation.
func (b *builder) same(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	other := slices.Clone(s)
	if b.IntN(3) == 0 {
		other[1], other[2] = 1, 1
	}
	b.op(k, nil, b.value("out", q, s...), b.value("x", q, s...), b.value("y", q, other...))
}

func (b *builder) squaredDifference(k graph.Kind) {
	s := b.shape()
	b.op(k, nil, b.value("out", b.quant(20), s...), b.value("x", b.quant(3), s...), b.value("y", b.quant(3), s...))
}

func (b *builder) prelu(k graph.Kind) {
	s := b.shape()
	in := b.value("in", b.quant(6), s...)
	shape := []int{1, 1, s[3]}
	if b.IntN(4) == 0 {
		shape = s[1:]
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(b.NormFloat64() / 3)
	}
	alpha := b.floats("alpha", v, shape...)
	if b.typ == graph.Int8 {
		t := &graph.Tensor{Name: "alpha", Type: graph.Int8, Shape: shape, Quant: b.quant(1)}
		for range n {
			t.Data = append(t.Data, byte(b.IntN(256)))
		}
		b.g.Tensors[alpha] = t
	}
	b.op(k, nil, b.value("out", b.quant(5), s...), in, alpha)
}

func (b *builder) leakyRelu(k graph.Kind) {
	s := b.shape()
	b.op(k, graph.LeakyReluOptions{Alpha: float32(b.Float64() / 2)}, b.value("out", b.quant(5), s...), b.value("in", b.quant(6), s...))
}

func (b *builder) l2Normalization(k graph.Kind) {
	s := b.shape()
	b.op(k, graph.L2NormOptions{}, b.value("out", &graph.Quant{Scale: []float32{1.0 / 128}, Zero: []int64{0}}, s...), b.value("in", b.quant(3), s...))
}

func (b *builder) resize(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	out := []int{s[0], b.between(1, 14), b.between(1, 14), s[3]}
	align, half := b.IntN(3) == 0, b.IntN(2) == 0
	half = half && !align
	var o graph.Options = graph.ResizeOptions{AlignCorners: align, HalfPixel: half}
	if k == graph.ResizeNearest {
		o = graph.ResizeNearestOptions{AlignCorners: align, HalfPixel: half}
	}
	b.op(k, o, b.value("out", q, out...), b.value("in", q, s...), b.int32s("size", int32(out[1]), int32(out[2])))
}

func (b *builder) transposeConv(k graph.Kind) {
	p := graph.Padding(b.IntN(2))
	sh, sw := b.between(1, 3), b.between(1, 3)
	h, w := b.side(p, b.between(1, 5), sh, 1), b.side(p, b.between(1, 5), sw, 1)
	ic, oc := b.channels(), b.channels()
	// An ordinary convolution the other way round: its output is the input.
	in := b.value("in", b.quant(3), 1, h.out, w.out, ic)
	weights, bias, q := b.filter(in, oc, 0, h.k*w.k*ic, true, oc, h.k, w.k, ic)
	out := b.value("out", q, 1, h.in, w.in, oc)
	inputs := []int{b.int32s("shape", 1, int32(h.in), int32(w.in), int32(oc)), weights, in}
	if b.IntN(2) == 0 {
		inputs = append(inputs, bias)
	}
	b.op(k, graph.TransposeConvOptions{Padding: p, StrideH: sh, StrideW: sw}, out, inputs...)
}

func (b *builder) batchMatMul(k graph.Kind) {
	m, depth, n := b.between(1, 9), b.between(1, 20), b.between(1, 20)
	x, y := []int{m, depth}, []int{depth, n}
	o := graph.BatchMatMulOptions{AdjX: b.IntN(2) == 0, AdjY: b.IntN(2) == 0}
	if o.AdjX {
		slices.Reverse(x)
	}
	if o.AdjY {
		slices.Reverse(y)
	}
	lead := []int{b.between(1, 3), b.between(1, 2)}
	other := slices.Clone(lead)
	if b.IntN(3) == 0 {
		other[0] = 1
	}
	b.op(k, o, b.value("out", b.quant(40), append(slices.Clone(lead), m, n)...),
		b.value("x", b.quant(3), append(lead, x...)...), b.value("y", b.quant(3), append(other, y...)...))
}

func (b *builder) transpose(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	s[0] = b.between(1, 3)
	perm := b.Perm(4)
	out, v := make([]int, 4), make([]int32, 4)
	for d, from := range perm {
		out[d], v[d] = s[from], int32(from)
	}
	b.op(k, nil, b.value("out", q, out...), b.value("in", q, s...), b.int32s("perm", v...))
}

func (b *builder) slice(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	begin, size, out := make([]int32, 4), make([]int32, 4), make([]int, 4)
	for d, n := range s {
		at := b.IntN(n)
		out[d] = b.between(1, n-at)
		begin[d], size[d] = int32(at), int32(out[d])
		if b.IntN(3) == 0 {
			out[d], size[d] = n-at, -1
		}
	}
	b.op(k, nil, b.value("out", q, out...), b.value("in", q, s...), b.int32s("begin", begin...), b.int32s("size", size...))
}

func (b *builder) stridedSlice(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	var o graph.StridedSliceOptions
	var begin, end, step []int32
	var out []int
	for d, n := range s {
		at, by := b.IntN(n), b.between(1, 3)
		count := b.between(1, (n-at+by-1)/by)
		to, bit := min(at+count*by, n), 1<<d
		count = (to - at + by - 1) / by
		if b.IntN(4) == 0 { // backwards, from at to the start
			by, to, count = -by, -n-1, at/by+1
		}
		switch b.IntN(5) {
		case 0:
			o.Shrink |= bit
			begin, end, step = append(begin, int32(at)), append(end, int32(at+1)), append(step, 1)
			continue
		case 1:
			o.Begin, o.End = o.Begin|bit, o.End|bit
			count = (n + max(by, -by) - 1) / max(by, -by)
		case 2:
			if at > 0 {
				at -= n
			}
		}
		begin, end, step, out = append(begin, int32(at)), append(end, int32(to)), append(step, int32(by)), append(out, count)
	}
	b.op(k, o, b.value("out", q, out...), b.value("in", q, s...), b.int32s("begin", begin...), b.int32s("end", end...), b.int32s("strides", step...))
}

// split makes SPLIT and SPLIT_V.
func (b *builder) split(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	axis, n := b.between(1, 3), b.between(1, 3)
	part := b.between(1, 4)
	s[axis] = 0
	var outs []int
	var sizes []int32
	for i := range n {
		shape := slices.Clone(s)
		if shape[axis] = part; k == graph.SplitV {
			shape[axis] = b.between(1, 5)
		}
		sizes = append(sizes, int32(shape[axis]))
		outs = append(outs, b.value(fmt.Sprintf("out%d", i), q, shape...))
	}
	for _, v := range sizes {
		s[axis] += int(v)
	}
	in, at := b.value("in", q, s...), b.int32s("axis", int32(axis-4*b.IntN(2)))
	b.g.Tensors[at].Shape = nil
	b.g.Tensors[at].HasRank = true
	o := graph.SplitOptions{N: n}
	if k == graph.Split {
		b.ops(k, o, outs, at, in)
		return
	}
	b.ops(k, o, outs, in, b.int32s("sizes", sizes...), at)
}

func (b *builder) pack(k graph.Kind) {
	s, q := b.shape()[1:], b.quant(3)
	axis, n := b.IntN(4), b.between(1, 4)
	var in []int
	for i := range n {
		in = append(in, b.value(fmt.Sprintf("in%d", i), q, s...))
	}
	b.op(k, graph.PackOptions{N: n, Axis: axis - 4*b.IntN(2)}, b.value("out", q, slices.Insert(slices.Clone(s), axis, n)...), in...)
}

func (b *builder) unpack(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	axis := b.IntN(3)
	var outs []int
	for i := range s[axis] {
		outs = append(outs, b.value(fmt.Sprintf("out%d", i), q, slices.Delete(slices.Clone(s), axis, axis+1)...))
	}
	b.ops(k, graph.PackOptions{N: s[axis], Axis: axis}, outs, b.value("in", q, s...))
}

func (b *builder) squeeze(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	in := b.value("in", q, 1, s[1], 1, s[3])
	b.op(k, graph.SqueezeOptions{Dims: []int{0, 2}}, b.value("out", q, s[1], s[3]), in)
}

func (b *builder) expandDims(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	at := b.int32s("axis", 1)
	b.g.Tensors[at].Shape, b.g.Tensors[at].HasRank = nil, true
	b.op(k, nil, b.value("out", q, s[1], 1, s[2], s[3]), b.value("in", q, s[1:]...), at)
}

func (b *builder) depthToSpace(k graph.Kind) {
	s, q, n := b.shape(), b.quant(3), b.between(1, 3)
	b.op(k, graph.BlockOptions{Size: n}, b.value("out", q, 1, s[1]*n, s[2]*n, s[3]), b.value("in", q, 1, s[1], s[2], s[3]*n*n))
}

func (b *builder) spaceToDepth(k graph.Kind) {
	s, q, n := b.shape(), b.quant(3), b.between(1, 3)
	b.op(k, graph.BlockOptions{Size: n}, b.value("out", q, 1, s[1], s[2], s[3]*n*n), b.value("in", q, 1, s[1]*n, s[2]*n, s[3]))
}

func (b *builder) gather(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	axis := b.IntN(4)
	v := make([]int32, b.between(1, 6))
	for i := range v {
		v[i] = int32(b.IntN(s[axis]))
	}
	out := slices.Clone(s)
	out[axis] = len(v)
	b.op(k, graph.GatherOptions{Axis: axis}, b.value("out", q, out...), b.value("in", q, s...), b.int32s("at", v...))
}

func (b *builder) gatherND(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	n, depth := b.between(1, 6), b.between(1, 4)
	var v []int32
	for range n {
		for d := range depth {
			v = append(v, int32(b.IntN(s[d])))
		}
	}
	at := b.int32s("at", v...)
	b.g.Tensors[at].Shape = []int{n, depth}
	b.op(k, nil, b.value("out", q, slices.Concat([]int{n}, s[depth:])...), b.value("in", q, s...), at)
}

func (b *builder) gelu(k graph.Kind) {
	s := b.shape()
	b.op(k, graph.GeluOptions{Approximate: b.IntN(2) == 0}, b.value("out", b.quant(5), s...), b.value("in", b.quant(6), s...))
}

func (b *builder) argMax(k graph.Kind) {
	s := b.shape()
	axis := b.IntN(4)
	o := graph.ArgMaxOptions{Output: []graph.Type{graph.Int32, graph.Int64}[b.IntN(2)]}
	in := b.value("in", b.quant(3), s...)
	out := b.add(&graph.Tensor{Name: "out", Type: o.Output, Shape: slices.Delete(slices.Clone(s), axis, axis+1)})
	at := b.int32s("axis", int32(axis))
	b.g.Tensors[at].Shape, b.g.Tensors[at].HasRank = nil, true
	b.op(k, o, out, in, at)
}

func (b *builder) tile(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	out, v := slices.Clone(s), make([]int32, 4)
	for d := range out {
		v[d] = int32(b.between(1, 3))
		out[d] *= int(v[d])
	}
	b.op(k, nil, b.value("out", q, out...), b.value("in", q, s...), b.int32s("times", v...))
}

func (b *builder) broadcastTo(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	in := slices.Clone(s)
	for d := range in {
		if b.IntN(2) == 0 {
			in[d] = 1
		}
	}
	b.op(k, nil, b.value("out", q, s...), b.value("in", q, in...), b.int32s("shape", int32(s[0]), int32(s[1]), int32(s[2]), int32(s[3])))
}

func (b *builder) mirrorPad(k graph.Kind) {
	s, q := b.shape(), b.quant(3)
	o := graph.MirrorPadOptions{Mode: graph.Mirror(b.IntN(2))}
	out := slices.Clone(s)
	var data []int32
	for d, n := range s {
		most := n - 1 + int(o.Mode)
		if d == 0 {
			most = 0
		}
		before, after := b.between(0, min(most, 3)), b.between(0, min(most, 3))
		data, out[d] = append(data, int32(before), int32(after)), n+before+after
	}
	pads := b.int32s("pads", data...)
	b.g.Tensors[pads].Shape = []int{4, 2}
	b.op(k, o, b.value("out", q, out...), b.value("in", q, s...), pads)
}

func (b *builder) shapeOf(k graph.Kind) {
	in := b.value("in", b.quant(3), b.shape()...)
	b.op(k, graph.ShapeOptions{Output: graph.Int32}, b.add(&graph.Tensor{Name: "shape", Type: graph.Int32, Shape: []int{4}}), in)
}
