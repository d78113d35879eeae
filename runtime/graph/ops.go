package graph

import (
	"fmt"
	"strings"
)

// Kind is an operator, numbered as TFLite's schema numbers BuiltinOperator.
type Kind int32

// Operators by their number in the schema. Operators says which of them mien
// writes and runs; a file may hold others, which keep their number and can be
// looked at.
const (
	Add               Kind = 0
	AveragePool2D     Kind = 1
	Concatenation     Kind = 2
	Conv2D            Kind = 3
	DepthwiseConv2D   Kind = 4
	DepthToSpace      Kind = 5
	Dequantize        Kind = 6
	FullyConnected    Kind = 9
	L2Normalization   Kind = 11
	Logistic          Kind = 14
	LSTM              Kind = 16
	MaxPool2D         Kind = 17
	Mul               Kind = 18
	Relu              Kind = 19
	ReluN1            Kind = 20
	Relu6             Kind = 21
	Reshape           Kind = 22
	ResizeBilinear    Kind = 23
	Softmax           Kind = 25
	SpaceToDepth      Kind = 26
	SVDF              Kind = 27
	Tanh              Kind = 28
	Custom            Kind = 32
	Pad               Kind = 34
	Gather            Kind = 36
	Transpose         Kind = 39
	Mean              Kind = 40
	Sub               Kind = 41
	Div               Kind = 42
	Squeeze           Kind = 43
	SequenceLSTM      Kind = 44
	StridedSlice      Kind = 45
	Exp               Kind = 47
	Split             Kind = 49
	Cast              Kind = 53
	Prelu             Kind = 54
	Maximum           Kind = 55
	ArgMax            Kind = 56
	Minimum           Kind = 57
	Neg               Kind = 59
	PadV2             Kind = 60
	Slice             Kind = 65
	TransposeConv     Kind = 67
	Tile              Kind = 69
	ExpandDims        Kind = 70
	Log               Kind = 73
	Sum               Kind = 74
	Sqrt              Kind = 75
	Rsqrt             Kind = 76
	Shape             Kind = 77
	ReduceMax         Kind = 82
	Pack              Kind = 83
	Unpack            Kind = 88
	ReduceMin         Kind = 89
	Square            Kind = 92
	ResizeNearest     Kind = 97
	LeakyRelu         Kind = 98
	SquaredDifference Kind = 99
	MirrorPad         Kind = 100
	Abs               Kind = 101
	SplitV            Kind = 102
	GatherND          Kind = 107
	Elu               Kind = 111
	Quantize          Kind = 114
	HardSwish         Kind = 117
	Densify           Kind = 124
	BatchMatMul       Kind = 126
	BroadcastTo       Kind = 130
	Gelu              Kind = 150
)

// Padding of a convolution or pool, numbered as in the schema.
type Padding int8

// Same pads so that output = ceil(input/stride), the odd pixel at the end;
// Valid does not pad.
const (
	Same  Padding = 0
	Valid Padding = 1
)

func (p Padding) String() string { return nameOf(int(p), "padding", "SAME", "VALID") }

// Activation is fused into an operator's output, numbered as in the schema.
type Activation int8

// Fused activations.
const (
	None      Activation = 0
	ReluAct   Activation = 1
	ReluN1To1 Activation = 2
	Relu6Act  Activation = 3
)

