package portable

import (
	"errors"
	"fmt"
	"math"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// reduction is a mean or sum over some dimensions.
type reduction struct {
	node
	dims, steps [4]int // of the input, and how each moves the output
	n           int    // values to one result
	divisor     int    // of their sum: n for a mean
	size        int
	float       bool
	finish      func(sum int32) int8
}

// reduce takes MEAN, SUM, REDUCE_MAX and REDUCE_MIN.
func (p *planner) reduce(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	axes, err := p.indices(op, 1, -1)
	if err != nil {
		return err
	}
	if len(in.Shape) > 4 || in.Type != out.Type {
		return fmt.Errorf("%v %v as %v (at most four dimensions are run)", in.Type, in.Shape, out.Type)
	}
	s := &reduction{
		node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]},
		dims: four(in.Shape), size: out.Elems(), n: 1, divisor: 1, float: in.Type == graph.Float32,
	}
	var reduced [4]bool
	for _, a := range axes {
		if a, err = axisOf(a, len(in.Shape)); err != nil {
			return err
		}
		reduced[4-len(in.Shape)+a] = true
	}
	step := 1
	for d := 3; d >= 0; d-- {
		if reduced[d] {
			s.n *= s.dims[d]
			continue
		}
		s.steps[d] = step
		step *= s.dims[d]
	}
	if step != s.size {
		return fmt.Errorf("axes %v of %v reduced are not %v", axes, in.Shape, out.Shape)
	}
	o, _ := op.Options.(graph.ReduceOptions)
	var shape []int
	for d, n := range in.Shape {
		if !reduced[4-len(in.Shape)+d] {
			shape = append(shape, n)
		} else if o.KeepDims {
			shape = append(shape, 1)
		}
	}
	if err := p.shaped(op.Outputs[0], shape); err != nil {
		return err
	}
	switch op.Kind {
	case graph.Mean:
		s.divisor = s.n
	case graph.Sum:
	case graph.ReduceMax, graph.ReduceMin:
		return p.pushExtreme(op, s)
	default:
		return errors.New("it has no way to reduce")
	}
	if !s.float {
		a, err := quantOf(in)
		if err != nil {
			return err
		}
		b, err := quantOf(out)
		if err != nil {
			return err
		}
		s.finish = s.sum(a, b)
		if op.Kind == graph.Mean {
			s.finish = s.mean(a, b, len(in.Shape) == 4 && reduced == [4]bool{1: true, 2: true})
		}
	}
	p.push(s)
	return nil
}

// sum returns what becomes of a sum.
func (s *reduction) sum(in, out affine) func(int32) int8 {
	m, left, right := quantiseMultiplier(float64(in.scale) / (float64(s.divisor) * float64(out.scale)))
	return func(sum int32) int8 {
		return int8(min(max(kernel.Multiply(sum-int32(s.n)*in.zero, m, left, right)+out.zero, -128), 127))
	}
}

// mean returns what becomes of a sum of which the mean is wanted. Means over
// pictures are XNNPACK's; of the others TFLite divides integers where the
// quantisation stays, and computes in float32 elsewhere.
func (s *reduction) mean(in, out affine, picture bool) func(int32) int8 {
	switch {
	case picture:
		scale := in.scale / (out.scale * float32(s.n))
		return func(sum int32) int8 {
			return clamp8(math.RoundToEven(float64(float32(sum-int32(s.n)*in.zero)*scale)) + float64(out.zero))
		}
	case in == out:
		return func(sum int32) int8 { return int8(sum / int32(s.n)) }
	}
	scale := in.scale / out.scale
	bias := float32(-in.zero) * scale
	return func(sum int32) int8 {
		product := float32(sum) / float32(s.n) * scale
		return clamp8(math.Round(float64(product+bias)) + float64(out.zero))
	}
}

func (s *reduction) needs(int) scratch {
	if s.float {
		return scratch{accF: s.size}
	}
	return scratch{acc: s.size}
}

func (s *reduction) run(w *worker, _, _ int) {
	if s.float {
		acc := w.accF[:s.size]
		accumulate(s, acc, w.f32(s.reads[0]), sumFloat32)
		out := w.f32(s.out)
		for i, v := range acc {
			out[i] = v / float32(s.divisor)
		}
		s.then.float32(w, out, 0)
		return
	}
	acc := w.acc[:s.size]
	accumulate(s, acc, w.i8(s.reads[0]), w.set.SumInt8)
	out := w.i8(s.out)
	for i, v := range acc {
		out[i] = s.finish(v)
	}
	s.then.int8(w, out, 0)
}

func sumFloat32(acc, src []float32) {
	for i := range acc {
		acc[i] += src[i]
	}
}

