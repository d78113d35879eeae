package inspect

import (
	"fmt"
	"slices"
	"strings"

	"mien/quant/graph"
)

// Mapping says what the Edge TPU compiler would do with an operator.
type Mapping struct {
	Index  int    `json:"index"`
	Op     string `json:"operator"`
	Output string `json:"output"`
	TPU    bool   `json:"tpu"`
	Why    string `json:"why,omitempty"`    // it does not map
	Change string `json:"change,omitempty"` // what to do about it
}

// EdgeTPU is what the Edge TPU compiler would make of a model.
type EdgeTPU struct {
	Operators []Mapping `json:"operators"`
	Mapped    int       `json:"mapped"`
	// Ends is the index of the first operator that stays on the CPU; behind
	// it everything does. It is the number of operators when all map.
	Ends    int    `json:"partition_ends"`
	Verdict string `json:"verdict"`
}

// rule is a line of the compiler's table: what it demands beside 8 bits.
type rule func(g *graph.Graph, o *graph.Op) (why string)

// edgeRules is the table of operators that the compiler maps, with its
// conditions. Source: coral.ai/docs/edgetpu/models-intro, "Supported
// operations", as of compiler version 16.
var edgeRules = map[graph.Kind]rule{
	graph.Add:                nil,
	graph.AveragePool2D:      noActivation,
	graph.Concatenation:      noActivation,
	graph.Conv2D:             sameDilation,
	graph.DepthwiseConv2D:    noDilation,
	graph.FullyConnected:     plainDense,
	graph.Logistic:           nil,
	graph.MaxPool2D:          noActivation,
	graph.Mean:               spatialMean,
	graph.Mul:                nil,
	graph.Pad:                nil,
	graph.Quantize:           nil,
	graph.Relu:               nil,
	graph.Relu6:              nil,
	graph.Reshape:            nil,
	graph.Softmax:            vectorOnly,
	kind("L2_NORMALIZATION"): nil, kind("LSTM"): nil, kind("MAXIMUM"): nil, kind("MINIMUM"): nil,
	kind("PRELU"): nil, kind("REDUCE_MAX"): nil, kind("REDUCE_MIN"): nil, kind("RELU_N1_TO_1"): nil,
	kind("RESIZE_BILINEAR"): nil, kind("RESIZE_NEAREST_NEIGHBOR"): nil, kind("RSQRT"): nil, kind("SLICE"): nil,
	kind("SPACE_TO_DEPTH"): nil, kind("SPLIT"): nil, kind("SQUARED_DIFFERENCE"): nil, kind("SQUEEZE"): nil,
	kind("STRIDED_SLICE"): nil, kind("SUB"): nil, kind("SUM"): nil, kind("TANH"): nil, kind("TRANSPOSE"): nil,
	kind("TRANSPOSE_CONV"): nil, kind("EXPAND_DIMS"): nil,
}

func kind(name string) graph.Kind {
	k, err := graph.KindByName(name)
	if err != nil {
		return -1 // a test finds it
	}
	return k
}

func noActivation(_ *graph.Graph, o *graph.Op) string {
	switch v := o.Options.(type) {
	case graph.PoolOptions:
		if v.Activation != graph.None {
			return "has a fused activation"
		}
	case graph.ConcatOptions:
		if v.Activation != graph.None {
			return "has a fused activation"
		}
	}
	return ""
}

func sameDilation(_ *graph.Graph, o *graph.Op) string {
	if v, ok := o.Options.(graph.ConvOptions); ok && max(v.DilationH, 1) != max(v.DilationW, 1) {
		return "has different dilations in height and width"
	}
	return ""
}

func noDilation(_ *graph.Graph, o *graph.Op) string {
	if v, ok := o.Options.(graph.DepthwiseOptions); ok && (v.DilationH > 1 || v.DilationW > 1) {
		return "is dilated"
	}
	return ""
}

func plainDense(g *graph.Graph, o *graph.Op) string {
	if v, ok := o.Options.(graph.FullyConnectedOptions); ok && v.Shuffled {
		return "has shuffled weights"
	}
	shape := g.Tensors[o.Outputs[0]].Shape
	if n := len(shape); n > 1 && g.Tensors[o.Outputs[0]].Elems() != shape[n-1] {
		return "gives more than one row"
	}
	return ""
}

