package quant

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"mien/runtime/graph"
)

// Prepare returns a graph of anybody's as a float graph that can be quantised:
// weights that are stored in float16 or int8 become float32, a constant that
// several operators read gets a copy for each, activations are fused into the
// operator before them, and every tensor has a name of its own. Notes say what
// was done. The error names what stands in the way, and what can be done.
func Prepare(g *graph.Graph) (out *graph.Graph, notes []string, err error) {
	p := &preparer{g: g.Clone(), counts: map[string]int{}}
	p.g.Signatures = slices.Clone(g.Signatures)
	p.densify()
	p.builtins()
	if err := preparable(p.g); err != nil {
		return nil, nil, err
	}
	if err := p.constants(); err != nil {
		return nil, nil, err
	}
	p.separate()
	p.fuse()
	p.name()
	if err := plainFloat(p.g); err != nil {
		return nil, nil, err
	}
	for _, what := range []string{"float16", "int8", "uint8", "int16"} {
		if n := p.counts[what]; n > 0 {
			notes = append(notes, fmt.Sprintf("%s stored as %s: what is compared is what they stand for", count(n, "constant was", "constants were"), what))
		}
	}
	if n := p.counts["sparse"]; n > 0 {
		notes = append(notes, fmt.Sprintf("%s stored sparsely, and are stored whole: integers need a quarter of the bytes", count(n, "constant was", "constants were")))
	}
	if n := p.counts["builtin"]; n > 0 {
		notes = append(notes, fmt.Sprintf("%s MediaPipe's Convolution2DTransposeBias, and became TRANSPOSE_CONV, which every engine has", count(n, "operator was", "operators were")))
	}
	if n := p.counts["fused"]; n > 0 {
		notes = append(notes, fmt.Sprintf("%s fused into the operator before: its integers need not hold what is cut off", count(n, "activation was", "activations were")))
	}
	return p.g, notes, nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// controlFlow are operators that call other subgraphs or keep state.
var controlFlow = []string{"IF", "WHILE", "CALL", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE", "HASHTABLE_FIND",
	"HASHTABLE_IMPORT", "HASHTABLE_SIZE"}

// preparable says why a graph cannot be quantised, and what can be done.
func preparable(g *graph.Graph) error {
	for i, o := range g.Ops {
		at := fmt.Sprintf("operator %d, %s", i, o.Name())
		switch {
		case o.Kind == graph.Custom:
			return fmt.Errorf("quant: %s, is custom, and only its maker's engine computes it: take the model without it (its post-processing is often such an operator)", at)
		case slices.Contains(controlFlow, o.Kind.String()):
			return fmt.Errorf("quant: %s, is control flow or state, which is not quantised: take the model without it", at)
		}
		for k, m := range o.Mutates {
			if m {
				return fmt.Errorf("quant: %s, changes tensor %q from run to run; models with state are not quantised", at, g.Tensors[o.Inputs[k]].Name)
			}
		}
	}
	if len(g.Unkept) > 0 {
		hint := "take a file without it"
		if strings.Contains(g.Unkept[0], "subgraph") {
			hint = "take a model of one subgraph"
		}
		return fmt.Errorf("quant: the file holds what would be lost: %s; %s", g.Unkept[0], hint)
	}
	if len(g.Inputs) == 0 || len(g.Outputs) == 0 {
		return fmt.Errorf("quant: the model has %d inputs and %d outputs", len(g.Inputs), len(g.Outputs))
	}
	for i, t := range g.Tensors {
		if t.Variable {
			return fmt.Errorf("quant: tensor %d, %q, lives from one run to the next; models with state are not quantised", i, t.Name)
		}
		if t.Type == graph.Int8 || t.Type == graph.UInt8 || t.Type == graph.Int16 {
			if !t.Const() && t.Quant != nil && len(t.Quant.Scale) > 0 {
				return fmt.Errorf("quant: the model is quantised already: tensor %d, %q, is %s; start from its float model", i, t.Name, t.Type)
			}
		}
	}
	for _, i := range g.Inputs {
		t := g.Tensors[i]
		if t.Type != graph.Float32 {
			return fmt.Errorf("quant: input %q is %s; models with float32 inputs are quantised", t.Name, t.Type)
		}
		for d, n := range t.Signature {
			if n == -1 && d > 0 && d < len(t.Shape) && t.Shape[d] <= 1 {
				return fmt.Errorf("quant: input %q is of shape %v, and its size is not fixed: convert the model with fixed sizes", t.Name, t.Signature)
			}
		}
		if t.Elems() == 0 {
			return fmt.Errorf("quant: input %q is of shape %v, which holds nothing: convert the model with fixed sizes", t.Name, t.Shape)
		}
	}
	return nil
}

type preparer struct {
	g      *graph.Graph
	counts map[string]int
}

// densify takes the DENSIFY behind constants out, whose zeros are there.
func (p *preparer) densify() {
	source := map[int]int{}
	p.g.Ops = slices.DeleteFunc(p.g.Ops, func(o *graph.Op) bool {
		if o.Kind != graph.Densify || len(o.Inputs) != 1 || len(o.Outputs) != 1 || o.Inputs[0] < 0 || !p.g.Tensors[o.Inputs[0]].Const() {
			return false
		}
		source[o.Outputs[0]] = o.Inputs[0]
		return true
	})
	for _, o := range p.g.Ops {
		for k, i := range o.Inputs {
			if s, ok := source[i]; ok {
				o.Inputs[k] = s
			}
		}
	}
	for _, t := range p.g.Tensors {
		if t.Sparse {
			t.Sparse = false
			p.counts["sparse"]++
		}
	}
}

// builtins makes TRANSPOSE_CONV of MediaPipe's Convolution2DTransposeBias, which
// computes the same (mediapipe/util/tflite/operations/transpose_conv_bias.cc): its
// inputs are picture, weights and bias, its options the library's
// TfLiteTransposeConvParams, padding and strides of 32 bits each.
func (p *preparer) builtins() {
	for _, o := range p.g.Ops {
		if o.Kind != graph.Custom || o.Custom != "Convolution2DTransposeBias" || len(o.Inputs) != 3 || len(o.Outputs) != 1 || len(o.CustomData) < 12 {
			continue
		}
		var v [3]uint32
		for i := range v {
			v[i] = binary.LittleEndian.Uint32(o.CustomData[4*i:])
		}
		padding, known := map[uint32]graph.Padding{1: graph.Same, 2: graph.Valid}[v[0]]
		if !known || v[1] > graph.MaxElems || v[2] > graph.MaxElems {
			continue
		}
		out := p.g.Tensors[o.Outputs[0]]
		shape := &graph.Tensor{Name: out.Name + "/shape", Type: graph.Int32, Shape: []int{len(out.Shape)}}
		for _, n := range out.Shape {
			shape.Data = binary.LittleEndian.AppendUint32(shape.Data, uint32(n))
		}
		p.g.Tensors = append(p.g.Tensors, shape)
		o.Kind, o.Custom, o.CustomData, o.Version = graph.TransposeConv, "", nil, 3
		o.Options = graph.TransposeConvOptions{Padding: padding, StrideW: int(v[1]), StrideH: int(v[2])}
		o.Inputs = []int{len(p.g.Tensors) - 1, o.Inputs[1], o.Inputs[0], o.Inputs[2]}
		p.counts["builtin"]++
	}
}

// constants turns stored float16 and integer weights into float32, and takes
// the DEQUANTIZE behind them out.
func (p *preparer) constants() error {
	source := map[int]int{}
	ops := p.g.Ops[:0:0]
	for _, o := range p.g.Ops {
		for k, i := range o.Inputs {
			if s, ok := source[i]; ok {
				o.Inputs[k] = s
			}
		}
		if o.Kind == graph.Dequantize && len(o.Inputs) == 1 && o.Inputs[0] >= 0 && p.g.Tensors[o.Inputs[0]].Const() {
			if err := p.widen(o.Inputs[0]); err != nil {
				return err
			}
			p.g.Tensors[o.Inputs[0]].Name = p.g.Tensors[o.Outputs[0]].Name
			source[o.Outputs[0]] = o.Inputs[0]
			continue
		}
		for _, i := range o.Inputs {
			if i >= 0 && p.g.Tensors[i].Const() && p.g.Tensors[i].Quant != nil && len(p.g.Tensors[i].Quant.Scale) > 0 {
				if err := p.widen(i); err != nil {
					return err
				}
				o.Version = 1 // of float operators; of hybrid ones it is higher
			}
		}
		ops = append(ops, o)
	}
	p.g.Ops = ops
	for i, at := range p.g.Outputs {
		if s, ok := source[at]; ok {
			p.g.Outputs[i] = s
		}
	}
	for _, t := range p.g.Tensors { // what only says which range was seen
		if t.Quant != nil && len(t.Quant.Scale) == 0 {
			t.Quant = nil
		}
	}
	return nil
}

// widen makes a constant float32.
func (p *preparer) widen(i int) error {
	t := p.g.Tensors[i]
	switch t.Type {
	case graph.Float32:
		return nil
	case graph.Float16:
		v := make([]float32, len(t.Data)/2)
		for k := range v {
			v[k] = graph.Half(binary.LittleEndian.Uint16(t.Data[2*k:]))
		}
		t.Data = floatBytes(v)
	default:
		v, err := RealValues(t)
		if err != nil {
			return err
		}
		t.Data = floatBytes(v)
	}
	p.counts[t.Type.String()]++
	t.Type, t.Quant = graph.Float32, nil
	return nil
}

// separate gives each operator its own copy of a float constant that several
// read, but for the weights of layers: a bias's scale follows from its layer.
func (p *preparer) separate() {
	read := map[int]bool{}
	for _, o := range p.g.Ops {
		for slot, i := range o.Inputs {
			if i < 0 || !p.g.Tensors[i].Const() || p.g.Tensors[i].Type != graph.Float32 || weighted(o) && slot == 1 {
				continue
			}
			if read[i] {
				n := *p.g.Tensors[i]
				p.g.Tensors = append(p.g.Tensors, &n)
				o.Inputs[slot] = len(p.g.Tensors) - 1
			}
			read[i] = true
		}
	}
}

// fuse takes activations into the operators whose results only they read.
func (p *preparer) fuse() {
	gone := map[*graph.Op]bool{}
	for _, o := range p.g.Ops {
		var act graph.Activation
		switch o.Kind {
		case graph.Relu:
			act = graph.ReluAct
		case graph.Relu6:
			act = graph.Relu6Act
		default:
			continue
		}
		from := producerOf(p.g, o.Inputs[0])
		if from == nil || reader(p.g, o.Inputs[0]) != o || from.Fused() != graph.None {
			continue
		}
		options := withActivation(from.Options, act)
		if options == nil {
			continue
		}
		from.Options = options
		from.Outputs = []int{o.Outputs[0]}
		gone[o] = true
		p.counts["fused"]++
	}
	p.g.Ops = slices.DeleteFunc(p.g.Ops, func(o *graph.Op) bool { return gone[o] })
	p.drop()
}

// withActivation returns options with an activation, or nil where they have
// no place for one.
func withActivation(o graph.Options, a graph.Activation) graph.Options {
	switch v := o.(type) {
	case graph.ConvOptions:
		v.Activation = a
		return v
	case graph.DepthwiseOptions:
		v.Activation = a
		return v
	case graph.FullyConnectedOptions:
		v.Activation = a
		return v
	case graph.ArithOptions:
		v.Activation = a
		return v
	}
	return nil
}

// drop takes tensors out that nothing reads or writes any more.
func (p *preparer) drop() {
	used := make([]bool, len(p.g.Tensors))
	mark := func(list []int) {
		for _, i := range list {
			if i >= 0 {
				used[i] = true
			}
		}
	}
	mark(p.g.Inputs)
	mark(p.g.Outputs)
	for _, o := range p.g.Ops {
		mark(o.Inputs)
		mark(o.Outputs)
		mark(o.Intermediates)
	}
	now := make([]int, len(used))
	var kept []*graph.Tensor
	for i, t := range p.g.Tensors {
		now[i] = -1
		if used[i] {
			now[i] = len(kept)
			kept = append(kept, t)
		}
	}
	p.g.Tensors = kept
	move := func(list []int) {
		for k, i := range list {
			if i >= 0 {
				list[k] = now[i]
			}
		}
	}
	move(p.g.Inputs)
	move(p.g.Outputs)
	for _, o := range p.g.Ops {
		move(o.Inputs)
		move(o.Outputs)
		o.Intermediates = slices.Clone(o.Intermediates)
		move(o.Intermediates)
	}
	for s, sig := range p.g.Signatures {
		p.g.Signatures[s] = graph.Signature{Key: sig.Key, Inputs: moved(sig.Inputs, now), Outputs: moved(sig.Outputs, now)}
	}
}

func moved(list []graph.NamedTensor, now []int) []graph.NamedTensor {
	var out []graph.NamedTensor
	for _, n := range list {
		if at := now[n.Tensor]; at >= 0 {
			out = append(out, graph.NamedTensor{Name: n.Name, Tensor: at})
		}
	}
	return out
}

// name gives every tensor a name of its own. Inputs and outputs keep theirs.
func (p *preparer) name() {
	taken := map[string]bool{}
	fixed := map[int]bool{}
	for _, i := range slices.Concat(p.g.Inputs, p.g.Outputs) {
		if t := p.g.Tensors[i]; t.Name != "" && !taken[t.Name] {
			taken[t.Name], fixed[i] = true, true
		}
	}
	for i, t := range p.g.Tensors {
		if fixed[i] {
			continue
		}
		name := t.Name
		if name == "" {
			name = fmt.Sprintf("tensor%d", i)
		}
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s#%d", t.Name, n)
		}
		t.Name, taken[name] = name, true
	}
}

// producerOf returns the operator that computes a tensor, or nil.
func producerOf(g *graph.Graph, tensor int) *graph.Op {
	for _, o := range g.Ops {
		if slices.Contains(o.Outputs, tensor) {
			return o
		}
	}
	return nil
}
