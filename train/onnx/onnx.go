// Package onnx writes a trained network as an ONNX file (opset 17), for users
// of other engines.
//
// The layers are those of train/arch, one operator each, in NCHW as ONNX has
// it, so weights go in as checkpoints hold them. The input is model.InputName, or
// "face/" and the network's filter, [N, 1, Side, Side] of grey levels divided by 255; each head is an output of
// its name, [N, labels], of probabilities.
//
// Source of field numbers and operators: github.com/onnx/onnx, onnx/onnx.proto
// and docs/Operators.md.
package onnx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"mien/runtime/model"
	"mien/train/arch"
)

// The versions that are written.
const (
	irVersion = 8
	opset     = 17
)

// Options of Marshal.
type Options struct {
	Heads    []string          // heads to write; none means all
	Metadata map[string]string // goes into the file's metadata_props
	Version  string            // of the program, for producer_version
}

// Marshal returns the network with the given weights, by parameter name, as an
// ONNX file. The same network gives the same bytes.
func Marshal(net arch.Net, weights map[string][]float32, o Options) ([]byte, error) {
	w := &writer{net: net, weights: weights, shapes: map[string]shape{}}
	for _, name := range o.Heads {
		if !slices.ContainsFunc(net.Heads, func(h model.Head) bool { return h.Name == name }) {
			return nil, fmt.Errorf("onnx: network %s has no head %q", net.Name, name)
		}
	}
	if err := w.body(); err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	for _, h := range net.Heads {
		if len(o.Heads) > 0 && !slices.Contains(o.Heads, h.Name) {
			continue
		}
		if err := w.head(h); err != nil {
			return nil, fmt.Errorf("onnx: head %s: %w", h.Name, err)
		}
	}
	return w.model(o), nil
}

// message is one protocol buffer message in the making.
type message []byte

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}

func (m *message) text(field protowire.Number, s string) { m.bytes(field, []byte(s)) }

// shape is what a layer gives for one picture.
type shape struct{ c, h, w int }

func (s shape) size() int { return s.c * s.h * s.w }

type writer struct {
	net     arch.Net
	weights map[string][]float32
	shapes  map[string]shape // of layers' outputs, by the layers' names

	nodes, constants, outputs []message
	top                       string // name of the last value
	at                        shape
}

func (w *writer) body() error {
	w.top, w.at = w.net.Filter.Input(), shape{1, model.Side, model.Side}
	w.shapes["input"] = w.at
	names := map[string]string{"input": w.top} // of values, by the layers' names
	for i, l := range w.net.Body {
		if l.Input != "" {
			if _, ok := names[l.Input]; !ok {
				return fmt.Errorf("layer %d (%s %s) reads %q, which is not before it", i+1, l.Op, l.Name, l.Input)
			}
			w.top, w.at = names[l.Input], w.shapes[l.Input]
		}
		if err := w.layer(l, names); err != nil {
			return fmt.Errorf("layer %d (%s %s): %w", i+1, l.Op, l.Name, err)
		}
		names[l.Name], w.shapes[l.Name] = w.top, w.at
	}
	if w.at.h*w.at.w != 1 {
		return fmt.Errorf("the heads need a vector, not %dx%dx%d", w.at.h, w.at.w, w.at.c)
	}
	return nil
}

