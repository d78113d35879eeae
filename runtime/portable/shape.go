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
	if err := p.reshaped(op, in.Shape, out.Shape); err != nil {
		return err
	}
	if in.Const() {
		p.fold(op.Outputs[0], in.Data)
		return nil
	}
	p.alias[op.Outputs[0]] = p.alias[op.Inputs[0]]
	return nil
}

// reshaped checks that what an operator says of its output's shape is the shape
// that the file gives it.
func (p *planner) reshaped(op *graph.Op, in, out []int) error {
	switch op.Kind {
	case graph.Reshape:
		if len(op.Inputs) > 1 && op.Inputs[1] >= 0 {
			return p.stated(op, 1, out)
		}
		if o, ok := op.Options.(graph.ReshapeOptions); ok && len(o.Shape) > 0 {
			return fits(o.Shape, out)
		}
	case graph.ExpandDims:
		if p.tensors[op.Inputs[1]].Const() {
			axes, err := p.indices(op, 1, 1)
			if err != nil {
				return err
			}
			axis, err := axisOf(axes[0], len(in)+1)
			if err != nil {
				return err
			}
			return fits(slices.Insert(slices.Clone(in), axis, 1), out)
		}
	case graph.Squeeze:
		o, ok := op.Options.(graph.SqueezeOptions)
		if !ok {
			return errors.New("it has no options")
		}
		goes := map[int]bool{}
		for _, d := range o.Dims {
			axis, err := axisOf(d, len(in))
			if err != nil || in[axis] != 1 {
				return fmt.Errorf("dimension %d of %v cannot go", d, in)
			}
			goes[axis] = true
		}
		var left []int
		for d, n := range in {
			if !goes[d] && (n != 1 || len(o.Dims) > 0) {
				left = append(left, n)
			}
		}
		return fits(left, out)
	}
	return nil
}

// stated checks a shape that an operator's constant input states.
func (p *planner) stated(op *graph.Op, slot int, want []int) error {
	if t := p.optional(op, slot); t == nil || !t.Const() {
		return nil
	}
	have, err := p.indices(op, slot, -1)
	if err != nil {
		return err
	}
	return fits(have, want)
}

// fits says whether a shape is another, but for one size of -1, which is what is
// left.
func fits(have, want []int) error {
	open := 0
	if len(have) == len(want) {
		for d, n := range have {
			if n == -1 {
				open++
			} else if n != want[d] {
				open = 2
			}
		}
		if open < 2 {
			return nil
		}
	}
	return fmt.Errorf("it asks for the shape %v, and its output is %v", have, want)
}

