package graph

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func chain() *Graph {
	return &Graph{
		Tensors: []*Tensor{
			{Name: "x", Type: Int8, Shape: []int{1, 2}},
			{Name: "w", Type: Int8, Shape: []int{3, 2}, Data: make([]byte, 6), Quant: &Quant{Scale: []float32{1, 2, 3}, Zero: []int64{0, 0, 0}}},
			{Name: "y", Type: Int8, Shape: []int{1, 3}},
			{Name: "z", Type: Int8, Shape: []int{1, 3}},
		},
		Ops: []*Op{
			{Kind: FullyConnected, Inputs: []int{0, 1, -1}, Outputs: []int{2}, Options: FullyConnectedOptions{}},
			{Kind: Elu, Inputs: []int{2}, Outputs: []int{3}},
		},
		Inputs: []int{0}, Outputs: []int{3},
	}
}

func TestCheck(t *testing.T) {
	if err := chain().Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Graph){
		"input is tensor 4 of 4":     func(g *Graph) { g.Ops[0].Inputs[0] = 4 },
		"input is tensor -2 of 4":    func(g *Graph) { g.Ops[0].Inputs[2] = -2 },
		"output is tensor -1 of 4":   func(g *Graph) { g.Ops[1].Outputs[0] = -1 },
		"used before it is computed": func(g *Graph) { g.Ops[0], g.Ops[1] = g.Ops[1], g.Ops[0] },
		"has a value already":        func(g *Graph) { g.Ops[1].Outputs[0] = 2 },
		"nothing computes output":    func(g *Graph) { g.Ops = g.Ops[:1] },
		"graph: output is tensor 9":  func(g *Graph) { g.Outputs[0] = 9 },
		"5 bytes for shape [3 2]":    func(g *Graph) { g.Tensors[1].Data = make([]byte, 5) },
		"3 scales along axis 1":      func(g *Graph) { g.Tensors[1].Quant.Axis = 1 },
		"2 zero points for 3 scales": func(g *Graph) { g.Tensors[1].Quant.Zero = []int64{0, 0} },
		"more than":                  func(g *Graph) { g.Tensors[0].Shape = []int{1 << 20, 1 << 20, 1 << 20, 1 << 20} },
		"shape [-1 2]":               func(g *Graph) { g.Tensors[0].Shape[0] = -1 },
		"intermediate is tensor 7":   func(g *Graph) { g.Ops[0].Intermediates = []int{7} },
	} {
		g := chain()
		change(g)
		if err := g.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCloneStandsAlone(t *testing.T) {
	g := chain()
	c := g.Clone()
	c.Tensors[1].Quant.Axis = 5
	c.Tensors[0].Shape[0] = 9
	c.Ops[0].Inputs[0] = 3
	c.Outputs[0] = 0
	c.SetMeta("a", nil)
	if err := g.Check(); err != nil || g.Tensors[0].Shape[0] != 1 || g.Tensors[1].Quant.Axis != 0 || len(g.Metadata) != 0 {
		t.Errorf("the original changed: %v", err)
	}
}

func TestMeta(t *testing.T) {
	var g Graph
	g.SetMeta("a", []byte("1"))
	g.SetMeta("b", []byte("2"))
	g.SetMeta("a", []byte("3"))
	if string(g.Meta("a")) != "3" || len(g.Metadata) != 2 || g.Meta("c") != nil {
		t.Errorf("%v", g.Metadata)
	}
}

// Numbers of the published schema, which names must not drift from.
func TestKindNames(t *testing.T) {
	for k, want := range map[Kind]string{Add: "ADD", Conv2D: "CONV_2D", Dequantize: "DEQUANTIZE", MaxPool2D: "MAX_POOL_2D", Softmax: "SOFTMAX",
		Custom: "CUSTOM", Mean: "MEAN", 80: "FAKE_QUANT", 99: "SQUARED_DIFFERENCE", Elu: "ELU", Quantize: "QUANTIZE", HardSwish: "HARD_SWISH",
		127: "PLACEHOLDER_FOR_GREATER_OP_CODES", 150: "GELU", 161: "RIGHT_SHIFT", 203: "DILATE", 209: "STABLEHLO_CASE", 999: "OPERATOR_999", -1: "OPERATOR_-1"} {
		if k.String() != want {
			t.Errorf("%d is %s, want %s", int32(k), k, want)
		}
		if back, err := KindByName(want); (err == nil) != (k >= 0 && k < 210) || err == nil && back != k {
			t.Errorf("%s is %d (%v)", want, back, err)
		}
	}
	if n := (&Op{Kind: Custom, Custom: "mine"}).Name(); n != "mine" {
		t.Error(n)
	}
}

// Each row of the table says what its readers need to hear.
func TestOperatorsAreWhole(t *testing.T) {
	for _, k := range Kinds() {
		o, _ := Known(k)
		if o.Min < 1 || o.Max < o.Min {
			t.Errorf("%s takes %d to %d inputs", k, o.Min, o.Max)
		}
		if o.Versions == (Versions{}) {
			t.Errorf("%s takes no type", k)
		}
		if o.Weights != nil && (o.MACs == nil || o.Weights.Bias != o.Max-1) {
			t.Errorf("%s has weights %+v of %d inputs, and counts multiply-adds: %v", k, o.Weights, o.Max, o.MACs != nil)
		}
		if o.Data >= o.Min || slices.Contains(o.ShapeOnly, o.Data) && o.Scale != ScaleNone {
			t.Errorf("%s computes with input %d", k, o.Data)
		}
		if o.Options == nil {
			continue
		}
		v := reflect.New(reflect.TypeOf(o.Options)).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Type() == reflect.TypeFor[Activation]() {
				f.SetInt(int64(Relu6Act))
				op := Op{Kind: k, Options: v.Interface().(Options)}
				if op.Fused() != Relu6Act || !strings.Contains(op.Options.String(), "RELU6") {
					t.Errorf("%T keeps its activation to itself: %q", o.Options, op.Options)
				}
			}
		}
	}
	if _, known := Known(Custom); known {
		t.Error("a custom operator is known")
	}
}

func TestShort(t *testing.T) {
	if got := Short("abcdefghij", 7) + Short("abc", 3); got != "abc…hijabc" {
		t.Error(got)
	}
}
