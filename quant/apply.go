package quant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"mien/runtime/graph"
)

// Apply returns the float graph g as the plan says. The same graph and plan
// give the same result, byte for byte.
func Apply(g *graph.Graph, p *Plan) (*graph.Graph, error) {
	if err := p.Recipe.Check(); err != nil {
		return nil, err
	}
	if err := plainFloat(g); err != nil {
		return nil, err
	}
	if p.Model != "" {
		if sum, err := Fingerprint(g); err != nil {
			return nil, err
		} else if sum != p.Model {
			return nil, fmt.Errorf("quant: the plan was made for another model (its SHA-256 is %.12s..., this one's is %.12s...): make a plan for this one", p.Model, sum)
		}
	}
	g, err := Equalise(g, p.Equal)
	if err != nil {
		return nil, err
	}
	a := &applier{src: g, plan: p, r: p.Recipe.defaults(), reps: map[rep]int{}, consts: map[rep]int{}, primary: map[int]graph.Type{},
		dst: &graph.Graph{Name: g.Name, Description: g.Description, Metadata: slices.Clone(g.Metadata)}}
	if err := a.index(); err != nil {
		return nil, err
	}
	if err := a.run(); err != nil {
		return nil, err
	}
	if err := a.dst.Check(); err != nil {
		return nil, err
	}
	return a.dst, nil
}

// rep is a tensor of the source in one type: a value that integer and float
// layers read is there twice.
type rep struct {
	tensor int
	typ    graph.Type
}

type applier struct {
	src, dst *graph.Graph
	plan     *Plan
	r        Recipe
	tensors  map[string]*TensorPlan
	layers   map[string]graph.Type
	reps     map[rep]int        // of activations: index in dst
	consts   map[rep]int        // of constants, by the type of the layer that reads them
	primary  map[int]graph.Type // the type in which a tensor is made
}

// index looks the plan's names up and says which are not the graph's.
func (a *applier) index() error {
	a.tensors, a.layers = map[string]*TensorPlan{}, map[string]graph.Type{}
	for i := range a.plan.Tensors {
		t := &a.plan.Tensors[i]
		if a.src.Find(t.Name) < 0 {
			return fmt.Errorf("quant: the plan is for another graph: there is no tensor %q", t.Name)
		}
		a.tensors[t.Name] = t
	}
	for _, l := range a.plan.Layers {
		var t graph.Type
		switch l.Type {
		case "float32":
			t = graph.Float32
		case "int8":
			t = graph.Int8
		case "int16":
			t = graph.Int16
		default:
			return fmt.Errorf("quant: plan: layer %s is of type %q (want float32, int8 or int16)", l.Name, l.Type)
		}
		if layer(a.src, l.Name) == nil {
			return fmt.Errorf("quant: the plan is for another graph: there is no layer %q", l.Name)
		}
		a.layers[l.Name] = t
	}
	return nil
}

func (a *applier) run() error {
	for _, i := range a.src.Inputs {
		t := graph.Float32
		if a.r.integer() && !a.r.FloatIO {
			t = graph.Int8
		}
		at, err := a.activation(i, t)
		if err != nil {
			return err
		}
		a.primary[i] = a.dst.Tensors[at].Type
		a.dst.Inputs = append(a.dst.Inputs, at)
	}
	for _, o := range a.src.Ops {
		if err := a.operator(o); err != nil {
			return fmt.Errorf("quant: layer %s: %w", a.src.Tensors[o.Outputs[0]].Name, err)
		}
	}
	for _, i := range a.src.Outputs {
		t := a.primary[i]
		if a.r.FloatIO {
			t = graph.Float32
		} else if a.r.integer() && t == graph.Int16 {
			t = graph.Int8
		}
		at, err := a.read(i, t)
		if err != nil {
			return err
		}
		a.dst.Outputs = append(a.dst.Outputs, at)
	}
	a.name()
	for _, s := range a.src.Signatures {
		a.dst.Signatures = append(a.dst.Signatures, graph.Signature{Key: s.Key,
			Inputs: follow(s.Inputs, a.src.Inputs, a.dst.Inputs), Outputs: follow(s.Outputs, a.src.Outputs, a.dst.Outputs)})
	}
	return nil
}

// follow gives the entries of a signature the tensors that now are inputs or
// outputs in the places of those that they name.
func follow(list []graph.NamedTensor, from, to []int) []graph.NamedTensor {
	var out []graph.NamedTensor
	for _, n := range list {
		if k := slices.Index(from, n.Tensor); k >= 0 {
			out = append(out, graph.NamedTensor{Name: n.Name, Tensor: to[k]})
		}
	}
	return out
}

