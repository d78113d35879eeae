package convert

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"mien/quant"
	"mien/quant/inspect"
	"mien/quant/report"
	"mien/quant/samples"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
)

func values(rng *rand.Rand, n int, scale float64) []byte {
	var b []byte
	for range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(rng.NormFloat64()*scale)))
	}
	return b
}

// network is a model of nobody's: two inputs, a convolution and a ReLU behind
// it, a sum, and two outputs, one a distribution.
func network() *graph.Graph {
	rng := rand.New(rand.NewPCG(1, 2))
	tensor := func(name string, shape ...int) *graph.Tensor { return &graph.Tensor{Name: name, Shape: shape} }
	g := &graph.Graph{Description: "a stranger's", Tensors: []*graph.Tensor{
		tensor("picture", 1, 6, 6, 3), tensor("side", 1, 6, 6, 4),
		{Name: "w", Shape: []int{4, 3, 3, 3}, Data: values(rng, 108, 0.3)}, {Name: "b", Shape: []int{4}, Data: values(rng, 4, 0.1)},
		tensor("conv", 1, 6, 6, 4), tensor("relu", 1, 6, 6, 4), tensor("sum", 1, 6, 6, 4),
		{Name: "axes", Type: graph.Int32, Shape: []int{2}, Data: []byte{1, 0, 0, 0, 2, 0, 0, 0}},
		tensor("mean", 1, 4), {Name: "fw", Shape: []int{5, 4}, Data: values(rng, 20, 2)}, tensor("logits", 1, 5), tensor("classes", 1, 5),
	}, Inputs: []int{0, 1}, Outputs: []int{6, 11}, Ops: []*graph.Op{
		{Kind: graph.Conv2D, Version: 1, Inputs: []int{0, 2, 3}, Outputs: []int{4}, Options: graph.ConvOptions{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}},
		{Kind: graph.Relu, Version: 1, Inputs: []int{4}, Outputs: []int{5}},
		{Kind: graph.Add, Version: 1, Inputs: []int{5, 1}, Outputs: []int{6}, Options: graph.ArithOptions{}},
		{Kind: graph.Mean, Version: 1, Inputs: []int{6, 7}, Outputs: []int{8}, Options: graph.ReduceOptions{}},
		{Kind: graph.FullyConnected, Version: 1, Inputs: []int{8, 9, -1}, Outputs: []int{10}, Options: graph.FullyConnectedOptions{}},
		{Kind: graph.Softmax, Version: 1, Inputs: []int{10}, Outputs: []int{11}, Options: graph.SoftmaxOptions{Beta: 1}},
	}}
	g.Signatures = []graph.Signature{{Key: "serve", Inputs: []graph.NamedTensor{{Name: "p", Tensor: 0}, {Name: "s", Tensor: 1}},
		Outputs: []graph.NamedTensor{{Name: "map", Tensor: 6}, {Name: "probabilities", Tensor: 11}}}}
	g.SetMeta("TFLITE_METADATA", []byte("what the maker says"))
	return g
}

