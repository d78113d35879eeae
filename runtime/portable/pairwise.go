package portable

import (
	"errors"
	"fmt"
	"slices"

	"mien/runtime/graph"
)

// pairwise computes a float32 function of two tensors, either of which may be
// repeated along dimensions in which it is 1.
type pairwise struct {
	node
	shape  [4]int
	step   [2][4]int
	f      func(x, y float32) float32
	lo, hi float32
}

// pairs are the functions of two values that ADD and MUL's step does not compute.
var pairs = map[graph.Kind]func(x, y float32) float32{
	graph.Div:     func(x, y float32) float32 { return x / y },
	graph.Maximum: func(x, y float32) float32 { return max(x, y) },
	graph.Minimum: func(x, y float32) float32 { return min(x, y) },
	graph.Prelu: func(x, alpha float32) float32 {
		if x < 0 {
			return x * alpha
		}
		return x
	},
	graph.SquaredDifference: func(x, y float32) float32 { return (x - y) * (x - y) },
	graph.Sub:               func(x, y float32) float32 { return x - y },
}

func (p *planner) pair(op *graph.Op) error {
	f, ok := pairs[op.Kind]
	if !ok {
		return errors.New("it has no function of two values")
	}
	x, y, out := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]], p.tensors[op.Outputs[0]]
	if x.Type != graph.Float32 || y.Type != graph.Float32 || out.Type != graph.Float32 {
		return fmt.Errorf("inputs are %v and %v, output %v: want float32 or int8", x.Type, y.Type, out.Type)
	}
	s := &pairwise{node: node{reads: op.Inputs[:2:2], out: op.Outputs[0]}, f: f}
	var err error
	if s.shape, s.step, err = broadcast(x, y, out); err != nil {
		return err
	}
	s.lo, s.hi = floatBounds(op.Fused())
	p.push(s)
	return nil
}

func (s *pairwise) cost() int { return s.most() * s.shape[3] * 8 }

func (s *pairwise) most() int { return s.shape[0] * s.shape[1] * s.shape[2] }

func (s *pairwise) run(w *worker, part, parts int) {
	lo, hi := share(s.most(), part, parts)
	c := s.shape[3]
	for r := lo; r < hi; r++ {
		i := [3]int{r / s.shape[2] / s.shape[1], r / s.shape[2] % s.shape[1], r % s.shape[2]}
		var at [2]int
		for k := range at {
			at[k] = i[0]*s.step[k][0] + i[1]*s.step[k][1] + i[2]*s.step[k][2]
		}
		out := w.f32(s.out)[r*c:][:c]
		x, y := w.f32(s.reads[0])[at[0]:], w.f32(s.reads[1])[at[1]:]
		sx, sy := s.step[0][3], s.step[1][3]
		for k := range out {
			out[k] = min(max(s.f(x[k*sx], y[k*sy]), s.lo), s.hi)
		}
		s.then.float32(w, out, 0)
	}
}

// prelu takes a slope for each channel as a pass, in int8 a table for each.
func (p *planner) prelu(op *graph.Op) error {
	in, alpha, out := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]], p.tensors[op.Outputs[0]]
	n := channels(in)
	if !alpha.Const() || alpha.Elems() != n || channels(alpha) != n || in.Type != out.Type || !slices.Equal(in.Shape, out.Shape) {
		return inFloat((*planner).pair)(p, op)
	}
	var c chain
	switch in.Type {
	case graph.Float32:
		slopes, err := realsOf(alpha)
		if err != nil {
			return err
		}
		c.float32s = []passFloat32{preluFloat32(slopes)}
	case graph.Int8:
		tables, err := preluTables(in, alpha, out)
		if err != nil {
			return err
		}
		c.int8s = []passInt8{tables}
	default:
		return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
	}
	return p.pass(op.Inputs[0], op.Outputs[0], c)
}

func preluTables(in, alpha, out *graph.Tensor) (preluInt8, error) {
	var q [3]affine
	for i, t := range []*graph.Tensor{in, alpha, out} {
		var err error
		if q[i], err = quantOf(t); err != nil {
			return nil, err
		}
	}
	factor := float64(q[0].scale) / float64(q[2].scale)
	negative := float64(q[0].scale) * float64(q[1].scale) / float64(q[2].scale)
	var tables preluInt8
	for _, s := range alpha.Data {
		tables = append(tables, tableOf(slope(q[0], q[2], factor, negative, int32(int8(s))-q[1].zero)))
	}
	return tables, nil
}

// preluFloat32 is a slope below 0 for each channel.
type preluFloat32 []float32

func (s preluFloat32) apply(_ *worker, dst, src []float32, c0 int) {
	for len(dst) > 0 {
		n := min(len(dst), len(s)-c0)
		for i, v := range src[:n] {
			if v < 0 {
				v *= s[c0+i]
			}
			dst[i] = v
		}
		dst, src, c0 = dst[n:], src[n:], 0
	}
}

// preluInt8 is a table for each channel.
type preluInt8 []*[256]int8

func (s preluInt8) apply(_ *worker, dst, src []int8, c0 int) {
	for i, v := range src {
		dst[i] = s[(c0+i)%len(s)][uint8(v)]
	}
}