func spatialMean(g *graph.Graph, o *graph.Op) string {
	if len(o.Inputs) < 2 || o.Inputs[1] < 0 || !g.Tensors[o.Inputs[1]].Const() {
		return "has axes that are not constant"
	}
	d := g.Tensors[o.Inputs[1]].Data
	for i := 0; i+4 <= len(d); i += 4 {
		if a := int(d[i]); a != 1 && a != 2 {
			return "is over other axes than height and width"
		}
	}
	return ""
}

func vectorOnly(g *graph.Graph, o *graph.Op) string {
	t := g.Tensors[o.Inputs[0]]
	if n := len(t.Shape); n == 0 || t.Elems() != t.Shape[n-1] || t.Elems() > 16000 {
		return "is not over one vector of at most 16000 values"
	}
	return ""
}

// CheckEdgeTPU says which operators the Edge TPU compiler would map. The
// compiler cuts the model once: everything from the first operator that does
// not map runs on the CPU, even what the table has.
func CheckEdgeTPU(g *graph.Graph) *EdgeTPU {
	out := &EdgeTPU{Ends: len(g.Ops)}
	var changes []string
	for i, o := range g.Ops {
		m := Mapping{Index: i, Op: o.Name()}
		if len(o.Outputs) > 0 {
			m.Output = g.Tensors[o.Outputs[0]].Name
		}
		m.Why, m.Change = edgeProblem(g, o)
		switch {
		case m.Why != "" && i < out.Ends:
			out.Ends = i
		case m.Why == "" && i > out.Ends:
			m.Why = fmt.Sprintf("is behind the end of the partition (operator %d)", out.Ends)
		}
		m.TPU = m.Why == ""
		if m.TPU {
			out.Mapped++
		}
		if m.Change != "" && !slices.Contains(changes, m.Change) {
			changes = append(changes, m.Change)
		}
		out.Operators = append(out.Operators, m)
	}
	tail := "Compiling needs Google's edgetpu_compiler (x86-64 Debian), which does the final check; without compiling nothing runs on the TPU."
	switch {
	case len(g.Ops) == 0:
		out.Verdict = "The model has no operators."
	case out.Mapped == len(g.Ops):
		out.Verdict = "Every operator should map to the Edge TPU. " + tail
	default:
		o := out.Operators[out.Ends]
		out.Verdict = fmt.Sprintf("%d of %d operators map; the partition ends at operator %d (%s), which %s. ", out.Mapped, len(g.Ops), o.Index, o.Op, o.Why)
		if len(changes) > 0 {
			out.Verdict += "To change: " + strings.Join(changes, "; ") + ". "
		}
		out.Verdict += tail
	}
	return out
}

// edgeProblem says why an operator cannot map, whatever comes before it.
func edgeProblem(g *graph.Graph, o *graph.Op) (why, change string) {
	if o.Kind == graph.Custom && o.Custom == "edgetpu-custom-op" {
		return "", "" // compiled already
	}
	if o.Kind == graph.Elu {
		return "is not in the compiler's table", "train a variant of the network with ReLU instead of ELU"
	}
	check, known := edgeRules[o.Kind]
	if !known {
		return "is not in the compiler's table", fmt.Sprintf("replace %s", o.Name())
	}
	for _, i := range slices.Concat(o.Inputs, o.Outputs) {
		if i < 0 {
			continue
		}
		t := g.Tensors[i]
		switch {
		case t.Type != graph.Int8 && t.Type != graph.UInt8 && t.Type != graph.Int32 && o.Kind != graph.Quantize:
			return fmt.Sprintf("has %s of type %s", t.Name, t.Type), "quantise with --mode int8 --io int8"
		case slices.Contains(t.Signature, -1):
			return fmt.Sprintf("has %s of a size that is not fixed", t.Name), "fix the sizes"
		case !t.Const() && outer(t.Shape) != 1:
			return fmt.Sprintf("has %s %v: only the three innermost sizes may be above 1", t.Name, t.Shape), "use a batch of 1"
		}
	}
	if len(o.Inputs) > 2 && o.Inputs[2] >= 0 && !g.Tensors[o.Inputs[2]].Const() {
		return "has a bias that is not constant", "make the bias constant"
	}
	if check != nil {
		if why = check(g, o); why != "" {
			return why, fmt.Sprintf("change %s so that it does not", o.Name())
		}
	}
	return "", ""
}

// outer multiplies all but the three innermost sizes.
func outer(shape []int) int {
	n := 1
	for _, d := range shape[:max(len(shape)-3, 0)] {
		n *= d
	}
	return n
}
