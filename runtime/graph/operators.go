package graph

import (
	"maps"
	"slices"
)

// Operator is what is known of an operator that mien reads, writes and runs.
// The portable engine has a way to compute each of them, and runtime/infer/optest
// graphs to compare it with TensorFlow Lite on.
type Operator struct {
	// Min and Max bound the number of inputs.
	Min, Max int
	// Options is the zero value of the options' type, nil for an operator that
	// has none; Union is their place in the schema's BuiltinOptions, 0 for an
	// operator that has not even an empty table there.
	Options Options
	Union   uint8
	// Versions of the operator from which on it takes these types.
	Versions Versions
	Scale    Scale
	Weights  *Weights // nil for an operator without
	// Homogeneous operators pass on a positive factor of any channel:
	// f(a*x) = a*f(x).
	Homogeneous bool
	// Converts marks the operators between types, which are no layers.
	Converts bool
	// MACs counts multiply-adds from the shapes of first input, weights and
	// output; nil for an operator whose work lies elsewhere.
	MACs func(in, weights, out []int) int64
}

// Versions are the first versions of an operator that take each type, 0 where
// TensorFlow Lite has no kernel for it. Hybrid is int8 weights with float32
// activations. Source: tensorflow/lite/tools/versioning/op_version.cc.
type Versions struct{ Float32, Hybrid, Int8, Int16 int }

// Of returns the version for activations of a type, or 0.
func (v Versions) Of(t Type) int {
	switch t {
	case Float32:
		return v.Float32
	case Int8:
		return v.Int8
	case Int16:
		return v.Int16
	}
	return 0
}

// Scale says where the quantisation of an operator's output comes from.
type Scale int

// ScaleOwn is fitted to the output's values. ScaleKept is that of the inputs,
// which all have the same, because the kernels copy or compare integers.
// ScaleUnit is fixed to the range from 0 to 1.
const (
	ScaleOwn Scale = iota
	ScaleKept
	ScaleUnit
)

// Weights says how an operator's weights, input 1, lie; a bias is input 2.
type Weights struct {
	// Out is the axis of output channels. Each has a scale of its own where
	// PerChannel says that the kernels take that.
	Out        int
	PerChannel bool
	// In is the axis of input channels, -1 where each output channel sees one.
	In int
}

var operators = map[Kind]Operator{
	Add: {Min: 2, Max: 2, Options: ArithOptions{}, Union: 11, Versions: Versions{Float32: 1, Int8: 2, Int16: 3}},
	AveragePool2D: {Min: 1, Max: 1, Options: PoolOptions{}, Union: 5, Versions: Versions{Float32: 1, Int8: 2, Int16: 3},
		Scale: ScaleKept, Homogeneous: true},
	Concatenation: {Min: 1, Max: 1 << 10, Options: ConcatOptions{}, Union: 10, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Conv2D: {Min: 2, Max: 3, Options: ConvOptions{}, Union: 1, Versions: Versions{Float32: 1, Hybrid: 5, Int8: 3, Int16: 4},
		Weights: &Weights{Out: 0, PerChannel: true, In: 3}, MACs: macsOfConv},
	DepthwiseConv2D: {Min: 2, Max: 3, Options: DepthwiseOptions{}, Union: 2, Versions: Versions{Float32: 1, Hybrid: 6, Int8: 3, Int16: 5},
		Weights: &Weights{Out: 3, PerChannel: true, In: -1}, MACs: macsOfDepthwise},
	Dequantize: {Min: 1, Max: 1, Union: 38, Versions: Versions{Int8: 2, Int16: 3}, Converts: true},
	Elu:        {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 1}},
	FullyConnected: {Min: 2, Max: 3, Options: FullyConnectedOptions{}, Union: 8, Versions: Versions{Float32: 1, Hybrid: 3, Int8: 4, Int16: 7},
		Weights: &Weights{Out: 0, In: 1}, MACs: macsOfDense},
	HardSwish: {Min: 1, Max: 1, Union: 91, Versions: Versions{Float32: 1, Int8: 1}},
	Logistic:  {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleUnit},
	MaxPool2D: {Min: 1, Max: 1, Options: PoolOptions{}, Union: 5, Versions: Versions{Float32: 1, Int8: 2, Int16: 3},
		Scale: ScaleKept, Homogeneous: true},
	Mean:     {Min: 2, Max: 2, Options: ReduceOptions{}, Union: 27, Versions: Versions{Float32: 1, Int8: 2}, Homogeneous: true},
	Mul:      {Min: 2, Max: 2, Options: ArithOptions{}, Union: 21, Versions: Versions{Float32: 1, Int8: 2, Int16: 4}},
	Pad:      {Min: 2, Max: 2, Union: 22, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Quantize: {Min: 1, Max: 1, Union: 89, Versions: Versions{Int8: 1, Int16: 2}, Converts: true},
	Relu:     {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}, Homogeneous: true},
	Relu6:    {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}},
	Reshape:  {Min: 1, Max: 2, Options: ReshapeOptions{}, Union: 17, Versions: Versions{Float32: 1, Int8: 1, Int16: 1}, Scale: ScaleKept},
	Softmax:  {Min: 1, Max: 1, Options: SoftmaxOptions{}, Union: 9, Versions: Versions{Float32: 1, Int8: 2, Int16: 3}, Scale: ScaleUnit},
}

// Known returns what is known of an operator, and whether anything is.
func Known(k Kind) (Operator, bool) {
	o, ok := operators[k]
	return o, ok
}

// Kinds returns the operators that are known, in the schema's order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(operators)) }

// lookedAt count the multiply-adds of operators that are not run.
var lookedAt = map[Kind]func(in, weights, out []int) int64{}

// MACs returns the multiply-adds of an operator, those of convolutions, dense
// layers and their like.
func (g *Graph) MACs(o *Op) int64 {
	count := operators[o.Kind].MACs
	if count == nil {
		count = lookedAt[o.Kind]
	}
	if count == nil || len(o.Inputs) < 2 || len(o.Outputs) == 0 || o.Inputs[0] < 0 || o.Inputs[1] < 0 {
		return 0
	}
	return count(g.Tensors[o.Inputs[0]].Shape, g.Tensors[o.Inputs[1]].Shape, g.Tensors[o.Outputs[0]].Shape)
}

func macsOfConv(_, w, out []int) int64 {
	if len(w) != 4 {
		return 0
	}
	return product(out) * product(w[1:])
}

func macsOfDepthwise(_, w, out []int) int64 {
	if len(w) != 4 {
		return 0
	}
	return product(out) * product(w[1:3])
}

func macsOfDense(_, w, out []int) int64 {
	if len(w) != 2 {
		return 0
	}
	return product(out) * int64(w[1])
}

func product(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}
