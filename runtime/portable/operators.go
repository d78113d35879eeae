package portable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// builders make a step of each operator that the engine computes.
var builders = map[graph.Kind]func(*planner, *graph.Op) error{
	graph.Add:             (*planner).arith,
	graph.AveragePool2D:   (*planner).pool2D,
	graph.Concatenation:   (*planner).concatenation,
	graph.Conv2D:          (*planner).conv2D,
	graph.DepthwiseConv2D: (*planner).depthwiseConv2D,
	graph.Dequantize:      (*planner).dequantize,
	graph.Elu:             (*planner).unary,
	graph.FullyConnected:  (*planner).fullyConnected,
	graph.HardSwish:       (*planner).unary,
	graph.Logistic:        (*planner).unary,
	graph.MaxPool2D:       (*planner).pool2D,
	graph.Mean:            (*planner).mean,
	graph.Mul:             (*planner).arith,
	graph.Pad:             (*planner).pad,
	graph.Quantize:        (*planner).quantize,
	graph.Relu:            (*planner).unary,
	graph.Relu6:           (*planner).unary,
	graph.Reshape:         (*planner).reshape,
	graph.Softmax:         (*planner).softmax,
}

// Kinds returns the operators that the engine computes, in the schema's order.
func Kinds() []graph.Kind { return slices.Sorted(maps.Keys(builders)) }

// function is a function of one value. In int8 it is a table: of the integer
// function that TFLite's kernel computes, or else of the real one, rounded.
type function struct {
	float passFloat32
	real  func(float32) float32
	int8  func(in, out affine) func(int8) int8
}

// functions are the operators that compute each value by itself.
var functions = map[graph.Kind]function{
	graph.Elu:       {float: eluFloat32{}, real: eluReal},
	graph.HardSwish: {float: unaryFloat32(hardSwishReal), int8: hardSwish},
	graph.Logistic:  {float: unaryFloat32(logistic), real: logistic},
	graph.Relu:      {float: clampFloat32{0, float32(math.Inf(1))}, int8: clamped(graph.ReluAct)},
	graph.Relu6:     {float: clampFloat32{0, 6}, int8: clamped(graph.Relu6Act)},
}

// unary takes the functions of one value.
func (p *planner) unary(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if in.Type != out.Type {
		return fmt.Errorf("input is %v, output %v: want the same", in.Type, out.Type)
	}
	f, ok := functions[op.Kind]
	if !ok {
		return errors.New("it has no function")
	}
	var c chain
	switch in.Type {
	case graph.Float32:
		c.float32s = []passFloat32{f.float}
	case graph.Int8:
		t, err := f.table(in, out)
		if err != nil {
			return err
		}
		c.int8s = []passInt8{lookup{t}}
	default:
		return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
	}
	return p.pass(op.Inputs[0], op.Outputs[0], c)
}

func (f function) table(in, out *graph.Tensor) (*[256]int8, error) {
	a, err := quantOf(in)
	if err != nil {
		return nil, err
	}
	b, err := quantOf(out)
	if err != nil {
		return nil, err
	}
	if f.int8 != nil {
		return tableOf(f.int8(a, b)), nil
	}
	return table(a, b, f.real), nil
}

// clamped is a ReLU in integers.
func clamped(act graph.Activation) func(in, out affine) func(int8) int8 {
	return func(in, out affine) func(int8) int8 {
		lo, hi := out.bounds(act)
		return rescale(in, out, lo, hi)
	}
}

// quantize takes QUANTIZE: float32 to int8, or int8 to another int8.
func (p *planner) quantize(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	q, err := quantOf(out)
	if err != nil {
		return err
	}
	if !slices.Equal(in.Shape, out.Shape) {
		return fmt.Errorf("output %v, want the input's shape %v", out.Shape, in.Shape)
	}
	switch in.Type {
	case graph.Float32:
		p.push(&toInt8{node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, q})
		return nil
	case graph.Int8:
		a, err := quantOf(in)
		if err != nil {
			return err
		}
		return p.pass(op.Inputs[0], op.Outputs[0], chain{int8s: []passInt8{lookup{tableOf(rescale(a, q, -128, 127))}}})
	}
	return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
}

type toInt8 struct {
	node
	q affine
}

func (s *toInt8) run(w *worker, _, _ int) {
	out := w.i8(s.out)
	for i, v := range w.f32(s.reads[0]) {
		out[i] = s.q.quant(v)
	}
	s.then.int8(w, out, 0)
}

// dequantize takes DEQUANTIZE; of a constant it makes another constant.
func (p *planner) dequantize(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if out.Type != graph.Float32 || !slices.Equal(in.Shape, out.Shape) {
		return fmt.Errorf("output is %v %v, want float32 %v", out.Type, out.Shape, in.Shape)
	}
	if in.Const() && in.Type == graph.Float16 {
		t := *out
		t.Data = make([]byte, 0, 2*len(in.Data))
		for i := 0; i < len(in.Data); i += 2 {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(graph.Half(binary.LittleEndian.Uint16(in.Data[i:]))))
		}
		p.tensors[op.Outputs[0]] = &t
		return nil
	}
	q, err := quantOf(in)
	if err != nil {
		return err
	}
	p.push(&toFloat32{node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, q})
	return nil
}

