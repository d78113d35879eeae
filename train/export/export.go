// Package export turns a trained network into a graph: float32, NHWC, with the
// layers that inference does not need gone and nothing else changed in what it
// computes.
//
// Batch norm right after a convolution folds into it. Elsewhere it is an
// operator of its own, a 1x1 depthwise convolution: folded into the
// convolution that follows, its shift would be missing wherever that one pads
// with zeros. It moves past a max pool when all its scales are positive, which
// is exact: the pool then picks the same pixels, and there are fewer left.
// Into the dense layers that read it, it could be folded exactly too, but a
// unit that hardly varies has a scale of 30 and more, and next to its weights
// the others would vanish in integers of one scale.
//
// For the same reason dense layers of the body become convolutions whose
// kernel is the whole picture: in integers those have a scale for each output,
// FULLY_CONNECTED has one for all.
package export

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"mien/runtime/graph"
	"mien/runtime/model"
	"mien/train/arch"
)

// Graph returns the network with the given weights, by parameter name, as
// train/nn and checkpoints have them. The graph has one input, called after
// the network's filter, and an output for each of the heads, in the order of the file format; no
// heads means all that the network has. Nothing of another head is in the
// graph.
func Graph(net arch.Net, weights map[string][]float32, heads []string) (*graph.Graph, error) {
	wanted, err := choose(net, heads)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	b := &builder{net: net, weights: weights, named: map[string]*value{}, g: &graph.Graph{Name: net.Name}}
	in := b.tensor(net.Filter.Input(), 1, model.Side, model.Side, 1)
	b.g.Inputs = []int{in}
	top, err := b.body(&value{at: in, c: 1, h: model.Side, w: model.Side})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	for _, h := range wanted {
		if err := b.head(h, top); err != nil {
			return nil, fmt.Errorf("export: head %s: %w", h.Name, err)
		}
	}
	if err := b.g.Check(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return b.g, nil
}

func choose(net arch.Net, names []string) ([]model.Head, error) {
	for _, n := range names {
		if !slices.ContainsFunc(net.Heads, func(h model.Head) bool { return h.Name == n }) {
			var have []string
			for _, h := range net.Heads {
				have = append(have, h.Name)
			}
			return nil, fmt.Errorf("network %s has no head %q (it has %s)", net.Name, n, strings.Join(have, ", "))
		}
	}
	var out []model.Head
	for _, h := range net.Heads {
		if len(names) == 0 || slices.Contains(names, h.Name) {
			out = append(out, h)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("network %s has no heads", net.Name)
	}
	return out, nil
}

// value is what a layer computes: a tensor, and a batch norm that has not
// become an operator yet.
type value struct {
	at      int
	h, w, c int // a vector has h = w = 1
	flat    bool
	norm    *affine
}

// affine is x*scale + shift, per channel.
type affine struct {
	name         string
	scale, shift []float32
}

func (a *affine) positive() bool {
	return !slices.ContainsFunc(a.scale, func(s float32) bool { return !(s > 0) })
}

type builder struct {
	net     arch.Net
	weights map[string][]float32
	g       *graph.Graph
	named   map[string]*value
}

func (b *builder) body(in *value) (*value, error) {
	b.named["input"] = in
	last := in
	for i := 0; i < len(b.net.Body); i++ {
		l := b.net.Body[i]
		from := last
		if l.Input != "" {
			var ok bool
			if from, ok = b.named[l.Input]; !ok {
				return nil, fmt.Errorf("layer %s reads %q, which is not before it", l.Name, l.Input)
			}
		}
		out, used, err := b.layer(i, l, from)
		if err != nil {
			return nil, fmt.Errorf("layer %d (%s %s): %w", i+1, l.Op, l.Name, err)
		}
		i += used
		b.named[l.Name], b.named[b.net.Body[i].Name] = out, out
		last = out
	}
	return last, nil
}

// fusable says whether layer i reads layer i-1 and nothing else does, so that
// the two can become one.
func (b *builder) fusable(i int, ops ...arch.Op) bool {
	if i >= len(b.net.Body) || !slices.Contains(ops, b.net.Body[i].Op) {
		return false
	}
	before := b.net.Body[i-1].Name
	if in := b.net.Body[i].Input; in != "" && in != before {
		return false
	}
	for k, l := range b.net.Body {
		if before != "" && (l.Input == before && k != i || l.With == before) {
			return false
		}
	}
	return true
}

// layer emits layer i and returns how many of the layers after it went into
// the same operator.
func (b *builder) layer(i int, l arch.Layer, in *value) (*value, int, error) {
	switch l.Op {
	case arch.Dropout:
		return in, 0, nil
	case arch.BatchNorm:
		return b.batchNorm(l, in)
	case arch.MaxPool:
		return b.maxPool(l, in), 0, nil
	case arch.Flatten:
		return &value{at: b.real(in), h: in.h, w: in.w, c: in.c, flat: true}, 0, nil
	}
	switch l.Op {
	case arch.Conv, arch.Depthwise:
		return b.convolution(i, l, in)
	case arch.Dense:
		act, used := b.activation(i + 1)
		out, err := b.dense(l, in, act)
		return out, used, err
	case arch.Add:
		return b.add(i, l, in)
	case arch.Concat:
		out, err := b.concat(l, in)
		return out, 0, err
	case arch.Pad:
		return b.pad(l, in), 0, nil
	case arch.Upsample:
		return b.upsample(l, in), 0, nil
	case arch.ELU:
		return b.unary(graph.Elu, l.Name, in), 0, nil
	case arch.ReLU:
		return b.unary(graph.Relu, l.Name, in), 0, nil
	case arch.ReLU6:
		return b.unary(graph.Relu6, l.Name, in), 0, nil
	case arch.Mean:
		return b.mean(l, in), 0, nil
	}
	return nil, 0, fmt.Errorf("no operator for it")
}

// activation says which activation layer i is, if it can be fused.
func (b *builder) activation(i int) (graph.Activation, int) {
	switch {
	case b.fusable(i, arch.ReLU):
		return graph.ReluAct, 1
	case b.fusable(i, arch.ReLU6):
		return graph.Relu6Act, 1
	}
	return graph.None, 0
}

func (b *builder) batchNorm(l arch.Layer, in *value) (*value, int, error) {
	a, err := b.affine(l.Name, in.c)
	if err != nil {
		return nil, 0, err
	}
	if in.flat && in.h*in.w != 1 {
		return nil, 0, fmt.Errorf("a batch norm of a flattened picture is not supported")
	}
	out := *in
	out.at, out.norm = b.real(in), a
	return &out, 0, nil
}

func (b *builder) affine(name string, c int) (*affine, error) {
	var p [4][]float32
	for k, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		var err error
		if p[k], err = b.weight(name+part, c); err != nil {
			return nil, err
		}
	}
	a := &affine{name: name, scale: make([]float32, c), shift: make([]float32, c)}
	for k := range c {
		s := float64(p[0][k]) / math.Sqrt(float64(p[3][k])+arch.NormEpsilon)
		a.scale[k] = float32(s)
		a.shift[k] = float32(float64(p[1][k]) - float64(p[2][k])*s)
	}
	return a, nil
}

// real returns the tensor of v with its batch norm applied, as a 1x1 depthwise
// convolution.
func (b *builder) real(v *value) int {
	if v.norm == nil {
		return v.at
	}
	a, in := v.norm, v.at
	v.at, v.norm = b.tensor(a.name, 1, v.h, v.w, v.c), nil
	b.op(graph.DepthwiseConv2D, graph.DepthwiseOptions{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Multiplier: 1},
		v.at, in, b.constant(a.name+"/scale", a.scale, 1, 1, 1, v.c), b.constant(a.name+"/shift", a.shift, v.c))
	return v.at
}

func (b *builder) maxPool(l arch.Layer, in *value) *value {
	norm := in.norm
	at := in.at
	if norm != nil && !norm.positive() {
		at, norm = b.real(in), nil
	}
	stride := cmp.Or(l.Stride, l.Kernel)
	out := &value{h: (in.h-l.Kernel)/stride + 1, w: (in.w-l.Kernel)/stride + 1, c: in.c, norm: norm}
	out.at = b.tensor(l.Name, 1, out.h, out.w, out.c)
	b.op(graph.MaxPool2D, graph.PoolOptions{Padding: graph.Valid, StrideH: stride, StrideW: stride,
		FilterH: l.Kernel, FilterW: l.Kernel}, out.at, at)
	return out
}

func (b *builder) convolution(i int, l arch.Layer, in *value) (*value, int, error) {
	from := b.real(in)
	oc, ic := l.Out, in.c
	if l.Op == arch.Depthwise {
		oc, ic = in.c, 1
	}
	w, err := b.weight(l.Name+".weight", oc*ic*l.Kernel*l.Kernel)
	if err != nil {
		return nil, 0, err
	}
	bias := make([]float32, oc)
	if !l.NoBias {
		if bias, err = b.weight(l.Name+".bias", oc); err != nil {
			return nil, 0, err
		}
	}
	used := 0
	if b.fusable(i+1, arch.BatchNorm) {
		a, err := b.affine(b.net.Body[i+1].Name, oc)
		if err != nil {
			return nil, 0, err
		}
		w, bias = fold(w, bias, a)
		used++
	}
	act, more := b.activation(i + 1 + used)
	used += more
	stride, padding := max(l.Stride, 1), graph.Same
	out := &value{h: (in.h + stride - 1) / stride, w: (in.w + stride - 1) / stride, c: oc}
	if l.Valid {
		padding = graph.Valid
		out.h, out.w = (in.h-l.Kernel)/stride+1, (in.w-l.Kernel)/stride+1
	}
	out.at = b.tensor(l.Name, 1, out.h, out.w, oc)
	k := l.Kernel
	if l.Op == arch.Depthwise {
		b.op(graph.DepthwiseConv2D, graph.DepthwiseOptions{StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1,
			Multiplier: 1, Activation: act}, out.at, from,
			b.constant(l.Name+"/weight", permute(w, oc, k*k), 1, k, k, oc), b.constant(l.Name+"/bias", bias, oc))
		return out, used, nil
	}
	ohwi := make([]float32, 0, len(w))
	for o := range oc {
		ohwi = append(ohwi, permute(w[o*ic*k*k:(o+1)*ic*k*k], ic, k*k)...)
	}
	b.op(graph.Conv2D, graph.ConvOptions{Padding: padding, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, Activation: act},
		out.at, from, b.constant(l.Name+"/weight", ohwi, oc, k, k, ic), b.constant(l.Name+"/bias", bias, oc))
	return out, used, nil
}

// fold puts a batch norm that follows a convolution into it.
func fold(w, bias []float32, a *affine) (fw, fb []float32) {
	fw, fb = make([]float32, len(w)), make([]float32, len(bias))
	per := len(w) / len(bias)
	for o := range bias {
		for k := range per {
			fw[o*per+k] = w[o*per+k] * a.scale[o]
		}
		fb[o] = bias[o]*a.scale[o] + a.shift[o]
	}
	return fw, fb
}

// permute turns [a, b] into [b, a].
func permute(v []float32, a, b int) []float32 {
	out := make([]float32, len(v))
	for i := range a {
		for k := range b {
			out[k*a+i] = v[i*b+k]
		}
	}
	return out
}

// dense emits a dense layer of the body, as a convolution over the whole
// picture.
func (b *builder) dense(l arch.Layer, in *value, act graph.Activation) (*value, error) {
	from := b.real(in)
	w, bias, err := b.rows(l.Name, in, l.Out)
	if err != nil {
		return nil, err
	}
	v := &value{h: 1, w: 1, c: l.Out}
	v.at = b.tensor(l.Name, 1, 1, 1, l.Out)
	b.op(graph.Conv2D, graph.ConvOptions{Padding: graph.Valid, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Activation: act},
		v.at, from, b.constant(l.Name+"/weight", w, l.Out, in.h, in.w, in.c), b.constant(l.Name+"/bias", bias, l.Out))
	return v, nil
}

// rows returns the weights of a dense layer, whose input is a picture in NCHW
// order, for one in NHWC order.
func (b *builder) rows(name string, in *value, out int) (w, bias []float32, err error) {
	n := in.h * in.w * in.c
	nchw, err := b.weight(name+".weight", out*n)
	if err != nil {
		return nil, nil, err
	}
	if bias, err = b.weight(name+".bias", out); err != nil {
		return nil, nil, err
	}
	w = make([]float32, 0, len(nchw))
	for o := range out {
		w = append(w, permute(nchw[o*n:(o+1)*n], in.c, in.h*in.w)...)
	}
	return w, bias, nil
}

func (b *builder) add(i int, l arch.Layer, in *value) (*value, int, error) {
	with, ok := b.named[l.With]
	if !ok {
		return nil, 0, fmt.Errorf("adds %q, which is not before it", l.With)
	}
	if with.h != in.h || with.w != in.w || with.c != in.c {
		return nil, 0, fmt.Errorf("adds %dx%dx%d and %dx%dx%d", in.h, in.w, in.c, with.h, with.w, with.c)
	}
	act, used := b.activation(i + 1)
	x, y := b.real(in), b.real(with)
	out := *in
	out.at = b.tensor(l.Name, b.g.Tensors[x].Shape...)
	b.op(graph.Add, graph.ArithOptions{Activation: act}, out.at, x, y)
	return &out, used, nil
}

// concat appends the channels of another value.
func (b *builder) concat(l arch.Layer, in *value) (*value, error) {
	with, ok := b.named[l.With]
	if !ok {
		return nil, fmt.Errorf("adds %q, which is not before it", l.With)
	}
	if with.h != in.h || with.w != in.w {
		return nil, fmt.Errorf("puts together %dx%d and %dx%d", in.h, in.w, with.h, with.w)
	}
	x, y := b.real(in), b.real(with)
	out := &value{h: in.h, w: in.w, c: in.c + with.c}
	out.at = b.tensor(l.Name, 1, out.h, out.w, out.c)
	b.op(graph.Concatenation, graph.ConcatOptions{Axis: 3}, out.at, x, y)
	return out, nil
}

func (b *builder) pad(l arch.Layer, in *value) *value {
	n := l.Pad
	from, sides := b.real(in), b.integers(l.Name+"/sides", []int{0, 0, n, n, n, n, 0, 0}, 4, 2)
	out := &value{h: in.h + 2*n, w: in.w + 2*n, c: in.c}
	out.at = b.tensor(l.Name, 1, out.h, out.w, out.c)
	b.op(graph.Pad, nil, out.at, from, sides)
	return out
}

func (b *builder) upsample(l arch.Layer, in *value) *value {
	out := &value{h: in.h * l.Kernel, w: in.w * l.Kernel, c: in.c}
	from, size := b.real(in), b.integers(l.Name+"/size", []int{out.h, out.w}, 2)
	out.at = b.tensor(l.Name, 1, out.h, out.w, out.c)
	b.op(graph.ResizeNearest, graph.ResizeNearestOptions{}, out.at, from, size)
	return out
}

func (b *builder) unary(kind graph.Kind, name string, in *value) *value {
	from := b.real(in)
	out := *in
	out.at = b.tensor(name, b.g.Tensors[from].Shape...)
	b.op(kind, nil, out.at, from)
	return &out
}

func (b *builder) mean(l arch.Layer, in *value) *value {
	from := b.real(in)
	at := b.integers(l.Name+"/axes", []int{1, 2}, 2)
	out := &value{h: 1, w: 1, c: in.c}
	out.at = b.tensor(l.Name, 1, 1, 1, in.c)
	b.op(graph.Mean, graph.ReduceOptions{KeepDims: true}, out.at, from, at)
	return out
}

// head emits a head. FULLY_CONNECTED flattens its input by itself.
func (b *builder) head(h model.Head, top *value) error {
	from, n := b.real(top), len(h.Labels)
	w, bias, err := b.rows(h.Name, top, n)
	if err != nil {
		return err
	}
	logits := b.tensor(h.Name+"/logits", 1, n)
	b.op(graph.FullyConnected, graph.FullyConnectedOptions{}, logits, from,
		b.constant(h.Name+"/weight", w, n, top.h*top.w*top.c), b.constant(h.Name+"/bias", bias, n))
	out := b.tensor(h.Name, 1, n)
	b.op(graph.Softmax, graph.SoftmaxOptions{Beta: 1}, out, logits)
	b.g.Outputs = append(b.g.Outputs, out)
	return nil
}

// weight returns a parameter of n values.
func (b *builder) weight(name string, n int) ([]float32, error) {
	w, ok := b.weights[name]
	if !ok {
		return nil, fmt.Errorf("the weights lack %q", name)
	}
	if len(w) != n {
		return nil, fmt.Errorf("%q has %d values, want %d", name, len(w), n)
	}
	return w, nil
}

func (b *builder) tensor(name string, shape ...int) int {
	b.g.Tensors = append(b.g.Tensors, &graph.Tensor{Name: name, Shape: slices.Clone(shape)})
	return len(b.g.Tensors) - 1
}

func (b *builder) constant(name string, v []float32, shape ...int) int {
	at := b.tensor(name, shape...)
	data := make([]byte, 0, 4*len(v))
	for _, f := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(f))
	}
	b.g.Tensors[at].Data = data
	return at
}

func (b *builder) integers(name string, v []int, shape ...int) int {
	at := b.tensor(name, shape...)
	t := b.g.Tensors[at]
	t.Type = graph.Int32
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(x))
	}
	return at
}

func (b *builder) op(kind graph.Kind, options graph.Options, out int, in ...int) {
	b.g.Ops = append(b.g.Ops, &graph.Op{Kind: kind, Version: 1, Inputs: in, Outputs: []int{out}, Options: options})
}