// name gives inputs and outputs the names by which engines find them, and
// other representations of the same tensor one that tells their type.
func (a *applier) name() {
	keys := make([]rep, 0, len(a.reps))
	for k := range a.reps {
		keys = append(keys, k)
	}
	for _, k := range keys {
		t := a.dst.Tensors[a.reps[k]]
		at := a.reps[k]
		outer := slices.Contains(a.dst.Outputs, at) || slices.Contains(a.dst.Inputs, at)
		inner := slices.Contains(a.src.Outputs, k.tensor) || slices.Contains(a.src.Inputs, k.tensor)
		t.Name = a.src.Tensors[k.tensor].Name
		if inner && !outer || !inner && k.typ != a.primary[k.tensor] {
			t.Name += "/" + k.typ.String()
		}
	}
}

// activation makes a tensor in one type.
func (a *applier) activation(i int, typ graph.Type) (int, error) {
	t := a.src.Tensors[i]
	if t.Type != graph.Float32 {
		typ = t.Type // indices stay as they are
	}
	n := &graph.Tensor{Name: t.Name, Type: typ, Shape: t.Shape, Signature: t.Signature, HasRank: t.HasRank}
	if typ != graph.Float32 && typ != t.Type {
		q, err := a.quant(t, typ)
		if err != nil {
			return 0, err
		}
		n.Quant = q
	}
	a.dst.Tensors = append(a.dst.Tensors, n)
	at := len(a.dst.Tensors) - 1
	a.reps[rep{i, typ}] = at
	return at, nil
}

// quant returns the parameters of an activation.
func (a *applier) quant(t *graph.Tensor, typ graph.Type) (*graph.Quant, error) {
	tp := a.tensors[t.Name]
	if tp == nil {
		return nil, fmt.Errorf("quant: the plan says nothing about tensor %s", t.Name)
	}
	if tp.Type == typ.String() {
		if _, err := scaleOf(tp, t.Shape); err != nil {
			return nil, err
		}
		if len(tp.Scale) != 1 {
			return nil, fmt.Errorf("quant: plan of %s: %d scales for an activation", t.Name, len(tp.Scale))
		}
		if lo, hi := limits(typ); tp.Zero < lo || tp.Zero > hi {
			return nil, fmt.Errorf("quant: plan of %s: zero point %d of %s", t.Name, tp.Zero, typ)
		}
		return &graph.Quant{Scale: []float32{tp.Scale[0]}, Zero: []int64{tp.Zero}}, nil
	}
	scale, zero := tp.affine(typ)
	return &graph.Quant{Scale: []float32{scale}, Zero: []int64{zero}}, nil
}

func limits(t graph.Type) (lo, hi int64) {
	if t == graph.Int16 {
		return 0, 0
	}
	return -128, 127
}

// read returns an activation in the type wanted, and converts it once.
func (a *applier) read(i int, typ graph.Type) (int, error) {
	if t := a.src.Tensors[i].Type; t != graph.Float32 {
		typ = t
	}
	if at, ok := a.reps[rep{i, typ}]; ok {
		return at, nil
	}
	from, ok := a.primary[i]
	if !ok {
		return 0, fmt.Errorf("tensor %s is read before it is made", a.src.Tensors[i].Name)
	}
	if from != graph.Float32 && typ != graph.Float32 {
		// Between int8 and int16 by way of float32: not every version of
		// TensorFlow Lite goes straight.
		mid, err := a.read(i, graph.Float32)
		if err != nil {
			return 0, err
		}
		return a.convert(i, mid, graph.Float32, typ)
	}
	return a.convert(i, a.reps[rep{i, from}], from, typ)
}

func (a *applier) convert(i, at int, from, to graph.Type) (int, error) {
	out, err := a.activation(i, to)
	if err != nil {
		return 0, err
	}
	op := &graph.Op{Kind: graph.Quantize, Version: 1, Inputs: []int{at}, Outputs: []int{out}}
	switch {
	case to == graph.Int16:
		op.Version = 2
	case to == graph.Float32 && from == graph.Int16:
		op.Kind, op.Version = graph.Dequantize, 3
	case to == graph.Float32:
		op.Kind, op.Version = graph.Dequantize, 2
	}
	a.dst.Ops = append(a.dst.Ops, op)
	return out, nil
}

