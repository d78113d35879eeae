package portable

import (
	"errors"
	"fmt"

	"mien/runtime/graph"
)

// matmul multiplies matrices, the last two dimensions of its inputs.
type matmul struct {
	node
	batch   [2][4]int // of the inputs: steps along the leading dimensions, 0 where repeated
	shape   [4]int    // leading dimensions of the output
	m, k, n int
	x, y    [2]int // steps of the inputs along (m, k) and (k, n)
}

func (p *planner) batchMatMul(op *graph.Op) error {
	o, ok := op.Options.(graph.BatchMatMulOptions)
	if !ok {
		return errors.New("it has no options")
	}
	x, y, out := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]], p.tensors[op.Outputs[0]]
	if x.Type != graph.Float32 || y.Type != graph.Float32 || out.Type != graph.Float32 {
		return fmt.Errorf("inputs are %v and %v, output %v: want float32 or int8", x.Type, y.Type, out.Type)
	}
	wrong := fmt.Errorf("%v times %v is not %v", x.Shape, y.Shape, out.Shape)
	a, b, c := len(x.Shape)-2, len(y.Shape)-2, len(out.Shape)-2
	if a < 0 || b < 0 || c < 0 || c > 4 || a > c || b > c {
		return wrong
	}
	s := &matmul{node: node{reads: op.Inputs[:2:2], out: op.Outputs[0]}, m: x.Shape[a], k: x.Shape[a+1], n: y.Shape[b+1]}
	s.x, s.y = [2]int{s.k, 1}, [2]int{s.n, 1}
	rows := y.Shape[b]
	if o.AdjX {
		s.m, s.k, s.x = s.k, s.m, [2]int{1, s.k}
	}
	if o.AdjY {
		rows, s.n, s.y = s.n, rows, [2]int{1, s.n}
	}
	if rows != s.k || out.Shape[c] != s.m || out.Shape[c+1] != s.n {
		return wrong
	}
	lead := func(t *graph.Tensor, n int) *graph.Tensor { return &graph.Tensor{Shape: t.Shape[:n]} }
	var err error
	if s.shape, s.batch, err = broadcast(lead(x, a), lead(y, b), lead(out, c)); err != nil {
		return wrong
	}
	p.push(s)
	return nil
}

func (s *matmul) cost() int { return s.most() * s.n * s.k }

func (s *matmul) most() int { return s.shape[0] * s.shape[1] * s.shape[2] * s.shape[3] * s.m }

func (s *matmul) run(w *worker, part, parts int) {
	from, to := share(s.most(), part, parts)
	for r := from; r < to; r++ {
		b, i := r/s.m, r%s.m
		var at [2]int
		for d := 3; d >= 0; d-- {
			at[0], at[1] = at[0]+b%s.shape[d]*s.batch[0][d], at[1]+b%s.shape[d]*s.batch[1][d]
			b /= s.shape[d]
		}
		x := w.f32(s.reads[0])[at[0]*s.m*s.k+i*s.x[0]:]
		y := w.f32(s.reads[1])[at[1]*s.k*s.n:]
		out := w.f32(s.out)[r*s.n:][:s.n]
		clear(out)
		for k := range s.k {
			v := x[k*s.x[1]]
			for j := range out {
				out[j] += v * y[k*s.y[0]+j*s.y[1]]
			}
		}
		s.then.float32(w, out, 0)
	}
}