func (a Activation) String() string {
	return nameOf(int(a), "activation", "NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
}

func nameOf(v int, what string, names ...string) string {
	if v >= 0 && v < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s %d", what, v)
}

// Options are those of an operator: one of the structs below, by value. String
// says them in words for a reader, without what is usual.
//
// The tags number a field's place in the schema's table of options, in the
// order in which it is written, and say its default there if that is not zero;
// a field that is 0 is then written as the default. "not" marks a bool that the
// schema has the other way round. runtime/graph/flatfile reads and writes by them.
type Options interface {
	fmt.Stringer
	options()
}

// ConvOptions belong to Conv2D: input NHWC, filter OHWI, bias O.
type ConvOptions struct {
	Padding    Padding    `field:"0"`
	StrideW    int        `field:"1"`
	StrideH    int        `field:"2"`
	Activation Activation `field:"3"`
	DilationW  int        `field:"4" default:"1"`
	DilationH  int        `field:"5" default:"1"`
}

func (o ConvOptions) String() string {
	return words(o.Padding.String(), stride(o.StrideH, o.StrideW), dilation(o.DilationH, o.DilationW), fused(o.Activation))
}

// DepthwiseOptions belong to DepthwiseConv2D: filter 1HW(I*Multiplier).
type DepthwiseOptions struct {
	Padding    Padding    `field:"0"`
	StrideW    int        `field:"1"`
	StrideH    int        `field:"2"`
	Multiplier int        `field:"3"`
	Activation Activation `field:"4"`
	DilationW  int        `field:"5" default:"1"`
	DilationH  int        `field:"6" default:"1"`
}

func (o DepthwiseOptions) String() string {
	return words(o.Padding.String(), stride(o.StrideH, o.StrideW), dilation(o.DilationH, o.DilationW),
		when(o.Multiplier > 1, "multiplier %d", o.Multiplier), fused(o.Activation))
}

// PoolOptions belong to MaxPool2D and AveragePool2D.
type PoolOptions struct {
	Padding    Padding    `field:"0"`
	StrideW    int        `field:"1"`
	StrideH    int        `field:"2"`
	FilterW    int        `field:"3"`
	FilterH    int        `field:"4"`
	Activation Activation `field:"5"`
}

func (o PoolOptions) String() string {
	return words(o.Padding.String(), fmt.Sprintf("%dx%d stride %dx%d", o.FilterH, o.FilterW, o.StrideH, o.StrideW), fused(o.Activation))
}

// FullyConnectedOptions belong to FullyConnected: filter [out, in], row-major.
type FullyConnectedOptions struct {
	Activation Activation `field:"0"`
	// Shuffled filters are stored in an order of their own; mien does not run them.
	Shuffled bool `field:"1"`
	KeepDims bool `field:"2"`
	// Asymmetric inputs of a dynamic-range operator get a zero point.
	Asymmetric bool `field:"3"`
}

func (o FullyConnectedOptions) String() string {
	return words(fused(o.Activation), when(o.KeepDims, "keep dims"), when(o.Shuffled, "shuffled weights"))
}

// ArithOptions belong to Add, Sub, Mul and Div; the last two have no second field.
type ArithOptions struct {
	Activation Activation `field:"0"`
	// AnyScale16 frees the scales of an int16 Add or Sub from being powers of two.
	AnyScale16 bool `field:"1" default:"not"`
}

func (o ArithOptions) String() string { return fused(o.Activation) }

// SoftmaxOptions belong to Softmax.
type SoftmaxOptions struct {
	Beta float32 `field:"0"`
}

func (o SoftmaxOptions) String() string { return when(o.Beta != 1, "beta %g", o.Beta) }

// ReshapeOptions belong to Reshape; a second input, when there is one, wins.
type ReshapeOptions struct {
	Shape []int `field:"0"`
}

func (o ReshapeOptions) String() string { return when(len(o.Shape) > 0, "to %v", o.Shape) }

// ConcatOptions belong to Concatenation.
type ConcatOptions struct {
	Axis       int        `field:"0"`
	Activation Activation `field:"1"`
}

func (o ConcatOptions) String() string {
	return words(fmt.Sprintf("axis %d", o.Axis), fused(o.Activation))
}

// ReduceOptions belong to Mean, Sum, ReduceMax and ReduceMin.
type ReduceOptions struct {
	KeepDims bool `field:"0"`
}

func (o ReduceOptions) String() string { return when(o.KeepDims, "keep dims") }

// TransposeConvOptions belong to TransposeConv: the output's shape, filter OHWI,
// input NHWC, bias O.
type TransposeConvOptions struct {
	Padding    Padding    `field:"0"`
	StrideW    int        `field:"1"`
	StrideH    int        `field:"2"`
	Activation Activation `field:"3"`
}

func (o TransposeConvOptions) String() string {
	return words(o.Padding.String(), stride(o.StrideH, o.StrideW), fused(o.Activation))
}

// ResizeOptions belong to ResizeBilinear, whose two older fields are not used.
type ResizeOptions struct {
	// AlignCorners maps the centres of the corners' pixels to each other;
	// HalfPixel maps the corners themselves.
	AlignCorners bool `field:"2"`
	HalfPixel    bool `field:"3"`
}

func (o ResizeOptions) String() string {
	return words(when(o.AlignCorners, "align corners"), when(o.HalfPixel, "half pixel"))
}

// ResizeNearestOptions belong to ResizeNearest; see ResizeOptions.
type ResizeNearestOptions struct {
	AlignCorners bool `field:"0"`
	HalfPixel    bool `field:"1"`
}

func (o ResizeNearestOptions) String() string { return ResizeOptions(o).String() }

// StridedSliceOptions belong to StridedSlice: masks with a bit for each entry of
// its begin, end and strides.
type StridedSliceOptions struct {
	Begin    int `field:"0"` // the entry of begin does not count: from the first value
	End      int `field:"1"` // the entry of end does not count: to the last value
	Ellipsis int `field:"2"` // the entry stands for as many dimensions as are left
	NewAxis  int `field:"3"` // the entry makes a dimension of 1
	Shrink   int `field:"4"` // the entry takes one value, and its dimension goes
	// Offset says that end counts from begin.
	Offset bool `field:"5"`
}

func (o StridedSliceOptions) String() string {
	mask := func(name string, m int) string { return when(m != 0, "%s mask %b", name, m) }
	return words(mask("begin", o.Begin), mask("end", o.End), mask("ellipsis", o.Ellipsis), mask("new axis", o.NewAxis),
		mask("shrink", o.Shrink), when(o.Offset, "end counts from begin"))
}

// SplitOptions belong to Split and SplitV: the number of outputs.
type SplitOptions struct {
	N int `field:"0"`
}

func (o SplitOptions) String() string { return fmt.Sprintf("into %d", o.N) }

// PackOptions belong to Pack and Unpack: the number of tensors along a new axis.
type PackOptions struct {
	N    int `field:"0"`
	Axis int `field:"1"`
}

func (o PackOptions) String() string { return fmt.Sprintf("axis %d", o.Axis) }

// SqueezeOptions belong to Squeeze: the dimensions that go, or none for all
// that are 1.
type SqueezeOptions struct {
	Dims []int `field:"0"`
}

func (o SqueezeOptions) String() string { return when(len(o.Dims) > 0, "of %v", o.Dims) }

// GatherOptions belong to Gather.
type GatherOptions struct {
	Axis      int `field:"0"`
	BatchDims int `field:"1"`
}

func (o GatherOptions) String() string {
	return words(fmt.Sprintf("axis %d", o.Axis), when(o.BatchDims != 0, "batch dims %d", o.BatchDims))
}

// GeluOptions belong to Gelu: by a hyperbolic tangent, nearly, or by the error
// function.
type GeluOptions struct {
	Approximate bool `field:"0"`
}

func (o GeluOptions) String() string { return when(o.Approximate, "by tanh") }

// ArgMaxOptions belong to ArgMax: Int32 or Int64.
type ArgMaxOptions struct {
	Output Type `field:"0"`
}

func (o ArgMaxOptions) String() string { return "as " + o.Output.String() }

// BlockOptions belong to SpaceToDepth and DepthToSpace: a block's side.
type BlockOptions struct {
	Size int `field:"0"`
}

func (o BlockOptions) String() string { return fmt.Sprintf("block %d", o.Size) }

// LeakyReluOptions belong to LeakyRelu: the slope below 0.
type LeakyReluOptions struct {
	Alpha float32 `field:"0"`
}

func (o LeakyReluOptions) String() string { return fmt.Sprintf("alpha %g", o.Alpha) }

// L2NormOptions belong to L2Normalization.
type L2NormOptions struct {
	Activation Activation `field:"0"`
}

func (o L2NormOptions) String() string { return fused(o.Activation) }

// BatchMatMulOptions belong to BatchMatMul: which of the factors is transposed.
type BatchMatMulOptions struct {
	AdjX bool `field:"0"`
	AdjY bool `field:"1"`
	// Asymmetric inputs of a dynamic-range operator get a zero point.
	Asymmetric bool `field:"2"`
}

func (o BatchMatMulOptions) String() string {
	return words(when(o.AdjX, "first transposed"), when(o.AdjY, "second transposed"))
}

// MirrorPadOptions belong to MirrorPad.
type MirrorPadOptions struct {
	Mode Mirror `field:"0"`
}

func (o MirrorPadOptions) String() string { return o.Mode.String() }

// Mirror is numbered as the schema's MirrorPadMode.
type Mirror int8

// Reflect leaves out the edge, Symmetric repeats it.
const (
	Reflect   Mirror = 0
	Symmetric Mirror = 1
)

func (m Mirror) String() string { return nameOf(int(m), "mode", "REFLECT", "SYMMETRIC") }

// ShapeOptions belong to Shape: Int32 or Int64.
type ShapeOptions struct {
	Output Type `field:"0"`
}

func (o ShapeOptions) String() string { return "as " + o.Output.String() }

// RawOptions are those of an operator that mien does not know, kept as stored:
// Type numbers the schema's union, Fields holds each field's bytes, nil for one
// that is not set.
type RawOptions struct {
	Type   uint8
	Fields [][]byte
}

func (o RawOptions) String() string {
	n := 0
	for _, f := range o.Fields {
		if f != nil {
			n++
		}
	}
	return when(n > 0, "%d options", n)
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
func (TransposeConvOptions) options()  {}
func (ResizeOptions) options()         {}
func (ResizeNearestOptions) options()  {}
func (StridedSliceOptions) options()   {}
func (SplitOptions) options()          {}
func (PackOptions) options()           {}
func (SqueezeOptions) options()        {}
func (GatherOptions) options()         {}
func (ArgMaxOptions) options()         {}
func (BlockOptions) options()          {}
func (LeakyReluOptions) options()      {}
func (L2NormOptions) options()         {}
func (BatchMatMulOptions) options()    {}
func (MirrorPadOptions) options()      {}
func (ShapeOptions) options()          {}
func (GeluOptions) options()           {}

func (o ConvOptions) fused() Activation           { return o.Activation }
func (o DepthwiseOptions) fused() Activation      { return o.Activation }
func (o PoolOptions) fused() Activation           { return o.Activation }
func (o FullyConnectedOptions) fused() Activation { return o.Activation }
func (o ArithOptions) fused() Activation          { return o.Activation }
func (o ConcatOptions) fused() Activation         { return o.Activation }
func (o TransposeConvOptions) fused() Activation  { return o.Activation }
func (o L2NormOptions) fused() Activation         { return o.Activation }

// Fused returns the activation that is part of the operator, or None.
func (o *Op) Fused() Activation {
	if f, ok := o.Options.(interface{ fused() Activation }); ok {
		return f.fused()
	}
	return None
}

// words joins those that say something.
func words(all ...string) string {
	var b strings.Builder
	for _, w := range all {
		if w != "" && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
	}
	return b.String()
}

func when(on bool, format string, args ...any) string {
	if !on {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func fused(a Activation) string { return when(a != None, "%v", a) }

func stride(h, w int) string { return when(h != 1 || w != 1, "stride %dx%d", h, w) }

func dilation(h, w int) string { return when(h > 1 || w > 1, "dilation %dx%d", h, w) }
