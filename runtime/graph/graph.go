// Package graph holds a neural network the way a .tflite file does: tensors,
// operators that read and write them by index, and metadata. It is plain data:
// the quantiser rewrites it, runtime/graph/flatfile stores it, runtime/portable runs it.
package graph

import (
	"fmt"
	"slices"
)

// Type is an element type, numbered as TFLite's schema numbers TensorType.
type Type int8

// Element types.
const (
	Float32 Type = 0
	Float16 Type = 1
	Int32   Type = 2
	UInt8   Type = 3
	Int64   Type = 4
	String  Type = 5
	Bool    Type = 6
	Int16   Type = 7
	Int8    Type = 9
	Float64 Type = 10
)

// Size returns the bytes of one element, or 0 when it has no fixed size.
func (t Type) Size() int {
	switch t {
	case UInt8, Bool, Int8:
		return 1
	case Float16, Int16:
		return 2
	case Float32, Int32:
		return 4
	case Int64, Float64:
		return 8
	}
	return 0
}

func (t Type) String() string {
	switch t {
	case Float32:
		return "float32"
	case Float16:
		return "float16"
	case Int32:
		return "int32"
	case UInt8:
		return "uint8"
	case Int64:
		return "int64"
	case String:
		return "string"
	case Bool:
		return "bool"
	case Int16:
		return "int16"
	case Int8:
		return "int8"
	case Float64:
		return "float64"
	}
	return fmt.Sprintf("type(%d)", int8(t))
}

// Quant maps stored integers q to real values: Scale * (q - Zero). One scale
// serves the whole tensor, or one for each slice along Axis.
type Quant struct {
	Scale []float32
	Zero  []int64
	Axis  int
	// Min and Max are the real range that was seen, when the file says so.
	// Nothing computes with them.
	Min, Max []float32
}

// Channels says whether every slice along Axis has its own scale.
func (q *Quant) Channels() bool { return q != nil && len(q.Scale) > 1 }

// Tensor is a value of the graph. Data is nil for one that is computed, and
// holds little-endian elements in row-major order for a constant.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int
	Quant *Quant // nil: real values as stored
	Data  []byte

	// What files of other makers may say beside.
	Variable  bool  // state that lives from one run to the next
	Signature []int // Shape with -1 for sizes that are not fixed
	HasRank   bool  // Shape is meant even when it is empty
	Sparse    bool  // the file holds only some of Data, which has zeros elsewhere
}

// Elems returns the number of elements.
func (t *Tensor) Elems() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Const says whether the tensor's value is stored in the graph.
func (t *Tensor) Const() bool { return t.Data != nil }

// Op is one operator. Inputs and Outputs index Graph.Tensors; an input of -1
// is absent. Options is one of the option structs of this package by value,
// or nil.
type Op struct {
	Kind    Kind
	Custom  string // name of a custom operator, when Kind is Custom
	Version int
	Inputs  []int
	Outputs []int
	Options Options

	// What operators of other makers may have beside.
	CustomData    []byte // options of a custom operator
	Mutates       []bool // which inputs are variables that it changes
	Intermediates []int  // tensors inside the operator
}

// Name returns the operator's name as TFLite writes it; a custom operator has
// its own.
func (o *Op) Name() string {
	if o.Kind == Custom && o.Custom != "" {
		return o.Custom
	}
	return o.Kind.String()
}

// Signature gives tensors of the graph names for callers.
type Signature struct {
	Key             string
	Inputs, Outputs []NamedTensor
}

// NamedTensor is one entry of a Signature.
type NamedTensor struct {
	Name   string
	Tensor int
}

// Metadata is one named blob of the file.
type Metadata struct {
	Name string
	Data []byte
}

// Graph is one network. Ops are in an order in which they can run.
type Graph struct {
	Name        string
	Description string
	Tensors     []*Tensor
	Ops         []*Op
	Inputs      []int
	Outputs     []int
	Metadata    []Metadata
	Signatures  []Signature

	// Unkept lists, in words, what the file that the graph was read from holds
	// and the graph does not. A graph that lists anything can be looked at but
	// not written.
	Unkept []string
}

// Meta returns the metadata of that name, or nil.
func (g *Graph) Meta(name string) []byte {
	if i := slices.IndexFunc(g.Metadata, func(m Metadata) bool { return m.Name == name }); i >= 0 {
		return g.Metadata[i].Data
	}
	return nil
}

// Find returns the index of the tensor of that name, or -1.
func (g *Graph) Find(name string) int {
	return slices.IndexFunc(g.Tensors, func(t *Tensor) bool { return t.Name == name })
}

// SetMeta adds the metadata of that name or replaces it.
func (g *Graph) SetMeta(name string, data []byte) {
	if i := slices.IndexFunc(g.Metadata, func(m Metadata) bool { return m.Name == name }); i >= 0 {
		g.Metadata[i].Data = data
		return
	}
	g.Metadata = append(g.Metadata, Metadata{name, data})
}

// Clone returns a copy that can be rewritten while g stays as it is. The bytes
// of constants and metadata are shared: replace them, do not write into them.
func (g *Graph) Clone() *Graph {
	c := *g
	c.Tensors = make([]*Tensor, len(g.Tensors))
	for i, t := range g.Tensors {
		n := *t
		n.Shape = slices.Clone(t.Shape)
		if t.Quant != nil {
			q := *t.Quant
			n.Quant = &q
		}
		c.Tensors[i] = &n
	}
	c.Ops = make([]*Op, len(g.Ops))
	for i, o := range g.Ops {
		n := *o
		n.Inputs, n.Outputs = slices.Clone(o.Inputs), slices.Clone(o.Outputs)
		c.Ops[i] = &n
	}
	c.Inputs, c.Outputs = slices.Clone(g.Inputs), slices.Clone(g.Outputs)
	c.Metadata = slices.Clone(g.Metadata)
	return &c
}