// layer appends the operator of one layer. Dropout and the rounding that
// prepares for integers do nothing here.
func (w *writer) layer(l arch.Layer, names map[string]string) error {
	switch l.Op {
	case arch.Conv:
		return w.conv(l, l.Out, w.at.c, 1)
	case arch.Depthwise:
		return w.conv(l, w.at.c, 1, w.at.c)
	case arch.Dense:
		return w.dense(l.Name, l.Name, l.Out, l.NoBias)
	case arch.BatchNorm:
		return w.norm(l.Name)
	case arch.ELU:
		w.node("Elu", l.Name, []string{w.top}, floatAttr("alpha", 1))
	case arch.ReLU:
		w.node("Relu", l.Name, []string{w.top})
	case arch.ReLU6:
		w.constant(l.Name+".low", nil, []float32{0})
		w.constant(l.Name+".high", nil, []float32{6})
		w.node("Clip", l.Name, []string{w.top, l.Name + ".low", l.Name + ".high"})
	case arch.MaxPool:
		s := cmp.Or(l.Stride, l.Kernel)
		w.node("MaxPool", l.Name, []string{w.top}, intsAttr("kernel_shape", l.Kernel, l.Kernel), intsAttr("strides", s, s))
		w.at = shape{w.at.c, (w.at.h-l.Kernel)/s + 1, (w.at.w-l.Kernel)/s + 1}
	case arch.Pad:
		n := l.Pad
		w.integers(l.Name+".sides", 0, 0, n, n, 0, 0, n, n)
		w.node("Pad", l.Name, []string{w.top, l.Name + ".sides"})
		w.at = shape{w.at.c, w.at.h + 2*n, w.at.w + 2*n}
	case arch.Upsample:
		k := float32(l.Kernel)
		w.constant(l.Name+".scales", []int{4}, []float32{1, 1, k, k})
		w.node("Resize", l.Name, []string{w.top, "", l.Name + ".scales"}, textAttr("mode", "nearest"),
			textAttr("coordinate_transformation_mode", "asymmetric"), textAttr("nearest_mode", "floor"))
		w.at = shape{w.at.c, w.at.h * l.Kernel, w.at.w * l.Kernel}
	case arch.Concat:
		with, ok := names[l.With]
		if !ok {
			return fmt.Errorf("adds %q, which is not before it", l.With)
		}
		w.node("Concat", l.Name, []string{w.top, with}, intAttr("axis", 1))
		w.at.c += w.shapes[l.With].c
	case arch.Mean:
		w.node("GlobalAveragePool", l.Name+".pool", []string{w.top})
		w.node("Flatten", l.Name, []string{w.top}, intAttr("axis", 1))
		w.at = shape{w.at.c, 1, 1}
	case arch.Flatten:
		w.node("Flatten", l.Name, []string{w.top}, intAttr("axis", 1))
		w.at = shape{w.at.size(), 1, 1}
	case arch.Add:
		with, ok := names[l.With]
		if !ok {
			return fmt.Errorf("adds %q, which is not before it", l.With)
		}
		w.node("Add", l.Name, []string{w.top, with})
	case arch.Dropout, arch.FakeQuant:
	default:
		return fmt.Errorf("ONNX files of this layer are not written")
	}
	return nil
}

// conv pads as TFLite's SAME: the odd pixel at the end.
func (w *writer) conv(l arch.Layer, out, in, group int) error {
	stride := max(l.Stride, 1)
	inputs := []string{w.top}
	if err := w.parameter(&inputs, l.Name+".weight", out, in, l.Kernel, l.Kernel); err != nil {
		return err
	}
	if !l.NoBias {
		if err := w.parameter(&inputs, l.Name+".bias", out); err != nil {
			return err
		}
	}
	top, bottom := same(w.at.h, l.Kernel, stride)
	left, right := same(w.at.w, l.Kernel, stride)
	if l.Valid {
		top, bottom, left, right = 0, 0, 0, 0
	}
	w.node("Conv", l.Name, inputs, intAttr("group", group), intsAttr("kernel_shape", l.Kernel, l.Kernel),
		intsAttr("pads", top, left, bottom, right), intsAttr("strides", stride, stride))
	w.at = shape{out, (w.at.h+top+bottom-l.Kernel)/stride + 1, (w.at.w+left+right-l.Kernel)/stride + 1}
	return nil
}

func same(in, kernel, stride int) (before, after int) {
	out := (in + stride - 1) / stride
	total := max((out-1)*stride+kernel-in, 0)
	return total / 2, total - total/2
}

// dense appends a dense layer whose parameters are called as the layer is.
func (w *writer) dense(layer, name string, out int, noBias bool) error {
	inputs := []string{w.top}
	if w.at.h*w.at.w != 1 {
		w.node("Flatten", name+".flat", inputs, intAttr("axis", 1))
		inputs[0] = w.top
	}
	if err := w.parameter(&inputs, layer+".weight", out, w.at.size()); err != nil {
		return err
	}
	if !noBias {
		if err := w.parameter(&inputs, layer+".bias", out); err != nil {
			return err
		}
	}
	w.node("Gemm", name, inputs, intAttr("transB", 1))
	w.at = shape{out, 1, 1}
	return nil
}

func (w *writer) norm(name string) error {
	inputs := []string{w.top}
	for _, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		if err := w.parameter(&inputs, name+part, w.at.c); err != nil {
			return err
		}
	}
	w.node("BatchNormalization", name, inputs, floatAttr("epsilon", arch.NormEpsilon))
	return nil
}