type toFloat32 struct {
	node
	q affine
}

func (s *toFloat32) run(w *worker, _, _ int) {
	out := w.f32(s.out)
	for i, v := range w.i8(s.reads[0]) {
		out[i] = s.q.real(v)
	}
	s.then.float32(w, out, 0)
}

// softmax is computed over the last dimension, in float32 as TFLite does for
// int8 too.
type softmax struct {
	node
	n, rows int
	float   bool
	beta    float32
	exp     *[256]float32 // of int8: exp(-beta*scale*i)
	q       affine
}

func (p *planner) softmax(op *graph.Op) error {
	o, ok := op.Options.(graph.SoftmaxOptions)
	if !ok {
		return errors.New("it has no options")
	}
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if in.Type != out.Type || !slices.Equal(in.Shape, out.Shape) {
		return fmt.Errorf("%v %v cannot become %v %v", in.Type, in.Shape, out.Type, out.Shape)
	}
	s := &softmax{
		node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]},
		n:    channels(in), rows: pixels(in), float: in.Type == graph.Float32, beta: o.Beta,
	}
	if !s.float {
		a, err := quantOf(in)
		if err != nil {
			return err
		}
		if s.q, err = quantOf(out); err != nil {
			return err
		}
		s.exp = new([256]float32)
		for i := range s.exp {
			s.exp[i] = float32(math.Exp(float64(-a.scale * o.Beta * float32(i))))
		}
	}
	p.push(s)
	return nil
}

func (s *softmax) run(w *worker, _, _ int) {
	for r := range s.rows {
		if s.float {
			s.rowFloat32(w.f32(s.out)[r*s.n:][:s.n], w.f32(s.reads[0])[r*s.n:][:s.n])
		} else {
			s.rowInt8(w.i8(s.out)[r*s.n:][:s.n], w.i8(s.reads[0])[r*s.n:][:s.n])
		}
	}
	if s.float {
		s.then.float32(w, w.f32(s.out), 0)
	} else {
		s.then.int8(w, w.i8(s.out), 0)
	}
}

func (s *softmax) rowFloat32(out, in []float32) {
	top := slices.Max(in)
	var sum float32
	for i, v := range in {
		out[i] = float32(math.Exp(float64((v - top) * s.beta)))
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
}

func (s *softmax) rowInt8(out, in []int8) {
	top := int32(slices.Max(in))
	var sum float32
	for _, v := range in {
		sum += s.exp[top-int32(v)]
	}
	inverse := 1 / (sum * s.q.scale)
	for i, v := range in {
		out[i] = clamp8(math.Round(float64(s.exp[top-int32(v)]*inverse)) + float64(s.q.zero))
	}
}

// mean is the average over some dimensions.
type mean struct {
	node
	dims, steps [4]int // of the input, and how each moves the output
	n           int    // values to one mean
	size        int
	float       bool
	in, q       affine
	m, l, r     int32
}

func (p *planner) mean(op *graph.Op) error {
	in, out, axes := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]], p.tensors[op.Inputs[1]]
	if !axes.Const() || axes.Type != graph.Int32 {
		return errors.New("its axes are not constant int32")
	}
	if len(in.Shape) > 4 || in.Type != out.Type {
		return fmt.Errorf("mean of %v %v as %v (at most four dimensions are run)", in.Type, in.Shape, out.Type)
	}
	s := &mean{
		node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]},
		dims: four(in.Shape), size: out.Elems(), n: 1, float: in.Type == graph.Float32,
	}
	var reduced [4]bool
	for _, a := range int32s(axes) {
		if a < 0 {
			a += int32(len(in.Shape))
		}
		if a < 0 || int(a) >= len(in.Shape) {
			return fmt.Errorf("axis %d of %v", a, in.Shape)
		}
		reduced[4-len(in.Shape)+int(a)] = true
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
		return fmt.Errorf("mean over axes %v of %v is not %v", int32s(axes), in.Shape, out.Shape)
	}
	if !s.float {
		var err error
		if s.in, err = quantOf(in); err != nil {
			return err
		}
		if s.q, err = quantOf(out); err != nil {
			return err
		}
		s.m, s.l, s.r = quantizeMultiplier(float64(s.in.scale) / (float64(s.n) * float64(s.q.scale)))
	}
	p.push(s)
	return nil
}

func (s *mean) needs(int) scratch {
	if s.float {
		return scratch{accF: s.size}
	}
	return scratch{acc: s.size}
}

func (s *mean) run(w *worker, _, _ int) {
	if s.float {
		acc := w.accF[:s.size]
		accumulate(s, acc, w.f32(s.reads[0]), sumFloat32)
		out := w.f32(s.out)
		for i, v := range acc {
			out[i] = v / float32(s.n)
		}
		s.then.float32(w, out, 0)
		return
	}
	acc := w.acc[:s.size]
	accumulate(s, acc, w.i8(s.reads[0]), w.set.SumInt8)
	out := w.i8(s.out)
	for i, v := range acc {
		out[i] = int8(min(max(kernel.Multiply(v-int32(s.n)*s.in.zero, s.m, s.l, s.r)+s.q.zero, -128), 127))
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
func accumulate[A int32 | float32, T int8 | float32](s *mean, acc []A, src []T, row func(acc []A, src []T)) {
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
