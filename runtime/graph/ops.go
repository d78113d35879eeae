package graph

// Kind is an operator, numbered as TFLite's schema numbers BuiltinOperator.
type Kind int32

// The operators that mien writes or runs. A file may hold others; they keep
// their number and can be looked at but not run.
const (
	Add             Kind = 0
	AveragePool2D   Kind = 1
	Concatenation   Kind = 2
	Conv2D          Kind = 3
	DepthwiseConv2D Kind = 4
	Dequantize      Kind = 6
	FullyConnected  Kind = 9
	Logistic        Kind = 14
	MaxPool2D       Kind = 17
	Mul             Kind = 18
	Relu            Kind = 19
	Relu6           Kind = 21
	Reshape         Kind = 22
	Softmax         Kind = 25
	Custom          Kind = 32
	Pad             Kind = 34
	Mean            Kind = 40
	Elu             Kind = 111
	Quantize        Kind = 114
	HardSwish       Kind = 117
)

// Padding of a convolution or pool, numbered as in the schema.
type Padding int8

// Same pads so that output = ceil(input/stride), the odd pixel at the end;
// Valid does not pad.
const (
	Same  Padding = 0
	Valid Padding = 1
)

// Activation is fused into an operator's output, numbered as in the schema.
type Activation int8

// Fused activations.
const (
	None      Activation = 0
	ReluAct   Activation = 1
	ReluN1To1 Activation = 2
	Relu6Act  Activation = 3
)

// Options is implemented by the option structs below, and by nothing else.
type Options interface{ options() }

// ConvOptions belong to Conv2D: input NHWC, filter OHWI, bias O.
type ConvOptions struct {
	Padding              Padding
	StrideH, StrideW     int
	DilationH, DilationW int
	Activation           Activation
}

// DepthwiseOptions belong to DepthwiseConv2D: filter 1HW(I*Multiplier).
type DepthwiseOptions struct {
	Padding              Padding
	StrideH, StrideW     int
	DilationH, DilationW int
	Multiplier           int
	Activation           Activation
}

// PoolOptions belong to MaxPool2D and AveragePool2D.
type PoolOptions struct {
	Padding          Padding
	StrideH, StrideW int
	FilterH, FilterW int
	Activation       Activation
}

// FullyConnectedOptions belong to FullyConnected: filter [out, in], row-major.
type FullyConnectedOptions struct {
	Activation Activation
	KeepDims   bool
	// Shuffled filters are stored in an order of their own; mien does not run them.
	Shuffled bool
	// Asymmetric inputs of a dynamic-range operator get a zero point.
	Asymmetric bool
}

// ArithOptions belong to Add and Mul.
type ArithOptions struct {
	Activation Activation
	// AnyScale16 frees the scales of an int16 Add from being powers of two.
	AnyScale16 bool
}

// SoftmaxOptions belong to Softmax.
type SoftmaxOptions struct{ Beta float32 }

// ReshapeOptions belong to Reshape; a second input, when there is one, wins.
type ReshapeOptions struct{ Shape []int }

// ConcatOptions belong to Concatenation.
type ConcatOptions struct {
	Axis       int
	Activation Activation
}

// ReduceOptions belong to Mean.
type ReduceOptions struct{ KeepDims bool }

// RawOptions are those of an operator that mien does not know, kept as stored:
// Type numbers the schema's union, Fields holds each field's bytes, nil for one
// that is not set.
type RawOptions struct {
	Type   uint8
	Fields [][]byte
}

func (RawOptions) options()            {}
func (ConvOptions) options()           {}
func (DepthwiseOptions) options()      {}
func (PoolOptions) options()           {}
func (FullyConnectedOptions) options() {}
func (ArithOptions) options()          {}
func (SoftmaxOptions) options()        {}
func (ReshapeOptions) options()        {}
func (ConcatOptions) options()         {}
func (ReduceOptions) options()         {}
