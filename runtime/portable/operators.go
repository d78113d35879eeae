package portable

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"mien/runtime/graph"
)

// builders make a step of each operator that the engine computes. Those in
// float32 alone take int8 through it; values are moved in any type.
var builders = map[graph.Kind]func(*planner, *graph.Op) error{
	graph.Abs:               (*planner).unary,
	graph.Add:               (*planner).arith,
	graph.ArgMax:            (*planner).argMax,
	graph.AveragePool2D:     (*planner).pool2D,
	graph.BatchMatMul:       inFloat((*planner).batchMatMul),
	graph.BroadcastTo:       (*planner).broadcastTo,
	graph.Concatenation:     (*planner).concatenation,
	graph.Conv2D:            oldInt8((*planner).conv2D),
	graph.DepthToSpace:      (*planner).blocks,
	graph.DepthwiseConv2D:   oldInt8((*planner).depthwiseConv2D),
	graph.Dequantize:        (*planner).dequantise,
	graph.Div:               inFloat((*planner).pair),
	graph.Elu:               (*planner).unary,
	graph.Exp:               (*planner).unary,
	graph.ExpandDims:        (*planner).reshape,
	graph.FullyConnected:    oldInt8((*planner).fullyConnected),
	graph.Gather:            (*planner).gather,
	graph.GatherND:          (*planner).gatherND,
	graph.Gelu:              (*planner).gelu,
	graph.HardSwish:         (*planner).unary,
	graph.L2Normalization:   inFloat((*planner).l2Normalization),
	graph.LeakyRelu:         (*planner).leakyRelu,
	graph.Log:               (*planner).unary,
	graph.Logistic:          (*planner).unary,
	graph.MaxPool2D:         (*planner).pool2D,
	graph.Maximum:           inFloat((*planner).pair),
	graph.Mean:              (*planner).reduce,
	graph.Minimum:           inFloat((*planner).pair),
	graph.MirrorPad:         (*planner).mirrorPad,
	graph.Mul:               (*planner).arith,
	graph.Neg:               (*planner).unary,
	graph.Pack:              (*planner).packTensors,
	graph.Pad:               (*planner).pad,
	graph.PadV2:             (*planner).pad,
	graph.Prelu:             (*planner).prelu,
	graph.Quantize:          (*planner).quantise,
	graph.ReduceMax:         (*planner).reduce,
	graph.ReduceMin:         (*planner).reduce,
	graph.Relu:              (*planner).unary,
	graph.ReluN1:            (*planner).unary,
	graph.Relu6:             (*planner).unary,
	graph.Reshape:           (*planner).reshape,
	graph.ResizeBilinear:    (*planner).resizeBilinear,
	graph.ResizeNearest:     (*planner).resizeNearest,
	graph.Rsqrt:             (*planner).unary,
	graph.Shape:             (*planner).shapeOf,
	graph.Slice:             (*planner).slice,
	graph.Softmax:           (*planner).softmax,
	graph.SpaceToDepth:      (*planner).blocks,
	graph.Split:             (*planner).split,
	graph.SplitV:            (*planner).split,
	graph.Sqrt:              (*planner).unary,
	graph.Square:            (*planner).unary,
	graph.SquaredDifference: inFloat((*planner).pair),
	graph.Squeeze:           (*planner).reshape,
	graph.StridedSlice:      (*planner).stridedSlice,
	graph.Sub:               (*planner).arith,
	graph.Sum:               (*planner).reduce,
	graph.Tanh:              (*planner).unary,
	graph.Tile:              (*planner).tile,
	graph.Transpose:         (*planner).transpose,
	graph.TransposeConv:     (*planner).transposeConv,
	graph.Unpack:            (*planner).unpack,
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
	graph.Abs:       ofReal(func(v float32) float32 { return max(v, -v) }),
	graph.Elu:       {float: eluFloat32{}, real: eluReal},
	graph.Exp:       ofReal(func(v float32) float32 { return float32(math.Exp(float64(v))) }),
	graph.HardSwish: {float: unaryFloat32(hardSwishReal), int8: hardSwish},
	graph.Log:       ofReal(func(v float32) float32 { return float32(math.Log(float64(v))) }),
	graph.Logistic:  ofReal(logistic),
	graph.Neg:       ofReal(func(v float32) float32 { return -v }),
	graph.Relu:      {float: clampFloat32{0, float32(math.Inf(1))}, int8: clamped(graph.ReluAct)},
	graph.ReluN1:    {float: clampFloat32{-1, 1}, int8: clamped(graph.ReluN1To1)},
	graph.Relu6:     {float: clampFloat32{0, 6}, int8: clamped(graph.Relu6Act)},
	graph.Rsqrt:     ofReal(func(v float32) float32 { return float32(1 / math.Sqrt(float64(v))) }),
	graph.Sqrt:      ofReal(func(v float32) float32 { return float32(math.Sqrt(float64(v))) }),
	graph.Square:    ofReal(func(v float32) float32 { return v * v }),
	graph.Tanh:      ofReal(func(v float32) float32 { return float32(math.Tanh(float64(v))) }),
}

func ofReal(f func(float32) float32) function { return function{float: unaryFloat32(f), real: f} }

// unary takes the functions of one value.
func (p *planner) unary(op *graph.Op) error {
	f, ok := functions[op.Kind]
	if !ok {
		return errors.New("it has no function of one value")
	}
	return p.function(op, f)
}

func (p *planner) leakyRelu(op *graph.Op) error {
	o, ok := op.Options.(graph.LeakyReluOptions)
	if !ok {
		return errors.New("it has no options")
	}
	f := ofReal(func(v float32) float32 { return pairs[graph.Prelu](v, o.Alpha) })
	f.int8 = func(in, out affine) func(int8) int8 {
		alpha, sign := o.Alpha, int32(1)
		if alpha < 0 {
			alpha, sign = -alpha, -1
		}
		return slope(in, out, float64(in.scale/out.scale), float64(in.scale*alpha/out.scale), sign)
	}
	return p.function(op, f)
}

func (p *planner) gelu(op *graph.Op) error {
	o, ok := op.Options.(graph.GeluOptions)
	if !ok {
		return errors.New("it has no options")
	}
	if o.Approximate {
		return p.function(op, ofReal(func(v float32) float32 {
			x := float64(v)
			return float32(0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))))
		}))
	}
	return p.function(op, ofReal(func(v float32) float32 { return float32(0.5 * float64(v) * math.Erfc(-float64(v)/math.Sqrt2)) }))
}

func (p *planner) function(op *graph.Op, f function) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if in.Type != out.Type {
		return fmt.Errorf("input is %v, output %v: want the same", in.Type, out.Type)
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

// quantise takes QUANTIZE: float32 to int8, or int8 to another int8.
func (p *planner) quantise(op *graph.Op) error {
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

// dequantise takes DEQUANTIZE; of a constant it makes another constant.
func (p *planner) dequantise(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if out.Type != graph.Float32 || !slices.Equal(in.Shape, out.Shape) {
		return fmt.Errorf("output is %v %v, want float32 %v", out.Type, out.Shape, in.Shape)
	}
	if in.Const() {
		v, err := realsOf(in)
		if err != nil {
			return err
		}
		p.fold(op.Outputs[0], floatBytes(v))
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