// head is a dense layer, whose parameters are called as it is, and a softmax,
// whose output is.
func (w *writer) head(h model.Head) error {
	top, at := w.top, w.at
	defer func() { w.top, w.at = top, at }()
	if err := w.dense(h.Name, h.Name+".logits", len(h.Labels), false); err != nil {
		return err
	}
	w.node("Softmax", h.Name, []string{w.top}, intAttr("axis", 1))
	w.outputs = append(w.outputs, value(h.Name, len(h.Labels)))
	return nil
}

// node appends an operator whose output has its name, and makes that the top.
func (w *writer) node(op, name string, inputs []string, attrs ...message) {
	var n message
	for _, in := range inputs {
		n.text(1, in)
	}
	n.text(2, name)
	n.text(3, name)
	n.text(4, op)
	for _, a := range attrs {
		n.bytes(5, a)
	}
	w.nodes = append(w.nodes, n)
	w.top = name
}

// parameter stores a checkpoint's tensor and adds its name to the inputs.
func (w *writer) parameter(inputs *[]string, name string, dims ...int) error {
	v, ok := w.weights[name]
	if !ok {
		return fmt.Errorf("no tensor %s", name)
	}
	n := 1
	for _, d := range dims {
		n *= d
	}
	if len(v) != n {
		return fmt.Errorf("tensor %s has %d values, want %v", name, len(v), dims)
	}
	w.constant(name, dims, v)
	*inputs = append(*inputs, name)
	return nil
}

// Numbers of TensorProto.DataType and AttributeProto.AttributeType.
const (
	typeFloat = 1
	typeInt64 = 7

	attrFloat = 1
	attrInt   = 2
	attrText  = 3
	attrInts  = 7
)

func (w *writer) constant(name string, dims []int, v []float32) {
	var t message
	for _, d := range dims {
		t.number(1, int64(d))
	}
	t.number(2, typeFloat)
	t.text(8, name)
	raw := make([]byte, 0, 4*len(v))
	for _, f := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	t.bytes(9, raw)
	w.constants = append(w.constants, t)
}

func (w *writer) integers(name string, v ...int) {
	var t message
	t.number(1, int64(len(v)))
	t.number(2, typeInt64)
	t.text(8, name)
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	t.bytes(9, raw)
	w.constants = append(w.constants, t)
}

func textAttr(name, v string) message {
	var a message
	a.text(1, name)
	a.text(4, v)
	a.number(20, attrText)
	return a
}

func intAttr(name string, v int) message {
	var a message
	a.text(1, name)
	a.number(3, int64(v))
	a.number(20, attrInt)
	return a
}

func intsAttr(name string, v ...int) message {
	var a message
	a.text(1, name)
	for _, x := range v {
		a.number(8, int64(x))
	}
	a.number(20, attrInts)
	return a
}

func floatAttr(name string, v float32) message {
	var a message
	a.text(1, name)
	a = protowire.AppendFixed32(protowire.AppendTag(a, 2, protowire.Fixed32Type), math.Float32bits(v))
	a.number(20, attrFloat)
	return a
}

// value is a ValueInfoProto of floats: N pictures of dims.
func value(name string, dims ...int) message {
	var pictures, of message
	pictures.text(2, "N")
	of.bytes(1, pictures)
	for _, d := range dims {
		var dim message
		dim.number(1, int64(d))
		of.bytes(1, dim)
	}
	var tensor, kind, v message
	tensor.number(1, typeFloat)
	tensor.bytes(2, of)
	kind.bytes(1, tensor)
	v.text(1, name)
	v.bytes(2, kind)
	return v
}

func (w *writer) model(o Options) []byte {
	var g message
	for _, n := range w.nodes {
		g.bytes(1, n)
	}
	g.text(2, w.net.Name)
	for _, c := range w.constants {
		g.bytes(5, c)
	}
	g.bytes(11, value(w.net.Filter.Input(), 1, model.Side, model.Side))
	for _, out := range w.outputs {
		g.bytes(12, out)
	}
	var set, m message
	set.number(2, opset)
	m.number(1, irVersion)
	m.text(2, "mien")
	m.text(3, o.Version)
	m.bytes(7, g)
	m.bytes(8, set)
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, o.Metadata[key])
		m.bytes(14, entry)
	}
	return m
}