func file(t *testing.T, g *graph.Graph) []byte {
	t.Helper()
	b, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func data(t *testing.T, g *graph.Graph, n int) quant.Samples {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	by := map[string]*samples.Array{}
	for _, at := range g.Inputs {
		x := g.Tensors[at]
		a := &samples.Array{Shape: append([]int{n}, x.Shape[1:]...), Data: make([]float32, n*x.Elems())}
		for i := range a.Data {
			a.Data[i] = float32(rng.NormFloat64())
		}
		by[x.Name] = a
	}
	s, err := samples.NewArrays(by, g, "made up")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every mode writes a file that keeps names, signatures and metadata; the int8
// one runs in both engines to within a step, near to float, and the report says
// what each output and layer costs.
func TestQuantiseAnyModel(t *testing.T) {
	original := file(t, network())
	var labels bytes.Buffer
	labels.Write(original)
	z := zip.NewWriter(&labels)
	z.SetOffset(int64(len(original)))
	w, err := z.Create("labels.txt")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "one\ntwo\n")
	z.Close()
	m, err := Read(labels.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	s := data(t, m.Graph, 40)
	calibration, measure := samples.Split(s)
	if calibration.Len() != 32 || measure.Len() != 8 {
		t.Fatalf("%d and %d samples", calibration.Len(), measure.Len())
	}
	for _, mode := range quant.Modes() {
		res, err := m.Quantise(context.Background(), Options{Recipe: quant.DefaultRecipe(mode), Calibration: calibration, Measure: measure, Engine: "auto"})
		if err != nil {
			if mode == quant.Int16x8 && strings.Contains(err.Error(), "int16") {
				continue // without the library nothing runs it
			}
			t.Fatalf("%s: %v", mode, err)
		}
		g, err := flatfile.Unmarshal(res.File)
		if err != nil {
			t.Fatal(err)
		}
		if string(g.Meta("TFLITE_METADATA")) != "what the maker says" || g.Description != "a stranger's" || len(g.Signatures) != 1 ||
			len(g.Signatures[0].Inputs) != 2 || len(g.Signatures[0].Outputs) != 2 || g.Signatures[0].Outputs[1].Tensor != g.Outputs[1] {
			t.Errorf("%s: %q, %+v", mode, g.Description, g.Signatures)
		}
		for k, name := range []string{"sum", "classes"} {
			if got := g.Tensors[g.Outputs[k]].Name; got != name {
				t.Errorf("%s: output %d is called %s", mode, k, got)
			}
		}
		carried, err := zip.NewReader(bytes.NewReader(res.File), int64(len(res.File)))
		if err != nil || len(carried.File) != 1 || carried.File[0].Name != "labels.txt" {
			t.Errorf("%s: the labels are lost: %v", mode, err)
		}
		rep := res.Report
		if len(rep.Outputs) != 2 || rep.Outputs[0].Top1 != nil || rep.Outputs[1].Top1 == nil || rep.Outputs[0].SNR < 25 {
			t.Errorf("%s: %+v", mode, rep.Outputs)
		}
		for _, o := range rep.Outputs {
			most := 1.0
			if o.Name == "classes" {
				most = 4 // a softmax makes more of one step of what it reads
			}
			if o.Steps != nil && *o.Steps > most {
				t.Errorf("%s: output %s: the engines differ by %v steps", mode, o.Name, *o.Steps)
			}
		}
		if mode == quant.Int8 && (len(rep.Layers) < 4 || rep.Layers[0].Gain < rep.Layers[len(rep.Layers)-1].Gain || !strings.Contains(rep.Verdict, "No limit was given")) {
			t.Errorf("%s: %+v, %s", mode, rep.Layers, rep.Verdict)
		}
	}
}

// Limits decide, and what is no limit is refused.
func TestLimits(t *testing.T) {
	m, err := Read(file(t, network()))
	if err != nil {
		t.Fatal(err)
	}
	s := data(t, m.Graph, 12)
	limit := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		l    report.Limits
		fail string
	}{
		{report.Limits{MinSNR: limit(5)}, ""},
		{report.Limits{MaxError: limit(100)}, ""},
		{report.Limits{MinSNR: limit(150)}, "--min-snr is 150"},
		{report.Limits{MaxError: limit(0)}, "--max-error is 0"},
	} {
		res, err := m.Quantise(context.Background(), Options{Recipe: quant.Recipe{Calibrator: quant.MinMax}, Calibration: s, Measure: s, Engine: "portable", Limits: c.l})
		if err != nil {
			t.Fatal(err)
		}
		err = res.Report.Check()
		if (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) || strings.HasPrefix(res.Report.Verdict, "Fail") != (c.fail != "") ||
			strings.HasPrefix(res.Report.Verdict, "Pass") != (c.fail == "") || res.Report.Passed == nil || *res.Report.Passed != (c.fail == "") {
			t.Errorf("%+v: %v, %s", c.l, err, res.Report.Verdict)
		}
	}
	if _, err := m.Quantise(context.Background(), Options{Recipe: quant.Recipe{}, Calibration: s, Limits: report.Limits{MinSNR: limit(math.NaN())}}); err == nil {
		t.Error("NaN is a limit")
	}
}

// A saved plan makes the same file again, and is refused for another model.
func TestPlanOfAnotherModel(t *testing.T) {
	m, err := Read(file(t, network()))
	if err != nil {
		t.Fatal(err)
	}
	res, err := m.Quantise(context.Background(), Options{Recipe: quant.DefaultRecipe(quant.Int8), Calibration: data(t, m.Graph, 12)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Quantise(context.Background(), Options{Plan: res.Plan})
	if err != nil || !bytes.Equal(again.File, res.File) {
		t.Errorf("the plan gives other bytes: %v", err)
	}
	g := network()
	g.Tensors[2].Data = bytes.Clone(g.Tensors[2].Data)
	g.Tensors[2].Data[0] ^= 1
	other, err := Read(file(t, g))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Quantise(context.Background(), Options{Plan: res.Plan}); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("%v", err)
	}
}

// What cannot be quantised is named, with what can be done.
func TestBadModels(t *testing.T) {
	for name, c := range map[string]struct {
		change func(g *graph.Graph)
		want   string
	}{
		"custom": {func(g *graph.Graph) {
			g.Ops[1] = &graph.Op{Kind: graph.Custom, Custom: "Magic", Inputs: []int{4}, Outputs: []int{5}}
		}, "Magic, is custom"},
		"control": {func(g *graph.Graph) { g.Ops[1] = &graph.Op{Kind: 119, Inputs: []int{4}, Outputs: []int{5}} }, "WHILE, is control flow"},
		"quantised": {func(g *graph.Graph) {
			g.Tensors[5].Type = graph.Int8
			g.Tensors[5].Quant = &graph.Quant{Scale: []float32{1}, Zero: []int64{0}}
		}, `"relu", is int8; start from its float model`},
		"unknown":  {func(g *graph.Graph) { g.Ops[1].Kind = 108 }, "COS"},
		"dynamic":  {func(g *graph.Graph) { g.Tensors[0].Shape[1] = 1; g.Tensors[0].Signature = []int{1, -1, 6, 3} }, "its size is not fixed"},
		"integers": {func(g *graph.Graph) { g.Tensors[1].Type = graph.Int32 }, `input "side" is int32`},
	} {
		g := network()
		c.change(g)
		if _, err := Read(file(t, g)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Read([]byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")); err == nil || !strings.Contains(err.Error(), "git lfs pull") {
		t.Errorf("%v", err)
	}
	if _, err := Read([]byte("hello")); err == nil {
		t.Error("no model is read")
	}
}

// shouting are samples one of which is a thousand times as large.
type shouting struct{ quant.Samples }

func (s shouting) Fill(i, k int, dst []float32) error {
	err := s.Samples.Fill(i, k, dst)
	if i == 3 {
		for j := range dst {
			dst[j] *= 1000
		}
	}
	return err
}

// One sample beyond all others spoils no range, and is named.
func TestOutliersDoNotCalibrate(t *testing.T) {
	m, err := Read(file(t, network()))
	if err != nil {
		t.Fatal(err)
	}
	s := data(t, m.Graph, 40)
	res, err := m.Quantise(context.Background(), Options{Recipe: quant.DefaultRecipe(quant.Int8), Calibration: shouting{s}, Measure: quant.Spread(s, 8), Engine: "portable", Brief: true})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(res.Plan.Notes, "\n")
	if !strings.Contains(notes, "1 of 40 samples did not calibrate") || !strings.Contains(notes, ": sample 3") || res.Plan.Faces != 39 {
		t.Errorf("calibrated with %d: %s", res.Plan.Faces, notes)
	}
	if res.Report.Outputs[0].SNR < 25 {
		t.Errorf("%+v", res.Report.Outputs[0])
	}
}

// An open batch goes into the file, shows, and is what the Edge TPU cannot take;
// FixBatch closes it.
func TestFixBatch(t *testing.T) {
	g := network()
	for _, x := range g.Tensors {
		if !x.Const() {
			x.Signature = append([]int{-1}, x.Shape[1:]...)
		}
	}
	for _, fix := range []bool{false, true} {
		m, err := Read(file(t, g))
		if err != nil {
			t.Fatal(err)
		}
		if fix {
			m.FixBatch()
		}
		res, err := m.Quantise(t.Context(), Options{Recipe: quant.DefaultRecipe(quant.Int8), Calibration: data(t, m.Graph, 30)})
		if err != nil {
			t.Fatal(err)
		}
		made, err := flatfile.Unmarshal(res.File)
		if err != nil {
			t.Fatal(err)
		}
		verdict, text := inspect.CheckEdgeTPU(made).Verdict, inspect.Describe(made, res.File).Text()
		if open := strings.Contains(verdict, "open batch"); open == fix {
			t.Errorf("fixed %v: %s", fix, verdict)
		}
		if open := strings.Contains(text, "picture [-1 6 6 3]"); open == fix {
			t.Errorf("fixed %v: %s", fix, text)
		}
	}
}
