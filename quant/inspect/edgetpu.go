package inspect

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"mien/runtime/graph"
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
	Ends int `json:"partition_ends"`
	// Activations is about how many bytes are computed at once.
	Activations int64  `json:"activation_bytes"`
	Verdict     string `json:"verdict"`
}

// onChip is the Edge TPU's memory in bytes. Source: "Edge TPU compiler",
// coral.ai/docs/edgetpu/compiler, parameter data caching.
const onChip = 8 << 20

// rule is what the compiler's table demands of an operator beside 8 bits: it
// says what is against it, or "".
type rule func(g *graph.Graph, o *graph.Op) (why string)

// edgeRules is the table of operators that the compiler maps, with its
// conditions: "Supported operations and limitations" in Google's "TensorFlow
// models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro, for compiler 16).
// It was checked line by line against the copies of that table that Axis
// publishes for its ARTPEC-7 cameras (developer.axis.com, "Supported ops": all up
// to RESIZE_BILINEAR) and, for what comes after in the alphabet, of compiler 2
// (github.com/dgist-datalab/Datalab_Intern, Edge_TPU). Added since: TRANSPOSE
// and TRANSPOSE_CONV, which users of compiler 16 show mapped or quote from the
// table in issues 433, 684 and 686 of github.com/google-coral/edgetpu. For
// RSQRT, SUM, SQUARED_DIFFERENCE and that SPLIT may not be along the batch no
// copy was found.
//
// Two conditions are the compiler's to judge: it may leave RESHAPE and
// RESIZE_* on the CPU for their sizes.
var edgeRules = map[graph.Kind]rule{
	graph.Add:             nil,
	graph.AveragePool2D:   noActivation,
	graph.Concatenation:   concatenation,
	graph.Conv2D:          sameDilation,
	graph.DepthwiseConv2D: sameDilation,
	graph.FullyConnected:  plainDense,
	graph.Logistic:        nil,
	graph.MaxPool2D:       noActivation,
	graph.Mean:            mean,
	graph.Mul:             nil,
	graph.Pad:             noBatchPad,
	graph.Quantize:        nil,
	graph.Relu:            nil,
	graph.Relu6:           nil,
	graph.Reshape:         nil,
	graph.Softmax:         vectorOnly,

	kind("EXPAND_DIMS"):                  nil,
	kind("L2_NORMALIZATION"):             nil,
	kind("LSTM"):                         nil,
	kind("MAXIMUM"):                      nil,
	kind("MINIMUM"):                      nil,
	kind("PACK"):                         pack,
	kind("PRELU"):                        vectorAlpha,
	kind("REDUCE_MAX"):                   noBatchAxis,
	kind("REDUCE_MIN"):                   noBatchAxis,
	kind("RELU_N1_TO_1"):                 nil,
	kind("RESIZE_BILINEAR"):              onePixel,
	kind("RESIZE_NEAREST_NEIGHBOR"):      nil,
	kind("RSQRT"):                        nil,
	kind("SLICE"):                        nil,
	kind("SPACE_TO_DEPTH"):               nil,
	kind("SPLIT"):                        split,
	kind("SQUARED_DIFFERENCE"):           nil,
	kind("SQUEEZE"):                      leadingOnes,
	kind("STRIDED_SLICE"):                plainSlice,
	kind("SUB"):                          nil,
	kind("SUM"):                          noBatchAxis,
	kind("TANH"):                         nil,
	kind("TRANSPOSE"):                    nil,
	kind("TRANSPOSE_CONV"):               nil,
	kind("UNIDIRECTIONAL_SEQUENCE_LSTM"): nil,
}

func kind(name string) graph.Kind {
	k, err := graph.KindByName(name)
	if err != nil {
		return -1 // a test finds it
	}
	return k
}

// input returns an operator's input of that place, nil when there is none.
func input(g *graph.Graph, o *graph.Op, k int) *graph.Tensor {
	if k >= len(o.Inputs) || o.Inputs[k] < 0 {
		return nil
	}
	return g.Tensors[o.Inputs[k]]
}

// ints returns the values of an int32 constant, and false when t is none.
func ints(t *graph.Tensor) ([]int, bool) {
	if t == nil || !t.Const() || t.Type != graph.Int32 {
		return nil, false
	}
	var out []int
	for i := 0; i+4 <= len(t.Data); i += 4 {
		out = append(out, int(int32(binary.LittleEndian.Uint32(t.Data[i:]))))
	}
	return out, true
}

// rank is the number of dimensions of an operator's first input.
func rank(g *graph.Graph, o *graph.Op) int {
	if t := input(g, o, 0); t != nil {
		return len(t.Shape)
	}
	return 0
}

