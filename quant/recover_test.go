package quant

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/model"
	"mien/runtime/portable"
	"mien/runtime/tflite"
)

// Every mode's file loads and runs in the TensorFlow Lite library, with its own
// kernels and with XNNPACK, and answers as the float file does.
func TestEveryRecipeRunsInTheLibrary(t *testing.T) {
	faces := testFaces(6)
	float := outputs(t, marshal(t, testGraph()), testGraph(), faces, true)
	for _, r := range recipes() {
		res := build(t, testGraph(), r)
		file := marshal(t, res.Graph)
		for _, builtin := range []bool{true, false} {
			got := outputs(t, file, res.Graph, faces, builtin)
			for i := range float {
				for k := range float[i] {
					if d := math.Abs(float64(float[i][k] - got[i][k])); d > 0.08 {
						t.Errorf("%s, builtin %v: face %d, value %d: %v, in float %v", r, builtin, i, k, got[i][k], float[i][k])
					}
				}
			}
		}
	}
}

// outputs runs faces in the library and returns all heads' probabilities.
func outputs(t *testing.T, file []byte, g *graph.Graph, faces Faces, builtin bool) [][]float32 {
	t.Helper()
	n, err := tflite.NewRunner(file, tflite.Options{Builtin: builtin})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var out [][]float32
	for _, f := range faces {
		in := n.Input(0)
		switch g.Tensors[g.Inputs[0]].Type {
		case graph.Float32:
			v := make([]float32, len(f))
			for i, p := range f {
				v[i] = float32(p) / 255
			}
			copy(in, floatBytes(v))
		case graph.Int8:
			for i, p := range f {
				in[i] = p ^ 0x80
			}
		}
		if err := n.Run(); err != nil {
			t.Fatal(err)
		}
		var all []float32
		for i, at := range g.Outputs {
			tensor := *g.Tensors[at]
			tensor.Data = n.Output(i)
			v, err := RealValues(&tensor)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v...)
		}
		out = append(out, all)
	}
	return out
}

func TestEqualisedGraphComputesTheSame(t *testing.T) {
	g := testGraph()
	stats, err := Calibrate(context.Background(), g, testFaces(8), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pairs := PlanEqualisation(g, stats)
	if len(pairs) == 0 {
		t.Fatal("nothing to equalise")
	}
	for _, p := range pairs {
		if g.Tensors[layer(g, p.From).Outputs[0]].Name != p.From {
			t.Errorf("%s is not a layer", p.From)
		}
		if next := reader(g, layer(g, p.From).Outputs[0]); next.Kind == graph.Elu {
			t.Errorf("%s is equalised through an ELU", p.From)
		}
	}
	e, err := Equalise(g, pairs)
	if err != nil {
		t.Fatal(err)
	}
	diffs, err := Compare(context.Background(), g, e, nil, testFaces(8), Options{})
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]bool{}
	for _, p := range pairs {
		changed[p.From] = true
	}
	heads := 0
	for _, d := range diffs {
		if slices.Contains(model.Names(model.Heads()), d.Name) {
			heads++
			if d.SNR() < 90 {
				t.Errorf("%s differs: %.1f dB", d.Name, d.SNR())
			}
		}
		if changed[d.Name] && d.SNR() > 60 {
			t.Errorf("%s was to be rescaled and is the same", d.Name)
		}
	}
	if heads != 4 {
		t.Errorf("%d heads compared", heads)
	}
}