// accumulate adds the values of src up into the means that they belong to; row
// does so with a row of values that belong to as many means.
func accumulate[A int32 | float32, T int8 | float32](s *reduction, acc []A, src []T, row func(acc []A, src []T)) {
	clear(acc)
	for a := range s.dims[0] {
		for b := range s.dims[1] {
			for c := range s.dims[2] {
				at := a*s.steps[0] + b*s.steps[1] + c*s.steps[2]
				if s.steps[3] == 1 {
					row(acc[at:][:s.dims[3]], src)
				} else {
					for _, v := range src[:s.dims[3]] {
						acc[at] += A(v)
					}
				}
				src = src[s.dims[3]:]
			}
		}
	}
}

// extreme is the largest or smallest of some dimensions.
type extreme struct {
	reduction
	least bool
	typ   graph.Type
}

func (p *planner) pushExtreme(op *graph.Op, r *reduction) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	s := &extreme{reduction: *r, least: op.Kind == graph.ReduceMin, typ: in.Type}
	switch in.Type {
	case graph.Float32:
	case graph.Int8:
		if _, _, err := p.sameQuant(in, out, graph.None); err != nil {
			return err
		}
	default:
		return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
	}
	p.push(s)
	return nil
}

func (s *extreme) needs(int) scratch { return scratch{} }

func (s *extreme) run(w *worker, _, _ int) {
	if s.typ == graph.Float32 {
		inf := float32(math.Inf(-1))
		if s.least {
			inf = -inf
		}
		extremes(s, w.f32(s.out), w.f32(s.reads[0]), inf)
		s.then.float32(w, w.f32(s.out), 0)
		return
	}
	start := int8(math.MinInt8)
	if s.least {
		start = math.MaxInt8
	}
	extremes(s, w.i8(s.out), w.i8(s.reads[0]), start)
	s.then.int8(w, w.i8(s.out), 0)
}

func extremes[T int8 | float32](s *extreme, out, src []T, start T) {
	for i := range out {
		out[i] = start
	}
	for a := range s.dims[0] {
		for b := range s.dims[1] {
			for c := range s.dims[2] {
				at := a*s.steps[0] + b*s.steps[1] + c*s.steps[2]
				for d, v := range src[:s.dims[3]] {
					o := &out[at+d*s.steps[3]]
					if s.least {
						*o = min(*o, v)
					} else {
						*o = max(*o, v)
					}
				}
				src = src[s.dims[3]:]
			}
		}
	}
}

// argMax is the index of the first of the largest values along an axis.
type argMax struct {
	node
	float            bool
	outer, of, inner int
}

func (p *planner) argMax(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	axes, err := p.indices(op, 1, 1)
	if err != nil {
		return err
	}
	axis, err := axisOf(axes[0], len(in.Shape))
	if err != nil {
		return err
	}
	s := &argMax{node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, float: in.Type == graph.Float32,
		outer: elems(in.Shape[:axis]), of: in.Shape[axis], inner: elems(in.Shape[axis+1:])}
	if in.Type != graph.Float32 && in.Type != graph.Int8 || stored(out.Type) != graph.Int32 || out.Elems() != s.outer*s.inner {
		return fmt.Errorf("%v %v as %v %v along axis %d", in.Type, in.Shape, out.Type, out.Shape, axis)
	}
	p.push(s)
	return nil
}

func (s *argMax) run(w *worker, _, _ int) {
	if s.float {
		firstLargest(s, w.i32(s.out), w.f32(s.reads[0]))
	} else {
		firstLargest(s, w.i32(s.out), w.i8(s.reads[0]))
	}
}

func firstLargest[T int8 | float32](s *argMax, out []int32, in []T) {
	for o := range s.outer {
		for i := range s.inner {
			best := 0
			at := in[o*s.of*s.inner+i:]
			for k := 1; k < s.of; k++ {
				if at[k*s.inner] > at[best*s.inner] {
					best = k
				}
			}
			out[o*s.inner+i] = int32(best)
		}
	}
}

// l2Norm divides each vector of the last dimension by its length.
type l2Norm struct {
	node
	n      int
	lo, hi float32
}

func (p *planner) l2Normalization(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if in.Type != graph.Float32 || out.Type != graph.Float32 {
		return fmt.Errorf("input is %v, output %v: want float32 or int8", in.Type, out.Type)
	}
	if err := p.shaped(op.Outputs[0], in.Shape); err != nil {
		return err
	}
	s := &l2Norm{node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, n: channels(in)}
	s.lo, s.hi = floatBounds(op.Fused())
	p.push(s)
	return nil
}

// leastLength is what shorter vectors are divided by, as TFLite does.
const leastLength = 1e-6

func (s *l2Norm) run(w *worker, _, _ int) {
	out, in := w.f32(s.out), w.f32(s.reads[0])
	for len(in) >= s.n {
		var sum float32
		for _, v := range in[:s.n] {
			sum += v * v
		}
		length := max(float32(math.Sqrt(float64(sum))), leastLength)
		for i, v := range in[:s.n] {
			out[i] = min(max(v/length, s.lo), s.hi)
		}
		out, in = out[s.n:], in[s.n:]
	}
	s.then.float32(w, w.f32(s.out), 0)
}