func (a *applier) operator(o *graph.Op) error {
	name := a.src.Tensors[o.Outputs[0]].Name
	typ, ok := a.layers[name]
	if !ok {
		return errors.New("the plan does not say what it computes with")
	}
	op := &graph.Op{Kind: o.Kind, Custom: o.Custom, Options: o.Options}
	hybrid := false
	for slot, i := range o.Inputs {
		at := -1
		if i >= 0 {
			var err error
			switch t := a.src.Tensors[i]; {
			case t.Const():
				at, err = a.constant(i, o, slot, typ)
				hybrid = hybrid || typ == graph.Float32 && a.dst.Tensors[at].Type == graph.Int8
			default:
				at, err = a.read(i, typ)
			}
			if err != nil {
				return err
			}
		}
		op.Inputs = append(op.Inputs, at)
	}
	for _, i := range o.Outputs {
		out, err := a.activation(i, typ)
		if err != nil {
			return err
		}
		if a.primary[i] = typ; a.src.Tensors[i].Type != graph.Float32 {
			a.primary[i] = a.src.Tensors[i].Type
		} else if typ != graph.Float32 && keepsScale(o) {
			a.dst.Tensors[out].Quant = a.dst.Tensors[op.Inputs[operatorOf(o).Data]].Quant
		}
		op.Outputs = append(op.Outputs, out)
	}
	op.Version = version(o, typ, hybrid)
	if o.Kind == graph.Add && typ == graph.Int16 {
		op.Options = graph.ArithOptions{Activation: o.Fused(), AnyScale16: true}
	}
	a.dst.Ops = append(a.dst.Ops, op)
	return nil
}

// version is the first version of an operator that has the types it is used
// with, and at least the one that its options needed before.
func version(o *graph.Op, typ graph.Type, hybrid bool) int {
	v := operatorOf(o).Versions
	need := v.Of(typ)
	if hybrid {
		need = v.Hybrid
	}
	return max(need, o.Version, 1)
}

// constant stores a constant as an operator of that type reads it.
func (a *applier) constant(i int, o *graph.Op, slot int, typ graph.Type) (int, error) {
	key := rep{i, typ}
	if at, ok := a.consts[key]; ok {
		return at, nil
	}
	at, err := a.store(i, o, slot, typ)
	if err == nil {
		a.consts[key] = at
	}
	return at, err
}

func (a *applier) store(i int, o *graph.Op, slot int, typ graph.Type) (int, error) {
	t := a.src.Tensors[i]
	tp := a.tensors[t.Name]
	n := &graph.Tensor{Name: t.Name, Type: t.Type, Shape: t.Shape, Data: t.Data}
	a.dst.Tensors = append(a.dst.Tensors, n)
	at := len(a.dst.Tensors) - 1
	if tp == nil || tp.Type == t.Type.String() {
		return at, nil
	}
	v := floats(t.Data)
	var err error
	switch {
	case tp.Type == graph.Float16.String():
		return a.float16(at, n, v), nil
	case tp.Role == Bias:
		n.Type = graph.Int32
		if tp.Type == graph.Int64.String() {
			n.Type = graph.Int64
		}
		n.Quant = &graph.Quant{Scale: tp.Scale, Zero: make([]int64, len(tp.Scale))}
		n.Data, err = biasBytes(v, tp)
	case weighted(o) && slot == 1 && tp.Type == graph.Int8.String():
		if !operatorOf(o).Weights.PerChannel && len(tp.Scale) != 1 {
			return 0, fmt.Errorf("plan of %s: %d scales, but %s reads one", tp.Name, len(tp.Scale), o.Name())
		}
		n.Type = graph.Int8
		n.Quant = &graph.Quant{Scale: tp.Scale, Zero: make([]int64, len(tp.Scale)), Axis: tp.Axis}
		n.Data, err = weightBytes(v, t.Shape, tp)
	case tp.Type == typ.String() && len(tp.Scale) == 1:
		n.Type = typ
		n.Quant = &graph.Quant{Scale: tp.Scale, Zero: []int64{tp.Zero}}
		n.Data = affineBytes(v, tp, typ)
	default:
		return 0, fmt.Errorf("plan of %s: %s is not what its layer reads", tp.Name, tp.Type)
	}
	return at, err
}

func affineBytes(v []float32, tp *TensorPlan, typ graph.Type) []byte {
	var out []byte
	for _, x := range v {
		q := float64(x)/float64(tp.Scale[0]) + float64(tp.Zero)
		if typ == graph.Int16 {
			out = binary.LittleEndian.AppendUint16(out, uint16(int16(roundTo(q, false, -32767, 32767))))
		} else {
			out = append(out, byte(int8(roundTo(q, false, -128, 127))))
		}
	}
	return out
}

// float16 stores a constant in half precision behind a DEQUANTIZE, which the
// library runs once.
func (a *applier) float16(at int, n *graph.Tensor, v []float32) int {
	wide := *n
	wide.Data = nil
	n.Name += "/float16"
	n.Type, n.Data = graph.Float16, halfBytes(v)
	a.dst.Tensors = append(a.dst.Tensors, &wide)
	out := len(a.dst.Tensors) - 1
	a.dst.Ops = append(a.dst.Ops, &graph.Op{Kind: graph.Dequantize, Version: 3, Inputs: []int{at}, Outputs: []int{out}})
	return out
}
