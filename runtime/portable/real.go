package portable

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"mien/runtime/graph"
)

// signed returns g with its uint8 tensors as int8, all values and zero points
// 128 less: files of before 2019 are in uint8, and compute the same.
func signed(g *graph.Graph) *graph.Graph {
	c := *g
	c.Tensors = slices.Clone(g.Tensors)
	for i, t := range c.Tensors {
		if t == nil || t.Type != graph.UInt8 {
			continue
		}
		s := *t
		s.Type = graph.Int8
		if t.Data != nil {
			s.Data = make([]byte, len(t.Data))
			for k, b := range t.Data {
				s.Data[k] = b ^ 0x80
			}
		}
		if q := t.Quant; q != nil && len(q.Scale) > 0 {
			n := *q
			n.Zero = make([]int64, len(q.Scale))
			for k := range n.Zero {
				n.Zero[k] = -128
				if k < len(q.Zero) {
					n.Zero[k] += q.Zero[k]
				}
			}
			s.Quant = &n
		}
		c.Tensors[i] = &s
	}
	return &c
}

// newTensor adds a float32 tensor of that shape beside those of the graph.
func (p *planner) newTensor(name string, shape []int, data []byte) int {
	p.tensors = append(p.tensors, &graph.Tensor{Name: name, Type: graph.Float32, Shape: shape, Data: data})
	i := len(p.tensors) - 1
	p.uses, p.alias, p.maker = append(p.uses, 1), append(p.alias, i), append(p.maker, -1)
	return i
}

// throughFloat computes an int8 operator in float32: for those that are seldom
// the slow part. The result is within a step of TFLite's integers.
func (p *planner) throughFloat(op *graph.Op, build func(*planner, *graph.Op) error) error {
	f := *op
	f.Inputs, f.Outputs = slices.Clone(op.Inputs), slices.Clone(op.Outputs)
	known, _ := graph.Known(op.Kind)
	for slot, i := range f.Inputs {
		if i < 0 {
			continue
		}
		t := p.tensors[i]
		bias := known.Weights != nil && slot == known.Weights.Bias
		switch {
		case bias && t.Type == graph.Int32:
			v, err := p.realBias(op, known, t)
			if err != nil {
				return err
			}
			f.Inputs[slot] = p.newTensor(t.Name, t.Shape, floatBytes(v))
		case t.Type != graph.Int8:
		case t.Const():
			v, err := realsOf(t)
			if err != nil {
				return err
			}
			f.Inputs[slot] = p.newTensor(t.Name, t.Shape, floatBytes(v))
		default:
			q, err := quantOf(t)
			if err != nil {
				return err
			}
			f.Inputs[slot] = p.newTensor(t.Name, t.Shape, nil)
			p.push(&toFloat32{node{reads: []int{i}, out: f.Inputs[slot]}, q})
		}
	}
	quants := make([]affine, len(f.Outputs))
	for k, i := range op.Outputs {
		t := p.tensors[i]
		if t.Type != graph.Int8 {
			continue
		}
		var err error
		if quants[k], err = quantOf(t); err != nil {
			return err
		}
		f.Outputs[k] = p.newTensor(t.Name, t.Shape, nil)
	}
	if err := build(p, &f); err != nil {
		return err
	}
	for k, i := range op.Outputs {
		if f.Outputs[k] != i {
			p.push(&toInt8{node{reads: []int{f.Outputs[k]}, out: i}, quants[k]})
		}
	}
	return nil
}

// inFloat returns a builder that takes int8 through float32.
func inFloat(build func(*planner, *graph.Op) error) func(*planner, *graph.Op) error {
	return func(p *planner, op *graph.Op) error {
		known, _ := graph.Known(op.Kind)
		if p.tensors[op.Inputs[known.Data]].Type == graph.Int8 {
			return p.throughFloat(op, build)
		}
		return build(p, op)
	}
}

// realBias returns the real values of an int32 bias: its scales are those of
// the input times those of the weights.
func (p *planner) realBias(op *graph.Op, known graph.Operator, t *graph.Tensor) ([]float32, error) {
	in, err := quantOf(p.tensors[op.Inputs[known.Data]])
	if err != nil {
		return nil, err
	}
	w := p.tensors[op.Inputs[1]].Quant
	if !t.Const() || w == nil || len(w.Scale) != 1 && len(w.Scale) != t.Elems() {
		return nil, fmt.Errorf("bias %q is not constant, or the weights have no scales for it", t.Name)
	}
	var out []float32
	for c, v := range int32s(t) {
		out = append(out, float32(float64(v)*float64(in.scale)*float64(w.Scale[min(c, len(w.Scale)-1)])))
	}
	return out, nil
}

// realsOf returns the real values of a constant: float32, float16, or int8 with
// one scale or one for each slice along an axis.
func realsOf(t *graph.Tensor) ([]float32, error) {
	switch t.Type {
	case graph.Float32:
		return float32s(t), nil
	case graph.Float16:
		out := make([]float32, len(t.Data)/2)
		for i := range out {
			out[i] = graph.Half(binary.LittleEndian.Uint16(t.Data[2*i:]))
		}
		return out, nil
	case graph.Int8:
		q := t.Quant
		if q == nil || len(q.Scale) == 0 {
			return nil, fmt.Errorf("%q is int8 but has no scale", t.Name)
		}
		if n := len(q.Scale); n > 1 && (q.Axis < 0 || q.Axis >= len(t.Shape) || t.Shape[q.Axis] != n) {
			return nil, fmt.Errorf("%q has %d scales along axis %d of %v", t.Name, n, q.Axis, t.Shape)
		}
		inner := 1
		if len(q.Scale) > 1 {
			inner = elems(t.Shape[q.Axis+1:])
		}
		out := make([]float32, len(t.Data))
		for i, b := range t.Data {
			c := i / inner % len(q.Scale)
			zero := int64(0)
			if c < len(q.Zero) {
				zero = q.Zero[c]
			}
			out[i] = q.Scale[c] * float32(int64(int8(b))-zero)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%q is constant %v", t.Name, t.Type)
}

func floatBytes(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

// asymmetric says whether weights have a zero point, as those of older uint8
// files do.
func asymmetric(t *graph.Tensor) bool {
	return t.Quant != nil && slices.ContainsFunc(t.Quant.Zero, func(z int64) bool { return z != 0 })
}
