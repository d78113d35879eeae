package portable

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// arith is ADD, SUB or MUL of two tensors, either of which may be repeated along
// dimensions in which it is 1.
type arith struct {
	node
	shape  [4]int
	step   [2][4]int // of each input along each dimension; 0 where it is repeated
	mul    bool
	float  bool
	sum    *kernel.AddInt8
	zero   [2]int32         // of a product's inputs
	factor *kernel.Epilogue // of a product, the same for every channel
	lo, hi float32
}

// addBits is how many bits the larger factor of a sum in int8 has: then no sum
// of two products and half of what is shifted out leaves 32 bits.
const addBits = 21

// newAddInt8 returns a sum that is rounded once, with the factors that XNNPACK
// takes: ratios of scales in float32, to the last of 21 bits. TFLite's own kernels
// round each input to a twentieth bit behind the point before.
func newAddInt8(in [2]affine, out affine, act graph.Activation) *kernel.AddInt8 {
	x, y := float64(in[0].scale/out.scale), float64(in[1].scale/out.scale)
	_, exp := math.Frexp(max(x, y))
	shift := min(max(addBits-exp, 1), 30)
	factor := func(f float64) int32 { return int32(min(math.RoundToEven(math.Ldexp(f, shift)), 1<<addBits-1)) }
	a := &kernel.AddInt8{
		ZeroX: in[0].zero, ZeroY: in[1].zero, FactorX: factor(x), FactorY: factor(y), Shift: int32(shift), Zero: out.zero,
	}
	a.Lo, a.Hi = out.bounds(act)
	return a
}

func (a *arith) cost() int { return a.most() * a.shape[3] * 16 }

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
	out := w.i8(a.out)[dst:][:n]
	x, y := w.i8(a.reads[0])[at[0]:], w.i8(a.reads[1])[at[1]:]
	sx, sy := a.step[0][3], a.step[1][3]
	switch {
	case a.mul:
		acc := w.acc[:n]
		for c := range acc {
			acc[c] = (int32(x[c*sx]) - a.zero[0]) * (int32(y[c*sy]) - a.zero[1])
		}
		w.set.Requant(out, w.acc, a.factor, 1, n, n, n)
	case sx == 1 && sy == 1:
		w.set.AddInt8(out, x, y, a.sum)
	default:
		for c := range out {
			out[c] = a.sum.Of(x[c*sx], y[c*sy])
		}
	}
	a.then.int8(w, out, 0)
}

// needs one row of products.
func (a *arith) needs(int) scratch {
	if a.factor == nil {
		return scratch{}
	}
	return scratch{acc: kernel.RoundUp(a.shape[3], 16)}
}

func (a *arith) rowFloat32(w *worker, dst int, at [2]int) {
	out := w.f32(a.out)[dst:][:a.shape[3]]
	x, y := w.f32(a.reads[0])[at[0]:], w.f32(a.reads[1])[at[1]:]
	sx, sy := a.step[0][3], a.step[1][3]
	if !a.mul && sx == 1 && sy == 1 {
		w.set.AddFloat32(out, x, y, a.lo, a.hi)
		a.then.float32(w, out, 0)
		return
	}
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
		return errors.New("its options are those of another operator")
	}
	x, y, out := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]], p.tensors[op.Outputs[0]]
	if x.Type != out.Type || y.Type != out.Type {
		return fmt.Errorf("inputs are %v and %v, output %v: want the same", x.Type, y.Type, out.Type)
	}
	if op.Kind == graph.Sub && out.Type == graph.Float32 {
		return p.pair(op)
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
	if !a.mul {
		a.sum = newAddInt8([2]affine(q[:2]), q[2], act)
		if op.Kind == graph.Sub {
			a.sum.FactorY = -a.sum.FactorY
		}
	} else {
		a.zero = [2]int32{q[0].zero, q[1].zero}
		factor := q[0].scale * q[1].scale / q[2].scale
		a.factor = newEpilogue(slices.Repeat([]float32{factor}, a.shape[3]), nil, q[2], act, p.set.Int8.Align)
	}
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
		if a.shape[d]*a.shape[3] > 4096 {
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
