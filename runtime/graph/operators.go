package graph

import (
	"maps"
	"slices"
)

// Operator is what is known of an operator that mien reads, writes and runs.
// The portable engine has a way to compute each of them, and runtime/infer/optest
// graphs to compare it with TensorFlow Lite on.
type Operator struct {
	// Min and Max bound the number of inputs, Outputs that of the outputs: 0
	// stands for one.
	Min, Max, Outputs int
	// Data is the first input that is computed with.
	Data int
	// ShapeOnly are inputs that say nothing beyond the output's shape, which a
	// file has fixed already.
	ShapeOnly []int
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
// ScaleUnit is fixed to the range from 0 to 1, ScaleSigned to that from -1 to 1.
// ScaleNone is that of indices, which are no quantities.
const (
	ScaleOwn Scale = iota
	ScaleKept
	ScaleUnit
	ScaleSigned
	ScaleNone
)

// Weights says how an operator's weights, input 1, lie.
type Weights struct {
	// Bias is the input that is added to the output channels.
	Bias int
	// Out is the axis of output channels. Each has a scale of its own where
	// PerChannel says that the kernels take that.
	Out        int
	PerChannel bool
	// In is the axis of input channels, -1 where each output channel sees one.
	In int
}

var operators = map[Kind]Operator{
	Abs:    {Min: 1, Max: 1, Union: 78, Versions: Versions{Float32: 1, Int8: 2}},
	Add:    {Min: 2, Max: 2, Options: ArithOptions{}, Union: 11, Versions: Versions{Float32: 1, Int8: 2, Int16: 3}},
	ArgMax: {Min: 2, Max: 2, Options: ArgMaxOptions{}, Union: 40, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleNone},
	AveragePool2D: {Min: 1, Max: 1, Options: PoolOptions{}, Union: 5, Versions: Versions{Float32: 1, Int8: 2, Int16: 3},
		Scale: ScaleKept, Homogeneous: true},
	BatchMatMul:   {Min: 2, Max: 2, Options: BatchMatMulOptions{}, Union: 101, Versions: Versions{Float32: 1, Int8: 2}, MACs: macsOfMatMul},
	BroadcastTo:   {Min: 2, Max: 2, Union: 104, Versions: Versions{Float32: 2, Int8: 2}, Scale: ScaleKept, ShapeOnly: []int{1}},
	Concatenation: {Min: 1, Max: many, Options: ConcatOptions{}, Union: 10, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Conv2D: {Min: 2, Max: 3, Options: ConvOptions{}, Union: 1, Versions: Versions{Float32: 1, Hybrid: 5, Int8: 3, Int16: 4},
		Weights: &Weights{Out: 0, PerChannel: true, In: 3, Bias: 2}, MACs: macsOfConv},
	DepthToSpace: {Min: 1, Max: 1, Options: BlockOptions{}, Union: 94, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	DepthwiseConv2D: {Min: 2, Max: 3, Options: DepthwiseOptions{}, Union: 2, Versions: Versions{Float32: 1, Hybrid: 6, Int8: 3, Int16: 5},
		Weights: &Weights{Out: 3, PerChannel: true, In: -1, Bias: 2}, MACs: macsOfDepthwise},
	Dequantize: {Min: 1, Max: 1, Union: 38, Versions: Versions{Int8: 2, Int16: 3}, Converts: true},
	Div:        {Min: 2, Max: 2, Options: ArithOptions{}, Union: 29, Versions: Versions{Float32: 1}},
	Elu:        {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 1}},
	Exp:        {Min: 1, Max: 1, Union: 33, Versions: Versions{Float32: 1}},
	ExpandDims: {Min: 2, Max: 2, Union: 52, Versions: Versions{Float32: 1, Int8: 1}, Scale: ScaleKept, ShapeOnly: []int{1}},
	FullyConnected: {Min: 2, Max: 3, Options: FullyConnectedOptions{}, Union: 8, Versions: Versions{Float32: 1, Hybrid: 3, Int8: 4, Int16: 7},
		Weights: &Weights{Out: 0, In: 1, Bias: 2}, MACs: macsOfDense},
	Gather:          {Min: 2, Max: 2, Options: GatherOptions{}, Union: 23, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	GatherND:        {Min: 2, Max: 2, Versions: Versions{Float32: 1, Int8: 1}, Scale: ScaleKept},
	Gelu:            {Min: 1, Max: 1, Options: GeluOptions{}, Union: 116, Versions: Versions{Float32: 1, Int8: 2}},
	HardSwish:       {Min: 1, Max: 1, Union: 91, Versions: Versions{Float32: 1, Int8: 1}},
	L2Normalization: {Min: 1, Max: 1, Options: L2NormOptions{}, Union: 12, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleSigned},
	LeakyRelu:       {Min: 1, Max: 1, Options: LeakyReluOptions{}, Union: 75, Versions: Versions{Float32: 1, Int8: 1}, Homogeneous: true},
	Log:             {Min: 1, Max: 1, Versions: Versions{Float32: 1}},
	Logistic:        {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleUnit},
	MaxPool2D: {Min: 1, Max: 1, Options: PoolOptions{}, Union: 5, Versions: Versions{Float32: 1, Int8: 2, Int16: 3},
		Scale: ScaleKept, Homogeneous: true},
	Maximum:   {Min: 2, Max: 2, Union: 39, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Mean:      {Min: 2, Max: 2, Options: ReduceOptions{}, Union: 27, Versions: Versions{Float32: 1, Int8: 2}, Homogeneous: true},
	Minimum:   {Min: 2, Max: 2, Union: 39, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	MirrorPad: {Min: 2, Max: 2, Options: MirrorPadOptions{}, Union: 77, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Mul:       {Min: 2, Max: 2, Options: ArithOptions{}, Union: 21, Versions: Versions{Float32: 1, Int8: 2, Int16: 4}},
	Neg:       {Min: 1, Max: 1, Union: 42, Versions: Versions{Float32: 1}},
	Pack:      {Min: 1, Max: many, Options: PackOptions{}, Union: 59, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Pad:       {Min: 2, Max: 2, Union: 22, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	PadV2:     {Min: 3, Max: 3, Union: 43, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Prelu:     {Min: 2, Max: 2, Versions: Versions{Float32: 1, Int8: 1}, Homogeneous: true},
	Quantize:  {Min: 1, Max: 1, Union: 89, Versions: Versions{Int8: 1, Int16: 2}, Converts: true},
	ReduceMax: {Min: 2, Max: 2, Options: ReduceOptions{}, Union: 27, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	ReduceMin: {Min: 2, Max: 2, Options: ReduceOptions{}, Union: 27, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Relu:      {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}, Homogeneous: true},
	ReluN1:    {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 1}},
	Relu6:     {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}},
	Reshape:   {Min: 1, Max: 2, Options: ReshapeOptions{}, Union: 17, Versions: Versions{Float32: 1, Int8: 1, Int16: 1}, Scale: ScaleKept, ShapeOnly: []int{1}},
	ResizeBilinear: {Min: 2, Max: 2, Options: ResizeOptions{}, Union: 15, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept,
		ShapeOnly: []int{1}, Homogeneous: true},
	ResizeNearest: {Min: 2, Max: 2, Options: ResizeNearestOptions{}, Union: 74, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept,
		ShapeOnly: []int{1}, Homogeneous: true},
	Rsqrt:             {Min: 1, Max: 1, Versions: Versions{Float32: 1}},
	Shape:             {Min: 1, Max: 1, Options: ShapeOptions{}, Union: 55, Versions: Versions{Float32: 1, Int8: 1}, ShapeOnly: []int{0}, Scale: ScaleNone},
	Slice:             {Min: 3, Max: 3, Union: 48, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Softmax:           {Min: 1, Max: 1, Options: SoftmaxOptions{}, Union: 9, Versions: Versions{Float32: 1, Int8: 2, Int16: 3}, Scale: ScaleUnit},
	SpaceToDepth:      {Min: 1, Max: 1, Options: BlockOptions{}, Union: 19, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Split:             {Min: 2, Max: 2, Outputs: many, Data: 1, Options: SplitOptions{}, Union: 35, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	SplitV:            {Min: 3, Max: 3, Outputs: many, Options: SplitOptions{}, Union: 79, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Sqrt:              {Min: 1, Max: 1, Versions: Versions{Float32: 1}},
	Square:            {Min: 1, Max: 1, Union: 66, Versions: Versions{Float32: 1}},
	SquaredDifference: {Min: 2, Max: 2, Union: 76, Versions: Versions{Float32: 1, Int8: 2}},
	Squeeze:           {Min: 1, Max: 1, Options: SqueezeOptions{}, Union: 30, Versions: Versions{Float32: 1, Int8: 1}, Scale: ScaleKept},
	StridedSlice:      {Min: 4, Max: 4, Options: StridedSliceOptions{}, Union: 32, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	Sub:               {Min: 2, Max: 2, Options: ArithOptions{}, Union: 28, Versions: Versions{Float32: 1, Int8: 2}},
	// The int8 kernel of SUM wraps around at the ends of its output's range.
	Sum:       {Min: 2, Max: 2, Options: ReduceOptions{}, Union: 27, Versions: Versions{Float32: 1}, Homogeneous: true},
	Tanh:      {Min: 1, Max: 1, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleSigned},
	Tile:      {Min: 2, Max: 2, Union: 51, Versions: Versions{Float32: 1, Int8: 1}, Scale: ScaleKept},
	Transpose: {Min: 2, Max: 2, Union: 26, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
	TransposeConv: {Min: 3, Max: 4, Data: 2, Options: TransposeConvOptions{}, Union: 49, Versions: Versions{Float32: 1, Int8: 2}, ShapeOnly: []int{0},
		Weights: &Weights{Out: 0, PerChannel: true, In: 3, Bias: 3}, MACs: macsOfTransposed},
	Unpack: {Min: 1, Max: 1, Outputs: many, Options: PackOptions{}, Union: 64, Versions: Versions{Float32: 1, Int8: 2}, Scale: ScaleKept},
}

// many inputs or outputs are as many as a file may hold.
const many = 1 << 10

// Known returns what is known of an operator, and whether anything is.
func Known(k Kind) (Operator, bool) {
	o, ok := operators[k]
	return o, ok
}

// Kinds returns the operators that are known, in the schema's order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(operators)) }

// recurrent operators, which are not run, multiply each row of their input, and
// what they remember of the one before, with all of their matrices.
var recurrent = []string{"LSTM", "RNN", "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN",
	"BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN"}

// MACs returns the multiply-adds of an operator, those of convolutions, dense
// and recurrent layers and their like.
func (g *Graph) MACs(o *Op) int64 {
	known := operators[o.Kind]
	if len(o.Inputs) < max(2, known.Data+1) || len(o.Outputs) == 0 || o.Inputs[known.Data] < 0 || o.Inputs[1] < 0 {
		return 0
	}
	switch {
	case known.MACs != nil:
		return known.MACs(g.Tensors[o.Inputs[known.Data]].Shape, g.Tensors[o.Inputs[1]].Shape, g.Tensors[o.Outputs[0]].Shape)
	case slices.Contains(recurrent, o.Kind.String()):
		return g.macsOfRecurrent(o)
	}
	return 0
}

func (g *Graph) macsOfRecurrent(o *Op) int64 {
	in := g.Tensors[o.Inputs[0]].Shape
	if len(in) == 0 {
		return 0
	}
	matrices := int64(0)
	for _, i := range o.Inputs {
		if i >= 0 && g.Tensors[i].Const() && len(g.Tensors[i].Shape) == 2 {
			matrices += product(g.Tensors[i].Shape)
		}
	}
	return product(in[:len(in)-1]) * matrices
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

func macsOfTransposed(in, w, _ []int) int64 {
	if len(w) != 4 {
		return 0
	}
	return product(in) * product(w[:3])
}

func macsOfMatMul(in, _, out []int) int64 {
	if len(out) < 2 {
		return 0
	}
	rows := product(out) / max(int64(out[len(out)-1]), 1)
	return product(out) * (product(in) / max(rows, 1))
}

func product(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}