// isBatch says whether an axis, which may count from the end, is the first of
// four.
func isBatch(axis, rank int) bool { return rank >= 4 && (axis == 0 || axis == -rank) }

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

func concatenation(g *graph.Graph, o *graph.Op) string {
	if why := noActivation(g, o); why != "" {
		return why
	}
	for k := range o.Inputs {
		t := input(g, o, k)
		if t == nil || !t.Const() {
			continue
		}
		zero := byte(0)
		if t.Quant != nil && len(t.Quant.Zero) > 0 {
			zero = byte(t.Quant.Zero[0])
		}
		if len(o.Inputs) != 2 || slices.ContainsFunc(t.Data, func(b byte) bool { return b != zero }) {
			return "joins a constant that is not zeros, or more than one other input with it"
		}
	}
	return ""
}

func sameDilation(_ *graph.Graph, o *graph.Op) string {
	h, w := 1, 1
	switch v := o.Options.(type) {
	case graph.ConvOptions:
		h, w = v.DilationH, v.DilationW
	case graph.DepthwiseOptions:
		h, w = v.DilationH, v.DilationW
	}
	if max(h, 1) != max(w, 1) {
		return "has different dilations in height and width"
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

func mean(g *graph.Graph, o *graph.Op) string {
	if why := noBatchAxis(g, o); why != "" {
		return why
	}
	axes, _ := ints(input(g, o, 1))
	n := rank(g, o)
	for _, a := range axes {
		if c := g.Tensors[o.Inputs[0]].Shape[n-1]; (a == n-1 || a == -1) && c%4 != 0 {
			return fmt.Sprintf("is over %d channels, which is no multiple of 4", c)
		}
	}
	return ""
}

func noBatchAxis(g *graph.Graph, o *graph.Op) string {
	axes, ok := ints(input(g, o, 1))
	if !ok {
		return "has axes that are not constant"
	}
	for _, a := range axes {
		if isBatch(a, rank(g, o)) {
			return "is over the batch"
		}
	}
	return ""
}

func noBatchPad(g *graph.Graph, o *graph.Op) string {
	pads, ok := ints(input(g, o, 1))
	if !ok {
		return "pads by what is not constant"
	}
	if rank(g, o) >= 4 && len(pads) >= 2 && (pads[0] != 0 || pads[1] != 0) {
		return "pads the batch"
	}
	return ""
}

func pack(g *graph.Graph, o *graph.Op) string {
	axis := 0
	if v, ok := o.Options.(graph.PackOptions); ok {
		axis = v.Axis
	}
	if isBatch(axis, rank(g, o)+1) {
		return "packs along the batch"
	}
	return ""
}

func split(g *graph.Graph, o *graph.Op) string {
	axis, ok := ints(input(g, o, 0))
	if t := input(g, o, 1); !ok || len(axis) != 1 || t == nil || isBatch(axis[0], len(t.Shape)) {
		return "splits along the batch, or along what is not constant"
	}
	return ""
}

func vectorAlpha(g *graph.Graph, o *graph.Op) string {
	if a := input(g, o, 1); a == nil || len(a.Shape) == 0 || a.Elems() != a.Shape[len(a.Shape)-1] {
		return "has an alpha that is not one value for each channel"
	}
	return ""
}

func leadingOnes(g *graph.Graph, o *graph.Op) string {
	in, out := input(g, o, 0), g.Tensors[o.Outputs[0]]
	if in == nil || !slices.Equal(in.Shape[len(in.Shape)-min(len(out.Shape), len(in.Shape)):], out.Shape) {
		return "drops a size that is not in front of all others"
	}
	return ""
}

func plainSlice(g *graph.Graph, o *graph.Op) string {
	strides, ok := ints(input(g, o, 3))
	if !ok || slices.ContainsFunc(strides, func(s int) bool { return s != 1 }) {
		return "has strides other than 1"
	}
	if v, ok := o.Options.(graph.StridedSliceOptions); ok && v.Ellipsis|v.NewAxis != 0 {
		return "has an ellipsis or a new axis"
	}
	return ""
}

// onePixel: of Coral's deeplabv3_mnv2_dm05_pascal_quant the compiler leaves the
// RESIZE_BILINEAR that spreads one pixel over 33x33 on the CPU.
func onePixel(g *graph.Graph, o *graph.Op) string {
	if in := input(g, o, 0); in != nil && len(in.Shape) == 4 && in.Shape[1]*in.Shape[2] == 1 && g.Tensors[o.Outputs[0]].Elems() > in.Elems() {
		return "spreads one pixel"
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
// compiler cuts the model once, unless its -a is given: everything from the first
// operator that does not map runs on the CPU, even what the table has. What
// brings an input into integers, CAST and QUANTIZE, stays on the CPU without
// ending anything.
func CheckEdgeTPU(g *graph.Graph) *EdgeTPU {
	out := &EdgeTPU{Ends: len(g.Ops), Activations: arena(g)}
	var changes []string
	lead := leading(g)
	for i, o := range g.Ops {
		m := Mapping{Index: i, Op: o.Name()}
		if len(o.Outputs) > 0 {
			m.Output = g.Tensors[o.Outputs[0]].Name
		}
		m.Why, m.Change = edgeProblem(g, o)
		switch {
		case lead[o]:
			if m.Why == "" && o.Kind == graph.Cast {
				m.Why = "brings an input into integers"
			}
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
	tail := ""
	if out.Activations > onChip {
		tail = fmt.Sprintf("What it computes needs about %.1f MiB at once, and 8 MiB lie on the chip, the weights' part among them: the compiler may cut the model or refuse it; take smaller pictures. ", float64(out.Activations)/(1<<20))
	}
	tail += "Compiling needs Google's edgetpu_compiler (x86-64 Debian), which does the final check; without compiling nothing runs on the TPU."
	switch {
	case len(g.Ops) == 0:
		out.Verdict = "The model has no operators."
	case out.Mapped == len(g.Ops):
		out.Verdict = "Every operator should map to the Edge TPU. " + tail
	case out.Ends == len(g.Ops):
		out.Verdict = fmt.Sprintf("%d of %d operators map; the rest turns the model's float input into integers on the CPU. To change: %s. ",
			out.Mapped, len(g.Ops), strings.Join(changes, "; ")) + tail
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
		return "is not in the compiler's table", "train a network with ReLU instead of ELU, such as edge (mien train --set arch=edge)"
	}
	if floatInput(g, o) {
		return "reads a float input", "quantise with --io int8"
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
		case t.Type == graph.Int16 && recurrent(o):
			// Cell states and layer norms are int16 in an int8 LSTM.
		case t.Type != graph.Int8 && t.Type != graph.UInt8 && t.Type != graph.Int32:
			return fmt.Sprintf("has %s of type %s", t.Name, t.Type), "quantise with --mode int8 --io int8"
		case len(t.Signature) > 0 && t.Signature[0] == -1 && !slices.Contains(t.Signature[1:], -1):
			return fmt.Sprintf("has %s of an open batch (-1)", t.Name), "fix the batch (mien quantize MODEL.tflite --batch 1)"
		case slices.Contains(t.Signature, -1):
			return fmt.Sprintf("has %s of a size that is not fixed", t.Name), "fix the sizes"
		case !t.Const() && outer(t.Shape) != 1:
			return fmt.Sprintf("has %s %v: only the three innermost sizes may be above 1", t.Name, t.Shape), "use a batch of 1"
		}
	}
	if bias := input(g, o, 2); bias != nil && !bias.Const() && slices.Contains([]graph.Kind{graph.Conv2D, graph.DepthwiseConv2D, graph.FullyConnected}, o.Kind) {
		return "has a bias that is not constant", "make the bias constant"
	}
	if check != nil {
		if why = check(g, o); why != "" {
			return why, fmt.Sprintf("change %s so that it does not", o.Name())
		}
	}
	return "", ""
}

// recurrent says whether an operator is an LSTM.
func recurrent(o *graph.Op) bool {
	return o.Kind == kind("LSTM") || o.Kind == kind("UNIDIRECTIONAL_SEQUENCE_LSTM")
}

// leading are the operators that bring the model's inputs into integers: those
// that read a float, or turn an input into one, before anything is computed. Of
// Coral's movenet_single_pose_lightning_ptq these are CAST and QUANTIZE.
func leading(g *graph.Graph) map[*graph.Op]bool {
	out := map[*graph.Op]bool{}
	from := slices.Clone(g.Inputs)
	for _, o := range g.Ops {
		if o.Kind != graph.Cast && o.Kind != graph.Quantize || !slices.Contains(from, o.Inputs[0]) {
			continue
		}
		if o.Kind == graph.Cast || g.Tensors[o.Inputs[0]].Type == graph.Float32 {
			out[o] = true
			from = append(from, o.Outputs...)
		}
	}
	return out
}

// floatInput says whether an operator turns a float input of the model into
// integers.
func floatInput(g *graph.Graph, o *graph.Op) bool {
	t := input(g, o, 0)
	return o.Kind == graph.Quantize && t != nil && t.Type == graph.Float32 && slices.Contains(g.Inputs, o.Inputs[0])
}

// outer multiplies all but the three innermost sizes.
func outer(shape []int) int {
	n := 1
	for _, d := range shape[:max(len(shape)-3, 0)] {
		n *= d
	}
	return n
}