// AdaRound's error on faces that it did not see is below that of rounding to
// the nearest.
func TestAdaRoundLowersTheError(t *testing.T) {
	snr := func(r Recipe) float64 {
		g := testGraph()
		res, err := Build(context.Background(), g, testFaces(64)[:48], r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		probe, err := Computable(res.Graph)
		if err != nil {
			t.Fatal(err)
		}
		diffs, err := Compare(context.Background(), g, probe, nil, testFaces(64)[48:], Options{})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, d := range diffs {
			if strings.HasPrefix(d.Name, "conv") || strings.HasSuffix(d.Name, "/logits") {
				sum += d.SNR()
			}
		}
		if sum == 0 {
			for _, d := range diffs {
				sum += min(d.SNR(), 100)
			}
		}
		return sum
	}
	near, ada := snr(Recipe{Mode: Int16x8}), snr(Recipe{Mode: Int16x8, AdaRound: true})
	if ada <= near {
		t.Errorf("summed SNR %.1f dB, %.1f dB to the nearest", ada, near)
	}
}

func TestCorrectBiasTakesMeanErrorsOut(t *testing.T) {
	err := func(r Recipe) float64 {
		g := testGraph()
		res := build(t, g, r)
		var names []string
		for _, o := range g.Ops {
			if weighted(o) {
				names = append(names, g.Tensors[o.Outputs[0]].Name)
			}
		}
		want, err := channelMeans(context.Background(), g, names, res.Plan.Floors(), testFaces(24), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := channelMeans(context.Background(), res.Graph, names, nil, testFaces(24), Options{})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := range want {
			for c := range want[i] {
				sum += math.Abs(want[i][c]-got[i][c]) / float64(res.Plan.Tensor(names[i]).Scale[0])
			}
		}
		return sum
	}
	if plain, corrected := err(Recipe{}), err(Recipe{CorrectBias: true}); corrected > 0.7*plain {
		t.Errorf("mean errors sum up to %.2f steps, %.2f without correction", corrected, plain)
	}
}

// What an ELU gives most, -1, has an integer of its own.
func TestEluHasAnIntegerForMinusOne(t *testing.T) {
	res := build(t, testGraph(), Recipe{})
	n := 0
	for _, o := range res.Graph.Ops {
		name := res.Graph.Tensors[o.Outputs[0]].Name
		if o.Kind != graph.Elu || res.Stats.Tensors[name].Min > -0.9 {
			continue // or none of its units is ever off
		}
		n++
		q := res.Graph.Tensors[o.Outputs[0]].Quant
		k := -1/float64(q.Scale[0]) + float64(q.Zero[0])
		if math.Abs(k-math.Round(k)) > 1e-4 || math.Round(k) != -128 {
			t.Errorf("-1 is integer %v", k)
		}
	}
	if n == 0 {
		t.Fatal("no ELU")
	}
}

// Weights that are rounded the other way are the second nearest, and a plan
// says which.
func TestRoundTo(t *testing.T) {
	for _, c := range []struct {
		x     float64
		other bool
		want  float64
	}{{1.4, false, 1}, {1.4, true, 2}, {-1.4, true, -2}, {1.6, true, 1}, {2.5, false, 3}, {-2.5, false, -3}, {300, false, 127}, {-300, true, -127}} {
		if got := roundTo(c.x, c.other, -127, 127); got != c.want {
			t.Errorf("roundTo(%v, %v) = %v, want %v", c.x, c.other, got, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	bits := make([]byte, 100)
	for i := range bits {
		bits[i] = byte(rng.Uint32())
	}
	back, err := unpackBits(packBits(bits), 800)
	if err != nil || string(back) != string(bits) {
		t.Errorf("bits: %v", err)
	}
	if _, err := unpackBits(packBits(bits), 801); err == nil {
		t.Error("too few bits are taken")
	}
}

// Half precision agrees with what the portable engine makes of it, and is the
// nearest.
func TestHalf(t *testing.T) {
	g := &graph.Graph{Tensors: []*graph.Tensor{
		{Name: "h", Type: graph.Float16, Shape: []int{1}}, {Name: "x", Shape: []int{1}}, {Name: "y", Shape: []int{1}}, {Name: "z", Shape: []int{1}}},
		Ops: []*graph.Op{{Kind: graph.Dequantize, Inputs: []int{0}, Outputs: []int{1}},
			{Kind: graph.Add, Inputs: []int{1, 2}, Outputs: []int{3}, Options: graph.ArithOptions{}}}, Inputs: []int{2}, Outputs: []int{3}}
	decode := func(h uint16) float32 {
		g.Tensors[0].Data = []byte{byte(h), byte(h >> 8)}
		n, err := portable.Load(g, portable.Options{Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		s := n.NewSession()
		defer s.Close()
		s.Run()
		return s.Float32(3)[0]
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		x := float32(rng.NormFloat64() * math.Exp(rng.Float64()*30-18))
		h := half(x)
		got := decode(h)
		for _, near := range []uint16{h - 1, h + 1} {
			if near&0x7c00 == 0x7c00 || near&0x8000 != h&0x8000 {
				continue
			}
			if other := decode(near); math.Abs(float64(other-x)) < math.Abs(float64(got-x)) {
				t.Errorf("%g became %g, but %g is nearer", x, got, other)
			}
		}
	}
	if half(1e6) != 0x7bff || half(-1e6) != 0xfbff || half(0) != 0 {
		t.Errorf("%#x %#x", half(1e6), half(-1e6))
	}
}

func TestErrors(t *testing.T) {
	g := testGraph()
	for _, c := range []struct {
		r    Recipe
		want string
	}{
		{Recipe{Mode: "int4"}, `no mode "int4"`},
		{Recipe{Calibrator: "guess"}, `no calibrator "guess"`},
		{Recipe{Calibrator: Percentile, Percentile: 12}, "between 50 and 100"},
		{Recipe{Float: []string{"conv99"}}, `no layer matches "conv99"`},
		{Recipe{Float: []string{"["}}, "pattern"},
		{Recipe{Mode: Float16, AdaRound: true}, "do nothing there"},
		{Recipe{Mode: Int16x8, CorrectBias: true}, "bias correction"},
	} {
		_, err := Build(context.Background(), g, testFaces(2), c.r, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
	}
	if _, err := Calibrate(context.Background(), g, nil, Options{}); err == nil {
		t.Error("calibrated with no faces")
	}
	if _, err := Calibrate(context.Background(), g, Faces{make(Face, 10)}, Options{}); err == nil || !strings.Contains(err.Error(), "10 pixels") {
		t.Errorf("short face: %v", err)
	}
	large := residual(graph.Add, 1e6)
	if _, err := NewPlan(large, nil, Recipe{Mode: Float16}); err == nil || !strings.Contains(err.Error(), "65504") {
		t.Errorf("a weight that float16 cannot hold: %v", err)
	}
	q := build(t, g, Recipe{}).Graph
	if _, err := NewPlan(q, nil, Recipe{}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("quantised twice: %v", err)
	}
	for _, s := range []string{"", "{}", `{"recipe":{"mode":"int8"},"layers":[],"tensors":[],"x":1}`, "a: [", `{"recipe":{"mode":"int8"},"layers":[]}`} {
		if _, err := ParsePlan([]byte(s)); err == nil {
			t.Errorf("plan %q is taken", s)
		}
	}
}

// The calibrators on a tensor whose tail is long: all but min-max cut it.
func TestCalibratorsCutTails(t *testing.T) {
	s := &TensorStats{Min: -1, Max: 99, AvgMin: -1, AvgMax: 20, Hist: make([]uint64, Bins)}
	for i := range 1000000 {
		v := -1 + 4*float64(i)/1000000
		s.Hist[int((v+1)/100*Bins)]++
	}
	s.Hist[Bins-1] = 2
	for _, c := range Calibrators() {
		lo, hi := rangeOf(s, Recipe{Calibrator: c, Percentile: 99.9}, 256)
		if lo > -0.9 || lo < -1.0001 {
			t.Errorf("%s: low end %v", c, lo)
		}
		if c == MinMax && hi != 99 || c != MinMax && hi > 70 || hi < 2.5 {
			t.Errorf("%s: high end %v", c, hi)
		}
	}
}
