package infertest

import (
	"encoding/binary"
	"math"

	"mien/runtime/graph"
	"mien/runtime/model"
)

// Int8 returns a full-integer copy of g, a graph that Network made: weights
// per channel in convolutions and per tensor in dense layers, activations over
// the ranges that the oracle sees on faces. It is a plain quantiser for tests,
// independent of the one that mien ships.
func Int8(g *graph.Graph, faces [][]float64) (*graph.Graph, error) {
	low, high, err := ranges(g, faces)
	if err != nil {
		return nil, err
	}
	out := &graph.Graph{Name: g.Name, Inputs: g.Inputs, Outputs: g.Outputs}
	for i, t := range g.Tensors {
		c := *t
		if !t.Const() {
			c.Type, c.Quant = graph.Int8, activation(low[i], high[i])
		}
		out.Tensors = append(out.Tensors, &c)
	}
	out.Tensors[g.Inputs[0]].Quant = &graph.Quant{Scale: []float32{1. / 255}, Zero: []int64{-128}}
	for _, op := range g.Ops {
		c := *op
		out.Ops = append(out.Ops, &c)
		in, res := out.Tensors[op.Inputs[0]], out.Tensors[op.Outputs[0]]
		switch op.Kind {
		case graph.Conv2D:
			weigh(out, op, 0)
			c.Version = 3
		case graph.DepthwiseConv2D:
			weigh(out, op, 3)
			c.Version = 3
		case graph.FullyConnected:
			weigh(out, op, -1)
			c.Version = 4
		case graph.MaxPool2D:
			res.Quant = in.Quant
			c.Version = 2
		case graph.Softmax:
			res.Quant = &graph.Quant{Scale: []float32{1. / 256}, Zero: []int64{-128}}
			c.Version = 2
		}
	}
	return out, nil
}

// ranges runs the oracle on faces and notes how far each tensor goes.
func ranges(g *graph.Graph, faces [][]float64) (low, high []float64, err error) {
	low, high = make([]float64, len(g.Tensors)), make([]float64, len(g.Tensors))
	for _, f := range faces {
		v, err := Eval(g, f)
		if err != nil {
			return nil, nil, err
		}
		for i := range v {
			for _, x := range v[i] {
				low[i], high[i] = min(low[i], x), max(high[i], x)
			}
		}
	}
	return low, high, nil
}

func activation(low, high float64) *graph.Quant {
	scale := max(high-low, 1e-6) / 255
	return &graph.Quant{Scale: []float32{float32(scale)}, Zero: []int64{int64(math.Round(-128 - low/scale))}}
}

// weigh makes the filter and bias of op integers, with one scale for each
// slice of the filter along axis, or one for all when axis is -1.
func weigh(g *graph.Graph, op *graph.Op, axis int) {
	filter, bias := g.Tensors[op.Inputs[1]], g.Tensors[op.Inputs[2]]
	values := floats(filter.Data)
	slice := func(i int) int { return 0 }
	n := 1
	switch axis {
	case 0:
		n = filter.Shape[0]
		each := len(values) / n
		slice = func(i int) int { return i / each }
	case 3:
		n = filter.Shape[3]
		slice = func(i int) int { return i % n }
	}
	scale, zero := make([]float32, n), make([]int64, n)
	for i, v := range values {
		scale[slice(i)] = max(scale[slice(i)], float32(math.Abs(v)/127))
	}
	q := make([]byte, len(values))
	for i, v := range values {
		q[i] = byte(int8(math.Round(v / float64(scale[slice(i)]))))
	}
	filter.Type, filter.Data = graph.Int8, q
	filter.Quant = &graph.Quant{Scale: scale, Zero: zero, Axis: max(axis, 0)}

	in := g.Tensors[op.Inputs[0]].Quant.Scale[0]
	biases := floats(bias.Data)
	bias.Type, bias.Data = graph.Int32, nil
	bias.Quant = &graph.Quant{Scale: make([]float32, n), Zero: make([]int64, n)}
	for i := range n {
		bias.Quant.Scale[i] = in * scale[i]
	}
	for i, v := range biases {
		s := bias.Quant.Scale[min(i, n-1)]
		bias.Data = binary.LittleEndian.AppendUint32(bias.Data, uint32(int32(math.Round(v/float64(s)))))
	}
}

// Input returns a face's pixels as the oracle takes them.
func Input(pix []byte) []float64 {
	v := make([]float64, model.Side*model.Side)
	for i := range v {
		v[i] = float64(pix[i]) / 255
	}
	return v
}
