package optest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"mien/runtime/graph"
)

// Damage spoils one thing of a graph, as a hostile file has it.
func Damage(r *rand.Rand, g *graph.Graph) {
	t := g.Tensors[r.IntN(len(g.Tensors))]
	op := g.Ops[r.IntN(len(g.Ops))]
	value := func() int {
		return []int{-2, -1, 0, 1, 2, 3, 5, 16, 255, 1 << 12, 1 << 24, math.MaxInt32, math.MinInt32}[r.IntN(13)]
	}
	switch r.IntN(10) {
	case 0:
		if len(t.Shape) > 0 {
			t.Shape[r.IntN(len(t.Shape))] = value()
		}
	case 1:
		t.Shape = append(slices.Clone(t.Shape), value())
	case 2:
		t.Shape = t.Shape[:len(t.Shape)/2]
	case 3:
		t.Type = []graph.Type{graph.Float32, graph.Float16, graph.Int32, graph.UInt8, graph.Int8, graph.Int64, graph.String, 77}[r.IntN(8)]
	case 4:
		t.Quant = []*graph.Quant{nil, {}, {Scale: []float32{0}}, {Scale: []float32{1e-30}, Zero: []int64{3}}, {Scale: []float32{1e30}}, {Scale: []float32{1, 2}, Axis: value()}, {Scale: []float32{1}, Zero: []int64{999}}}[r.IntN(7)]
	case 5:
		if t.Data != nil {
			t.Data = [][]byte{nil, {}, t.Data[:len(t.Data)/2], append(slices.Clone(t.Data), 1)}[r.IntN(4)]
		} else {
			t.Data = make([]byte, r.IntN(64))
		}
	case 6:
		list := []*[]int{&op.Inputs, &op.Outputs, &g.Inputs, &g.Outputs}[r.IntN(4)]
		if len(*list) > 0 && r.IntN(3) > 0 {
			(*list)[r.IntN(len(*list))] = r.IntN(len(g.Tensors)+2) - 1
		} else {
			*list = append(*list, r.IntN(len(g.Tensors)+2)-1)
		}
	case 7:
		op.Kind = Kinds()[r.IntN(len(Kinds()))]
	case 9:
		if len(t.Data) >= 4 && t.Type == graph.Int32 {
			t.Data = slices.Clone(t.Data)
			binary.LittleEndian.PutUint32(t.Data[r.IntN(len(t.Data)/4)*4:], uint32(value()))
		}
	case 8:
		op.Options = changeOptions(op.Options, value)
	}
}

func changeOptions(o graph.Options, value func() int) graph.Options {
	switch o := o.(type) {
	case graph.ConvOptions:
		*[]*int{&o.StrideH, &o.StrideW, &o.DilationH, &o.DilationW}[value()&3] = value()
		o.Padding, o.Activation = graph.Padding(value()), graph.Activation(value())
		return o
	case graph.DepthwiseOptions:
		*[]*int{&o.StrideH, &o.StrideW, &o.DilationH, &o.DilationW}[value()&3] = value()
		o.Padding, o.Multiplier = graph.Padding(value()), value()
		return o
	case graph.PoolOptions:
		*[]*int{&o.StrideH, &o.StrideW, &o.FilterH, &o.FilterW}[value()&3] = value()
		o.Padding = graph.Padding(value())
		return o
	case graph.ConcatOptions:
		o.Axis = value()
		return o
	case graph.SoftmaxOptions:
		o.Beta = float32(value())
		return o
	case graph.TransposeConvOptions:
		*[]*int{&o.StrideH, &o.StrideW}[value()&1] = value()
		o.Padding = graph.Padding(value())
		return o
	case graph.StridedSliceOptions:
		*[]*int{&o.Begin, &o.End, &o.Ellipsis, &o.NewAxis, &o.Shrink}[(value()&7)%5] = value()
		return o
	case graph.PackOptions:
		o.Axis = value()
		return o
	case graph.GatherOptions:
		o.Axis, o.BatchDims = value(), value()&1
		return o
	case graph.BlockOptions:
		o.Size = value()
		return o
	case graph.BatchMatMulOptions:
		o.AdjX, o.AdjY = !o.AdjX, value()&1 == 0
		return o
	}
	return nil
}
