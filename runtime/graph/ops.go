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
	Add             Kind = 0
	AveragePool2D   Kind = 1
	Concatenation   Kind = 2
	Conv2D          Kind = 3
	DepthwiseConv2D Kind = 4
	Dequantize      Kind = 6
	FullyConnected  Kind = 9
	Logistic        Kind = 14
	LSTM            Kind = 16
	MaxPool2D       Kind = 17
	Mul             Kind = 18
	Relu            Kind = 19
	Relu6           Kind = 21
	Reshape         Kind = 22
	Softmax         Kind = 25
	SVDF            Kind = 27
	Custom          Kind = 32
	Pad             Kind = 34
	Mean            Kind = 40
	SequenceLSTM    Kind = 44 // UNIDIRECTIONAL_SEQUENCE_LSTM
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

// ArithOptions belong to Add and Mul, which has no second field.
type ArithOptions struct {
	Activation Activation `field:"0"`
	// AnyScale16 frees the scales of an int16 Add from being powers of two.
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

// ReduceOptions belong to Mean.
type ReduceOptions struct {
	KeepDims bool `field:"0"`
}

func (o ReduceOptions) String() string { return when(o.KeepDims, "keep dims") }

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

func (o ConvOptions) fused() Activation           { return o.Activation }
func (o DepthwiseOptions) fused() Activation      { return o.Activation }
func (o PoolOptions) fused() Activation           { return o.Activation }
func (o FullyConnectedOptions) fused() Activation { return o.Activation }
func (o ArithOptions) fused() Activation          { return o.Activation }
func (o ConcatOptions) fused() Activation         { return o.Activation }

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
