package portable

import (
	"errors"
	"fmt"
	"slices"

	"mien/runtime/graph"
)

// reshape gives a tensor's memory a second name.
func (p *planner) reshape(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if in.Type != out.Type || in.Elems() != out.Elems() {
		return fmt.Errorf("%v %v cannot become %v %v", in.Type, in.Shape, out.Type, out.Shape)
	}
	if in.Type == graph.Int8 {
		if _, _, err := p.sameQuant(in, out, graph.None); err != nil {
			return err
		}
	}
	p.alias[op.Outputs[0]] = p.alias[op.Inputs[0]]
	return nil
}

// block is a rectangle of values copied to another place, row by row: PAD and
// CONCATENATION are made of such copies.
type paste struct {
	node
	pieces []piece
	fill   int8 // of what no piece covers, in int8; 0 in float32
	filled bool
	float  bool
}

// piece copies runs of a tensor. Run r of [0, n) starts at r*run in the source
// and at the sum of the digits of r times steps in the output.
type piece struct {
	tensor int
	run    int
	dims   [3]int // the counts of runs
	steps  [3]int
	start  int
	table  *[256]int8 // for a source of another quantisation
}

func (s *paste) run(w *worker, _, _ int) {
	if s.float {
		out := w.f32(s.out)
		if s.filled {
			clear(out)
		}
		for i := range s.pieces {
			pasteRuns(&s.pieces[i], out, w.f32(s.pieces[i].tensor))
		}
		s.then.float32(w, out, 0)
		return
	}
	out := w.i8(s.out)
	if s.filled {
		for i := range out {
			out[i] = s.fill
		}
	}
	for i := range s.pieces {
		c := &s.pieces[i]
		pasteRuns(c, out, w.i8(c.tensor))
		if c.table != nil {
			c.translate(out)
		}
	}
	s.then.int8(w, out, 0)
}

func pasteRuns[T int8 | float32](c *piece, out, src []T) {
	for a := range c.dims[0] {
		for b := range c.dims[1] {
			for d := range c.dims[2] {
				at := c.start + a*c.steps[0] + b*c.steps[1] + d*c.steps[2]
				copy(out[at:][:c.run], src)
				src = src[c.run:]
			}
		}
	}
}

func (c *piece) translate(out []int8) {
	for a := range c.dims[0] {
		for b := range c.dims[1] {
			for d := range c.dims[2] {
				at := c.start + a*c.steps[0] + b*c.steps[1] + d*c.steps[2]
				for i, v := range out[at:][:c.run] {
					out[at+i] = c.table[uint8(v)]
				}
			}
		}
	}
}

// newPiece places a tensor of a shape at a corner of a larger one.
func newPiece(tensor int, in, out, corner [4]int) piece {
	c := piece{tensor: tensor, run: in[3], dims: [3]int{in[0], in[1], in[2]}, start: corner[3]}
	step := out[3]
	for d := 2; d >= 0; d-- {
		c.steps[d] = step
		c.start += corner[d] * step
		step *= out[d]
	}
	return c
}

func (p *planner) pad(op *graph.Op) error {
	in, out, amounts := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]], p.tensors[op.Inputs[1]]
	rank := len(in.Shape)
	if rank == 0 || rank > 4 || len(out.Shape) != rank || in.Type != out.Type {
		return fmt.Errorf("%v %v cannot be padded to %v %v", in.Type, in.Shape, out.Type, out.Shape)
	}
	if !amounts.Const() || amounts.Type != graph.Int32 || amounts.Elems() != 2*rank {
		return errors.New("its paddings are not constant int32, two for each dimension")
	}
	s := &paste{node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, float: in.Type == graph.Float32, filled: true}
	if !s.float {
		if _, _, err := p.sameQuant(in, out, graph.None); err != nil {
			return err
		}
		q, _ := quantOf(out)
		s.fill = int8(q.zero)
	}
	var corner [4]int
	for d, v := range int32s(amounts) {
		if v < 0 || v > maxElems {
			return fmt.Errorf("padding of %d", v)
		}
		if d%2 == 0 {
			corner[4-rank+d/2] = int(v)
		} else if d /= 2; out.Shape[d] != in.Shape[d]+int(v)+corner[4-rank+d] {
			return fmt.Errorf("input %v padded by %v is not %v", in.Shape, int32s(amounts), out.Shape)
		}
	}
	s.pieces = []piece{newPiece(op.Inputs[0], four(in.Shape), four(out.Shape), corner)}
	p.push(s)
	return nil
}

func (p *planner) concatenation(op *graph.Op) error {
	o, ok := op.Options.(graph.ConcatOptions)
	if !ok {
		return errors.New("it has no options")
	}
	out := p.tensors[op.Outputs[0]]
	rank := len(out.Shape)
	axis := o.Axis
	if axis < 0 {
		axis += rank
	}
	if o.Activation != graph.None || rank > 4 || axis < 0 || axis >= rank {
		return fmt.Errorf("activation %d, axis %d of %v (want none, and at most four dimensions)", o.Activation, o.Axis, out.Shape)
	}
	s := &paste{node: node{reads: op.Inputs, out: op.Outputs[0]}, float: out.Type == graph.Float32}
	var corner [4]int
	for _, i := range op.Inputs {
		if i < 0 {
			return errors.New("an input is absent")
		}
		in := p.tensors[i]
		want := slices.Clone(out.Shape)
		if len(in.Shape) == rank {
			want[axis] = in.Shape[axis]
		}
		if !slices.Equal(in.Shape, want) || in.Type != out.Type {
			return fmt.Errorf("%v %v does not fit into %v %v along axis %d", in.Type, in.Shape, out.Type, out.Shape, axis)
		}
		c := newPiece(i, four(in.Shape), four(out.Shape), corner)
		if !s.float {
			a, err := quantOf(in)
			if err != nil {
				return err
			}
			b, err := quantOf(out)
			if err != nil {
				return err
			}
			if a != b {
				c.table = table(a, b, func(v float32) float32 { return v })
			}
		}
		s.pieces = append(s.pieces, c)
		corner[4-rank+axis] += in.Shape[axis]
	}
	if corner[4-rank+axis] != out.Shape[axis] {
		return fmt.Errorf("the inputs have %d along axis %d, the output %v", corner[4-rank+axis], axis, out.Shape)
	}
	p.push(s)
	return nil
}
