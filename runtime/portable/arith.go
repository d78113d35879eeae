package portable

import (
	"errors"
	"fmt"
	"slices"

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
	q      *arithInt8
	lo, hi float32
}

// arithInt8 is TFLite's integer arithmetic of ADD and MUL. What ADD makes of
// each input is a table; its sums, or MUL's products, go through an epilogue.
type arithInt8 struct {
	zero     [2]int32
	scaled   [2][256]int32
	epilogue *kernel.Epilogue // the same for every channel
}

// addShift is how far ADD shifts its inputs left to keep their fractions.
const addShift = 20

func newArithInt8(mul bool, in [2]affine, out affine, act graph.Activation, channels, align int) *arithInt8 {
	q := &arithInt8{}
	twice := 2 * float64(max(in[0].scale, in[1].scale))
	for k, a := range in {
		q.zero[k] = a.zero
		m, left, right := quantizeMultiplier(float64(a.scale) / twice)
		for i := range q.scaled[k] {
			q.scaled[k][i] = kernel.Multiply((int32(int8(uint8(i)))-a.zero)<<addShift, m, left, right)
		}
	}
	factor := twice / ((1 << addShift) * float64(out.scale))
	if mul {
		factor = float64(in[0].scale) * float64(in[1].scale) / float64(out.scale)
	}
	q.epilogue = newEpilogue(slices.Repeat([]float64{factor}, channels), nil, out, act, align)
	return q
}

func (a *arith) cost() int { return a.most() * a.shape[3] * 8 }

func (a *arith) most() int { return a.shape[0] * a.shape[1] * a.shape[2] }

func (a *arith) run(w *worker, part, parts int) {
	lo, hi := share(a.most(), part, parts)
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
	n := a.shape[3]
	out, acc := w.i8(a.out)[dst:][:n], w.acc[:n]
	x, y := w.i8(a.reads[0])[at[0]:], w.i8(a.reads[1])[at[1]:]
	sx, sy := a.step[0][3], a.step[1][3]
	switch {
	case a.mul:
		for c := range acc {
			acc[c] = (int32(x[c*sx]) - a.q.zero[0]) * (int32(y[c*sy]) - a.q.zero[1])
		}
	case sx == 1 && sy == 1:
		s, t := &a.q.scaled[0], &a.q.scaled[1]
		x, y = x[:len(acc)], y[:len(acc)]
		for c, v := range x {
			acc[c] = s[uint8(v)] + t[uint8(y[c])]
		}
	default:
		for c := range acc {
			acc[c] = a.q.scaled[0][uint8(x[c*sx])] + a.q.scaled[1][uint8(y[c*sy])]
		}
	}
	w.set.Requant(out, w.acc, a.q.epilogue, 1, n, n, n)
	a.then.int8(w, out, 0)
}

// needs one row of sums.
func (a *arith) needs(int) scratch {
	if a.float {
		return scratch{}
	}
	return scratch{acc: kernel.RoundUp(a.shape[3], 16)}
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
		a.flatten()
		p.push(a)
		return nil
	}
	a.flatten()
	var q [3]affine
	for i, t := range []*graph.Tensor{x, y, out} {
		if q[i], err = quantOf(t); err != nil {
			return err
		}
	}
	a.q = newArithInt8(a.mul, [2]affine(q[:2]), q[2], act, a.shape[3], p.set.Int8.Align)
	p.push(a)
	return nil
}

// constantArith adds a float32 operator with a constant for each channel as a
// pass, and says whether it could.
func (p *planner) constantArith(op *graph.Op, a *arith, act graph.Activation) bool {
	for i, in := range op.Inputs {
		t, other := p.tensors[in], op.Inputs[1-i]
		if !t.Const() || a.step[i] != [4]int{3: 1} || p.tensors[other].Const() || p.tensors[other].Elems() != p.tensors[a.out].Elems() ||
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

// flatten joins rows of inputs of the same shape into long ones.
func (a *arith) flatten() {
	if a.step[0] != a.step[1] {
		return
	}
	for d := 2; d >= 0; d-- {
		if a.shape[d]*a.shape[3] > 1024 {
			break
		}
		a.shape[3] *= a.shape[d]
		a.shape[d] = 1
	}
	size := 1
	for d := 3; d >= 0; d-- {
		a.step[0][d], a.step[1][d] = size, size
		size *= a.shape[d]
	}
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