// paste copies tensors to places of a larger one, row by row: PAD,
// CONCATENATION and PACK are made of such copies.
type paste struct {
	node
	pieces []piece
	typ    graph.Type
	filled bool // some of the output no piece covers
	fill   int8 // with this
	fillF  float32
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

func (s *paste) cost() int {
	n := 0
	for i := range s.pieces {
		n += s.pieces[i].run * s.pieces[i].dims[0] * s.pieces[i].dims[1] * s.pieces[i].dims[2]
	}
	return n
}

func (s *paste) run(w *worker, _, _ int) {
	switch s.typ {
	case graph.Float32:
		out := w.f32(s.out)
		if s.filled {
			for i := range out {
				out[i] = s.fillF
			}
		}
		for i := range s.pieces {
			pasteRuns(&s.pieces[i], out, w.f32(s.pieces[i].tensor))
		}
		s.then.float32(w, out, 0)
	case graph.Int8:
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
	default:
		for i := range s.pieces {
			pasteRuns(&s.pieces[i], w.i32(s.out), w.i32(s.pieces[i].tensor))
		}
	}
}

func pasteRuns[T any](c *piece, out, src []T) {
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
	if !isIndices(amounts) || amounts.Elems() != 2*rank {
		return errors.New("its paddings are not constant int32, two for each dimension")
	}
	s := &paste{node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, typ: in.Type, filled: true}
	switch in.Type {
	case graph.Float32:
	case graph.Int8:
		if _, _, err := p.sameQuant(in, out, graph.None); err != nil {
			return err
		}
		q, _ := quantOf(out)
		s.fill = int8(q.zero)
	default:
		return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
	}
	if v := p.optional(op, 2); v != nil { // PADV2's value
		if !v.Const() || v.Elems() != 1 || v.Type != in.Type {
			return fmt.Errorf("it pads with %v %v, which is not a constant %v", v.Type, v.Shape, in.Type)
		}
		if in.Type == graph.Float32 {
			s.fillF = float32s(v)[0]
		} else {
			s.fill = int8(v.Data[0])
		}
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
	if o.Activation != graph.None {
		return fmt.Errorf("its fused activation is %v, which is not run", o.Activation)
	}
	out := p.tensors[op.Outputs[0]]
	axis, err := axisOf(o.Axis, len(out.Shape))
	if err != nil {
		return err
	}
	return p.join(op, axis, func(in *graph.Tensor) (int, bool) {
		want := slices.Clone(out.Shape)
		if len(in.Shape) == len(want) {
			want[axis] = in.Shape[axis]
		}
		return want[axis], slices.Equal(in.Shape, want)
	})
}

// packTensors joins tensors along a new axis.
func (p *planner) packTensors(op *graph.Op) error {
	o, ok := op.Options.(graph.PackOptions)
	if !ok {
		return errors.New("it has no options")
	}
	out := p.tensors[op.Outputs[0]]
	axis, err := axisOf(o.Axis, len(out.Shape))
	if err != nil {
		return err
	}
	if o.N != len(op.Inputs) {
		return fmt.Errorf("%d inputs, and its options say %d", len(op.Inputs), o.N)
	}
	rest := slices.Delete(slices.Clone(out.Shape), axis, axis+1)
	return p.join(op, axis, func(in *graph.Tensor) (int, bool) { return 1, slices.Equal(in.Shape, rest) })
}

// axisOf returns an axis that may count from the end.
func axisOf(axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("axis %d of %d dimensions", axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, nil
}

// join puts the inputs side by side along an axis of the output; fits says how
// much of it an input takes and whether it can be there.
func (p *planner) join(op *graph.Op, axis int, fits func(*graph.Tensor) (int, bool)) error {
	out := p.tensors[op.Outputs[0]]
	outer, inner := elems(out.Shape[:axis]), elems(out.Shape[axis+1:])
	s := &paste{node: node{reads: op.Inputs, out: op.Outputs[0]}, typ: stored(out.Type)}
	at, constant := 0, true
	for _, i := range op.Inputs {
		if i < 0 {
			return errors.New("an input is absent")
		}
		in := p.tensors[i]
		n, ok := fits(in)
		if !ok || in.Type != out.Type || s.typ < 0 {
			return fmt.Errorf("%v %v does not fit into %v %v along axis %d", in.Type, in.Shape, out.Type, out.Shape, axis)
		}
		c := piece{tensor: i, run: n * inner, dims: [3]int{1, 1, outer}, steps: [3]int{0, 0, out.Shape[axis] * inner}, start: at * inner}
		if out.Type == graph.Int8 {
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
		at += n
		constant = constant && in.Const() && c.table == nil
	}
	if at != out.Shape[axis] {
		return fmt.Errorf("the inputs have %d along axis %d, the output %v", at, axis, out.Shape)
	}
	if constant {
		data := make([]byte, out.Elems()*out.Type.Size())
		for _, c := range s.pieces {
			c = c.times(out.Type.Size())
			pasteRuns(&c, data, p.tensors[c.tensor].Data)
		}
		p.fold(op.Outputs[0], data)
		return nil
	}
	p.push(s)
	return nil
}

// times returns the piece for values of n elements each.
func (c piece) times(n int) piece {
	c.run, c.start = c.run*n, c.start*n
	for d := range c.steps {
		c.steps[d] *= n
	}
	return c
}

func elems(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
