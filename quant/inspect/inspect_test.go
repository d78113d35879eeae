package inspect

import (
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/graph/flatfile/foreign"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

func TestDescribe(t *testing.T) {
	g := infertest.Network(1, model.Heads()...)
	card := model.Card{Name: "a \"test\"", Heads: model.Heads(), Temperature: []float32{1, 1, 1, 1.25}, SHA256: model.Fingerprint{Checkpoint: "c0ffee"}}
	b, err := card.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	g.SetMeta(model.CardKey, b)
	info := Describe(g, make([]byte, 1234))
	params := 0
	for _, c := range g.Tensors {
		if c.Const() {
			params += len(c.Data) / c.Type.Size()
		}
	}
	if info.Bytes != 1234 || len(info.Operators) != len(g.Ops) || info.Parameters != params {
		t.Errorf("%d bytes, %d operators, %d parameters", info.Bytes, len(info.Operators), info.Parameters)
	}
	text := info.Text()
	for _, want := range []string{"CONV_2D", "SOFTMAX", "face [1 50 50 1] float32", "checkpoint SHA-256: c0ffee", "head age: 0-3, 4-19", "temperature of age: 1.250"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	j, err := info.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Info
	if err := json.Unmarshal(j, &back); err != nil || back.MACs != info.MACs || back.Card == nil {
		t.Errorf("JSON: %v", err)
	}
}

func TestMACs(t *testing.T) {
	g := &graph.Graph{Tensors: []*graph.Tensor{{Shape: []int{1, 9, 9, 3}}, {Shape: []int{8, 5, 5, 3}}, {Shape: []int{1, 9, 9, 8}},
		{Shape: []int{1, 3, 3, 8}}, {Shape: []int{4, 648}}, {Shape: []int{1, 4}}}}
	for _, c := range []struct {
		kind    graph.Kind
		in, w   int
		out     int
		want    int64
		options graph.Options
	}{
		{graph.Conv2D, 0, 1, 2, 9 * 9 * 8 * 5 * 5 * 3, graph.ConvOptions{}},
		{graph.DepthwiseConv2D, 2, 3, 2, 9 * 9 * 8 * 3 * 3, graph.DepthwiseOptions{}},
		{graph.FullyConnected, 2, 4, 5, 4 * 648, graph.FullyConnectedOptions{}},
		{graph.Add, 2, 2, 2, 0, graph.ArithOptions{}},
	} {
		if got := g.MACs(&graph.Op{Kind: c.kind, Inputs: []int{c.in, c.w}, Outputs: []int{c.out}, Options: c.options}); got != c.want {
			t.Errorf("%s: %d, want %d", c.kind, got, c.want)
		}
	}
}

// A chain needs its two largest neighbours at once; a skip keeps the first
// alive.
func TestArena(t *testing.T) {
	tensor := func(n int) *graph.Tensor { return &graph.Tensor{Type: graph.Int8, Shape: []int{n}} }
	g := &graph.Graph{Tensors: []*graph.Tensor{tensor(640), tensor(1280), tensor(64), tensor(64)}, Inputs: []int{0}, Outputs: []int{3}}
	for i := range 3 {
		g.Ops = append(g.Ops, &graph.Op{Kind: graph.Elu, Inputs: []int{i}, Outputs: []int{i + 1}})
	}
	if got := arena(g); got != 640+1280 {
		t.Errorf("chain: %d", got)
	}
	g.Ops[2].Inputs = []int{2, 0}
	if got := arena(g); got != 640+1280+64 {
		t.Errorf("skip: %d", got)
	}
}

func TestOthersFiles(t *testing.T) {
	files := foreign.Files(t)
	i := slices.IndexFunc(files, func(path string) bool { return filepath.Base(path) == "xor_model.tflite" })
	if i < 0 {
		t.Fatalf("no xor_model.tflite among %q", files)
	}
	b, err := os.ReadFile(files[i])
	if err != nil {
		t.Fatal(err)
	}
	g, err := flatfile.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	info := Describe(g, b)
	if info.MACs != 2*8+8 || info.Parameters != 2*8+8+8+1 || info.Operators[1].Name != "TANH" {
		t.Errorf("%d multiply-adds, %d parameters\n%s", info.MACs, info.Parameters, info.Text())
	}
	if e := CheckEdgeTPU(g); e.Mapped != 0 || e.Operators[0].Change != "quantise with --mode int8 --io int8" {
		t.Errorf("%+v", e)
	}
}

// Graphviz, where it is installed, is not needed: the syntax is simple enough
// to be checked by its brackets, quotes and edges.
func TestDOT(t *testing.T) {
	g := infertest.Network(1, model.Emotion)
	g.Tensors[g.Inputs[0]].Name = "fa\"ce\n\\"
	dot := Describe(g, nil).DOT()
	if !strings.Contains(dot, `fa\"ce\n\\`) {
		t.Errorf("the name is not quoted: %s", dot)
	}
	if strings.Count(dot, "{") != 1 || !strings.HasSuffix(dot, "}\n") {
		t.Error("brackets")
	}
	if n := strings.Count(dot, "->"); n != len(g.Ops)+1 {
		t.Errorf("%d edges for %d operators in a row", n, len(g.Ops))
	}
}

// The picture is XML with a box for each node, none over another and all inside
// of it, and an edge for each tensor that is read.
func TestSVG(t *testing.T) {
	g := infertest.Network(1, model.Heads()...)
	g.Tensors[g.Inputs[0]].Name = "fa<ce & \"more\""
	type rect struct{ X, Y, Width, Height float64 }
	check := func(g *graph.Graph, boxes, edges int) {
		t.Helper()
		svg := Describe(g, nil).SVG()
		var pic struct {
			Width  float64 `xml:"width,attr"`
			Height float64 `xml:"height,attr"`
			Rects  []struct {
				X      float64 `xml:"x,attr"`
				Y      float64 `xml:"y,attr"`
				Width  string  `xml:"width,attr"`
				Height string  `xml:"height,attr"`
			} `xml:"rect"`
			Paths []struct{} `xml:"path"`
			Texts []string   `xml:"text"`
		}
		if err := xml.Unmarshal([]byte(svg), &pic); err != nil {
			t.Fatal(err)
		}
		if len(pic.Rects) != boxes+1 || len(pic.Paths) != edges || !slices.Contains(pic.Texts, "input "+g.Tensors[g.Inputs[0]].Name) {
			t.Errorf("%d boxes, %d edges, want %d and %d; text %q", len(pic.Rects)-1, len(pic.Paths), boxes, edges, pic.Texts)
		}
		var all []rect
		for _, r := range pic.Rects[1:] { // the first is the background
			w, _ := strconv.ParseFloat(r.Width, 64)
			h, _ := strconv.ParseFloat(r.Height, 64)
			b := rect{r.X, r.Y, w, h}
			if !(b.X >= 0 && b.Y >= 0 && w > 0 && h > 0 && b.X+w <= pic.Width && b.Y+h <= pic.Height) {
				t.Errorf("%+v is not inside %v by %v", b, pic.Width, pic.Height)
			}
			for _, o := range all {
				if b.X < o.X+o.Width && o.X < b.X+b.Width && b.Y < o.Y+o.Height && o.Y < b.Y+b.Height {
					t.Errorf("%+v is over %+v", b, o)
				}
			}
			all = append(all, b)
		}
	}
	// A chain that splits into four heads of two operators each.
	check(g, 1+len(g.Ops)+4, len(g.Ops)+4)
	// A skip: the addition reads two tensors.
	skip := int8Graph(graph.Conv2D, graph.Relu, graph.Add)
	for i, x := range skip.Tensors {
		x.Name = fmt.Sprint("t", i)
	}
	skip.Ops[2].Inputs = []int{2, 0}
	check(skip, 5, 5)
}

func int8Graph(kinds ...graph.Kind) *graph.Graph {
	g := &graph.Graph{Inputs: []int{0}}
	for range len(kinds) + 1 {
		g.Tensors = append(g.Tensors, &graph.Tensor{Name: "t", Type: graph.Int8, Shape: []int{1, 4, 4, 2}})
	}
	for i, k := range kinds {
		g.Ops = append(g.Ops, &graph.Op{Kind: k, Inputs: []int{i}, Outputs: []int{i + 1}})
	}
	g.Outputs = []int{len(kinds)}
	return g
}

// One partition: what comes after the first operator that does not map stays on
// the CPU, though the table has it.
func TestEdgeTPUPartition(t *testing.T) {
	e := CheckEdgeTPU(int8Graph(graph.Conv2D, graph.Relu, graph.Elu, graph.Conv2D))
	var tpu []bool
	for _, m := range e.Operators {
		tpu = append(tpu, m.TPU)
	}
	if !slices.Equal(tpu, []bool{true, true, false, false}) || e.Ends != 2 || e.Mapped != 2 {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(e.Verdict, "ReLU instead of ELU") || !strings.Contains(e.Verdict, "edgetpu_compiler") {
		t.Error(e.Verdict)
	}
	if e := CheckEdgeTPU(int8Graph(graph.Conv2D, graph.Relu6)); e.Mapped != 2 || e.Ends != 2 {
		t.Errorf("all map, but: %+v", e)
	}
}

func TestEdgeTPURules(t *testing.T) {
	if _, there := edgeRules[-1]; there {
		t.Error("a name in the table is not an operator's")
	}
	// constant gives the operator a second, third... input that is constant.
	constant := func(g *graph.Graph, shape []int, values ...int32) {
		x := &graph.Tensor{Name: "c", Type: graph.Int32, Shape: shape}
		for _, v := range values {
			x.Data = binary.LittleEndian.AppendUint32(x.Data, uint32(v))
		}
		g.Tensors = append(g.Tensors, x)
		g.Ops[0].Inputs = append(g.Ops[0].Inputs, len(g.Tensors)-1)
	}
	axes := func(a ...int32) func(*graph.Graph) {
		return func(g *graph.Graph) { constant(g, []int{len(a)}, a...) }
	}
	slice := func(stride int32, masks ...byte) func(*graph.Graph) {
		return func(g *graph.Graph) {
			for _, v := range []int32{0, 9, stride} {
				constant(g, []int{4}, v, v, v, v)
			}
			var o graph.StridedSliceOptions
			for i, m := range masks {
				*[]*int{&o.Begin, &o.End, &o.Ellipsis, &o.NewAxis}[i] = int(m)
			}
			g.Ops[0].Options = o
		}
	}
	out := func(shape ...int) func(*graph.Graph) {
		return func(g *graph.Graph) { g.Tensors[1].Shape = shape }
	}
	for name, c := range map[string]struct {
		kind   graph.Kind
		change func(g *graph.Graph)
		why    string // "" when it maps
	}{
		"float":                       {graph.Relu, func(g *graph.Graph) { g.Tensors[1].Type = graph.Float32 }, "of type float32"},
		"int16":                       {graph.Relu, func(g *graph.Graph) { g.Tensors[1].Type = graph.Int16 }, "of type int16"},
		"dynamic":                     {graph.Relu, func(g *graph.Graph) { g.Tensors[1].Signature = []int{1, -1, 4, 2} }, "not fixed"},
		"open batch":                  {graph.Relu, func(g *graph.Graph) { g.Tensors[1].Signature = []int{-1, 4, 4, 2} }, "open batch (-1)"},
		"lstm with an int16 state":    {kind("UNIDIRECTIONAL_SEQUENCE_LSTM"), func(g *graph.Graph) { constant(g, []int{2}, 0, 0); g.Tensors[2].Type = graph.Int16 }, ""},
		"resize":                      {graph.ResizeBilinear, out(1, 8, 8, 2), ""},
		"resize of one pixel":         {graph.ResizeBilinear, func(g *graph.Graph) { g.Tensors[0].Shape = []int{1, 1, 1, 2} }, "one pixel"},
		"batch":                       {graph.Relu, out(2, 4, 4, 2), "innermost"},
		"activation":                  {graph.MaxPool2D, func(g *graph.Graph) { g.Ops[0].Options = graph.PoolOptions{Activation: graph.ReluAct} }, "fused"},
		"dilated depthwise":           {graph.DepthwiseConv2D, func(g *graph.Graph) { g.Ops[0].Options = graph.DepthwiseOptions{DilationH: 2, DilationW: 2} }, ""},
		"uneven depthwise":            {graph.DepthwiseConv2D, func(g *graph.Graph) { g.Ops[0].Options = graph.DepthwiseOptions{DilationH: 2} }, "different dilations"},
		"uneven":                      {graph.Conv2D, func(g *graph.Graph) { g.Ops[0].Options = graph.ConvOptions{DilationH: 2} }, "different dilations"},
		"softmax":                     {graph.Softmax, func(*graph.Graph) {}, "one vector"},
		"softmax of a vector":         {graph.Softmax, func(g *graph.Graph) { g.Tensors[0].Shape = []int{1, 16000} }, ""},
		"softmax of many":             {graph.Softmax, func(g *graph.Graph) { g.Tensors[0].Shape = []int{1, 16001} }, "16000"},
		"dense":                       {graph.FullyConnected, func(*graph.Graph) {}, "more than one row"},
		"bias":                        {graph.Conv2D, func(g *graph.Graph) { g.Ops[0].Inputs = []int{0, 0, 1} }, "bias"},
		"unknown":                     {kind("FLOOR"), func(*graph.Graph) {}, "not in the compiler's table"},
		"concatenation of a constant": {graph.Concatenation, func(g *graph.Graph) { constant(g, []int{1}, 5) }, "constant"},
		"concatenation of zeros":      {graph.Concatenation, func(g *graph.Graph) { constant(g, []int{1}, 0) }, ""},
		"concatenation of three":      {graph.Concatenation, func(g *graph.Graph) { constant(g, []int{1}, 0); constant(g, []int{1}, 0) }, "constant"},
		"mean":                        {graph.Mean, axes(1, 2), ""},
		"mean over the batch":         {graph.Mean, axes(0), "over the batch"},
		"mean over the batch by -4":   {graph.Mean, axes(-4), "over the batch"},
		"mean over 2 channels":        {graph.Mean, axes(3), "multiple of 4"},
		"mean over 8 channels":        {graph.Mean, func(g *graph.Graph) { g.Tensors[0].Shape = []int{1, 4, 4, 8}; axes(-1)(g) }, ""},
		"mean over who knows":         {graph.Mean, func(*graph.Graph) {}, "not constant"},
		"sum":                         {kind("SUM"), axes(0), "over the batch"},
		"maximum":                     {kind("REDUCE_MAX"), axes(1), ""},
		"pad":                         {graph.Pad, func(g *graph.Graph) { constant(g, []int{4, 2}, 0, 0, 1, 1, 1, 1, 0, 2) }, ""},
		"pad the batch":               {graph.Pad, func(g *graph.Graph) { constant(g, []int{4, 2}, 0, 1, 0, 0, 0, 0, 0, 0) }, "pads the batch"},
		"split":                       {kind("SPLIT"), func(g *graph.Graph) { axes(3)(g); slices.Reverse(g.Ops[0].Inputs) }, ""},
		"split the batch":             {kind("SPLIT"), func(g *graph.Graph) { axes(0)(g); slices.Reverse(g.Ops[0].Inputs) }, "splits along the batch"},
		"pack": {kind("PACK"), func(g *graph.Graph) {
			g.Ops[0].Options = graph.PackOptions{N: 2, Axis: 3}
		}, ""},
		"pack the batch":      {kind("PACK"), func(*graph.Graph) {}, "packs along the batch"},
		"prelu":               {kind("PRELU"), func(g *graph.Graph) { constant(g, []int{4, 1, 2}, 0, 0, 0, 0, 0, 0, 0, 0) }, "alpha"},
		"prelu by channel":    {kind("PRELU"), func(g *graph.Graph) { constant(g, []int{1, 1, 2}, 0, 0) }, ""},
		"squeeze":             {kind("SQUEEZE"), out(4, 4, 2), ""},
		"squeeze inside":      {kind("SQUEEZE"), func(g *graph.Graph) { g.Tensors[0].Shape = []int{1, 4, 1, 2}; g.Tensors[1].Shape = []int{1, 4, 2} }, "in front"},
		"slice":               {kind("STRIDED_SLICE"), slice(1, 1, 1, 0, 0), ""},
		"slice by 2":          {kind("STRIDED_SLICE"), slice(2), "strides"},
		"slice of a new axis": {kind("STRIDED_SLICE"), slice(1, 0, 0, 0, 1), "new axis"},
	} {
		g := int8Graph(c.kind)
		c.change(g)
		m := CheckEdgeTPU(g).Operators[0]
		if m.TPU != (c.why == "") || !strings.Contains(m.Why, c.why) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// What turns a float input into integers stays on the CPU, and the rest maps
// all the same; what turns an output into floats ends the partition.
func TestEdgeTPUFloatInput(t *testing.T) {
	g := int8Graph(graph.Quantize, graph.Conv2D, graph.Dequantize)
	g.Tensors[0].Type, g.Tensors[3].Type = graph.Float32, graph.Float32
	e := CheckEdgeTPU(g)
	if e.Operators[0].TPU || !e.Operators[1].TPU || e.Operators[2].TPU || e.Ends != 2 || !strings.Contains(e.Verdict, "--io int8") {
		t.Errorf("%+v", e)
	}
	g = int8Graph(graph.Quantize, graph.Conv2D)
	g.Tensors[0].Type = graph.Float32
	if e := CheckEdgeTPU(g); e.Mapped != 1 || e.Ends != 2 || !strings.Contains(e.Verdict, "1 of 2 operators map") {
		t.Errorf("%+v", e)
	}
}

// A picture's CAST to float and the QUANTIZE behind it lead, as in MoveNet; one
// in the middle ends the partition.
func TestEdgeTPULeading(t *testing.T) {
	g := int8Graph(graph.Cast, graph.Quantize, graph.Conv2D, graph.Cast, graph.Quantize)
	g.Tensors[0].Type, g.Tensors[1].Type, g.Tensors[4].Type = graph.UInt8, graph.Float32, graph.Float32
	e := CheckEdgeTPU(g)
	var tpu []bool
	for _, m := range e.Operators {
		tpu = append(tpu, m.TPU)
	}
	if !slices.Equal(tpu, []bool{false, false, true, false, false}) || e.Ends != 3 {
		t.Errorf("%v, ends at %d: %s", tpu, e.Ends, e.Verdict)
	}
}

// What does not lie on the chip is said.
func TestEdgeTPUMemory(t *testing.T) {
	g := int8Graph(graph.Conv2D, graph.Relu)
	if e := CheckEdgeTPU(g); strings.Contains(e.Verdict, "MiB") {
		t.Error(e.Verdict)
	}
	for _, x := range g.Tensors {
		x.Shape = []int{1, 2048, 2048, 2}
	}
	if e := CheckEdgeTPU(g); !strings.Contains(e.Verdict, "16.0 MiB at once, and 8 MiB lie on the chip") {
		t.Error(e.Verdict)
	}
}

// A recurrent layer multiplies with its matrices at each step.
func TestRecurrentMACs(t *testing.T) {
	weights := func(r, c int) *graph.Tensor {
		return &graph.Tensor{Type: graph.Int8, Shape: []int{r, c}, Data: make([]byte, r*c)}
	}
	g := &graph.Graph{Tensors: []*graph.Tensor{{Type: graph.Int8, Shape: []int{1, 28, 28}}, weights(20, 28), weights(20, 20),
		{Type: graph.Int8, Shape: []int{1, 20}}, {Type: graph.Int8, Shape: []int{1, 28, 20}}}}
	if got := g.MACs(&graph.Op{Kind: kind("UNIDIRECTIONAL_SEQUENCE_LSTM"), Inputs: []int{0, 1, 2, -1, 3}, Outputs: []int{4}}); got != 28*(20*28+20*20) {
		t.Errorf("%d multiply-adds", got)
	}
}
