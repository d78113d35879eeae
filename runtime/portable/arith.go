package portable

import (
	"errors"
	"fmt"

	"mien/quant/graph"
	"mien/runtime/portable/internal/kernel"
)

// arith is ADD or MUL of two tensors, either of which may be repeated along
// dimensions in which it is 1.
type arith struct {
	node
	shape  [4]int
	step   [2][4]int // of each input along each dimension; 0 where it is repeated
	mul    bool
	float  bool
	q      arithInt8
	lo, hi float32
}

// arithInt8 is TFLite's integer arithmetic of ADD and MUL.
type arithInt8 struct {
	zero           [2]int32
	m, left, right [3]int32 // of both inputs (ADD only) and of the result
	out, lo, hi    int32
}

// addShift is how far ADD shifts its inputs left to keep their fractions.
const addShift = 20

func newArithInt8(mul bool, a, b, out affine) arithInt8 {
	q := arithInt8{zero: [2]int32{a.zero, b.zero}, out: out.zero}
	set := func(i int, f float64) { q.m[i], q.left[i], q.right[i] = quantizeMultiplier(f) }
	if mul {
		set(2, float64(a.scale)*float64(b.scale)/float64(out.scale))
		return q
	}
	twice := 2 * float64(max(a.scale, b.scale))
	set(0, float64(a.scale)/twice)
	set(1, float64(b.scale)/twice)
	set(2, twice/((1<<addShift)*float64(out.scale)))
	return q
}

func (q *arithInt8) apply(mul bool, a, b int8) int8 {
	x, y := int32(a)-q.zero[0], int32(b)-q.zero[1]
	if mul {
		x *= y
	} else {
		x = kernel.Multiply(x<<addShift, q.m[0], q.left[0], q.right[0]) + kernel.Multiply(y<<addShift, q.m[1], q.left[1], q.right[1])
	}
	x = kernel.Multiply(x, q.m[2], q.left[2], q.right[2]) + q.out
	return int8(min(max(x, q.lo), q.hi))
}

func (a *arith) run(w *worker, part, parts int) {
	rows := a.shape[0] * a.shape[1] * a.shape[2]
	lo, hi := share(rows, part, parts)
	c := a.shape[3]
	for r := lo; r < hi; r++ {
		i := [3]int{r / a.shape[2] / a.shape[1], r / a.shape[2] % a.shape[1], r % a.shape[2]}
		var at [2]int
		for k := range at {
			at[k] = i[0]*a.step[k][0] + i[1]*a.step[k][1] + i[2]*a.step[k][2]
		}
		if a.float {
			a.rowFloat32(w, r*c, at)
		} else {
			a.rowInt8(w, r*c, at)
		}
	}
}

func (a *arith) rowInt8(w *worker, dst int, at [2]int) {
	out := w.i8(a.out)[dst:][:a.shape[3]]
	x, y := w.i8(a.reads[0])[at[0]:], w.i8(a.reads[1])[at[1]:]
	for c := range out {
		out[c] = a.q.apply(a.mul, x[c*a.step[0][3]], y[c*a.step[1][3]])
	}
	a.then.int8(w, out, 0)
}

func (a *arith) rowFloat32(w *worker, dst int, at [2]int) {
	out := w.f32(a.out)[dst:][:a.shape[3]]
	x, y := w.f32(a.reads[0])[at[0]:], w.f32(a.reads[1])[at[1]:]
	sx, sy := a.step[0][3], a.step[1][3]
	for c := range out {
		v := x[c*sx]
		if a.mul {
			v *= y[c*sy]
		} else {
			v += y[c*sy]
		}
		out[c] = min(max(v, a.lo), a.hi)
	}
	a.then.float32(w, out, 0)
}

func (p *planner) arith(op *graph.Op) error {
	var act graph.Activation
	if o, ok := op.Options.(graph.ArithOptions); ok {
		act = o.Activation
	} else if op.Options != nil {
		return errors.New("its options are not those of ADD or MUL")
	}
	x, y, out := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]], p.tensors[op.Outputs[0]]
	if x.Type != out.Type || y.Type != out.Type {
		return fmt.Errorf("inputs are %v and %v, output %v: want the same", x.Type, y.Type, out.Type)
	}
	a := &arith{node: node{reads: op.Inputs[:2:2], out: op.Outputs[0]}, mul: op.Kind == graph.Mul, float: out.Type == graph.Float32}
	var err error
	if a.shape, a.step, err = broadcast(x, y, out); err != nil {
		return err
	}
	if a.float {
		a.lo, a.hi = floatBounds(act)
		if p.constantArith(op, a, act) {
			return nil
		}
		p.push(a)
		return nil
	}
	var q [3]affine
	for i, t := range []*graph.Tensor{x, y, out} {
		if q[i], err = quantOf(t); err != nil {
			return err
		}
	}
	a.q = newArithInt8(a.mul, q[0], q[1], q[2])
	a.q.lo, a.q.hi = q[2].bounds(act)
	p.push(a)
	return nil
}

// constantArith adds a float32 operator with a constant for each channel as a
// pass, and says whether it could.
func (p *planner) constantArith(op *graph.Op, a *arith, act graph.Activation) bool {
	for i, in := range op.Inputs {
		t, other := p.tensors[in], op.Inputs[1-i]
		if !t.Const() || t.Elems() != a.shape[3] || p.tensors[other].Const() || p.tensors[other].Elems() != p.tensors[a.out].Elems() ||
			len(p.tensors[other].Shape) != len(p.tensors[a.out].Shape) {
			continue
		}
		s := &scaleFloat32{m: float32s(t), a: make([]float32, a.shape[3])}
		if !a.mul {
			s.a, s.m = s.m, s.a
			for c := range s.m {
				s.m[c] = 1
			}
		}
		c := chain{float32s: []passFloat32{s}}
		if act != graph.None {
			c.float32s = append(c.float32s, clampFloat32{a.lo, a.hi})
		}
		return p.pass(other, a.out, c) == nil
	}
	return false
}

// broadcast returns the output's shape in four dimensions and the steps of
// both inputs in it.
func broadcast(x, y, out *graph.Tensor) (shape [4]int, step [2][4]int, err error) {
	if len(out.Shape) > 4 {
		return shape, step, fmt.Errorf("output %v has more than four dimensions", out.Shape)
	}
	shape = four(out.Shape)
	var in [2][4]int
	for k, t := range []*graph.Tensor{x, y} {
		if len(t.Shape) > len(out.Shape) {
			return shape, step, fmt.Errorf("input %v has more dimensions than the output %v", t.Shape, out.Shape)
		}
		in[k] = four(t.Shape)
		size := 1
		for d := 3; d >= 0; d-- {
			if in[k][d] != 1 {
				step[k][d] = size
			}
			size *= in[k][d]
		}
	}
	for d := range shape {
		a, b := in[0][d], in[1][d]
		if a != b && a != 1 && b != 1 || shape[d] != max(a, b) {
			return shape, step, fmt.Errorf("inputs %v and %v do not give %v", x.Shape, y.Shape, out.Shape)
		}
	}
	return shape, step, nil
}

// four returns shape with leading ones.
func four(shape []int) [4]int {
	out := [4]int{1, 1, 1, 1}
	copy(out[4-len(shape):], shape)
	return out
}
