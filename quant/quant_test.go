package quant

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

// testFaces returns pictures that differ much.
func testFaces(n int) Faces {
	var out Faces
	for _, f := range infertest.Faces(n) {
		out = append(out, Face(f.Pix))
	}
	return out
}

func testGraph() *graph.Graph { return infertest.Network(3, model.Heads()...) }

func build(t *testing.T, g *graph.Graph, r Recipe) *Result {
	t.Helper()
	res, err := Build(context.Background(), g, testFaces(24), r, Options{})
	if err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	return res
}

func marshal(t *testing.T, g *graph.Graph) []byte {
	t.Helper()
	b, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recipes are all that a user can ask for, more or less.
func recipes() []Recipe {
	out := []Recipe{{Mode: Float32}, {Mode: Float16}, {Mode: Dynamic}, {Mode: Int16x8}, {Mode: Int8, FloatIO: true},
		{Mode: Int8, Equalise: true, AdaRound: true, CorrectBias: true}, {Mode: Dynamic, AdaRound: true},
		{Mode: Int8, Float: []string{"emotion*"}}, {Mode: Int8, Int16: []string{"tda", "tqa"}, Float: []string{"age/logits"}},
		{Mode: Int8, WeightBits: 6, AdaRound: true}, {Mode: Int16x8, AdaRound: true, Equalise: true}}
	for _, c := range Calibrators() {
		out = append(out, Recipe{Mode: Int8, Calibrator: c})
	}
	return out
}

func TestPlanIsTheWholeResult(t *testing.T) {
	for _, r := range recipes() {
		t.Run(r.String(), func(t *testing.T) {
			g := testGraph()
			res := build(t, g, r)
			want := marshal(t, res.Graph)
			for _, save := range []func() ([]byte, error){res.Plan.JSON, res.Plan.YAML} {
				b, err := save()
				if err != nil {
					t.Fatal(err)
				}
				p, err := ParsePlan(b)
				if err != nil {
					t.Fatal(err)
				}
				again, err := Apply(testGraph(), p)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(want, marshal(t, again)) {
					t.Error("the saved plan gives other bytes")
				}
			}
			if other := build(t, testGraph(), r); !bytes.Equal(want, marshal(t, other.Graph)) {
				t.Error("the same input gives other bytes")
			}
		})
	}
}

// A quantised graph that divides 0 by 0 is as far from float as can be, and what
// is measured stays a number that a plan can hold.
func TestNaNIsFarFromFloat(t *testing.T) {
	g := &graph.Graph{Tensors: []*graph.Tensor{{Name: "out", Shape: []int{1, 2}}}, Outputs: []int{0}}
	nan := float32(math.NaN())
	d := CompareAnswers(g, g, Answers{{{1, 2}}, {{3, 4}}}, Answers{{{1, 2}}, {{nan, 4}}})
	if got := OutputSNR(d); got != -MaxSNR || d[0].SNR() != -MaxSNR || d[0].NotFinite != 1 || d[0].MaxError != 3 {
		t.Errorf("%v, %+v", got, d[0])
	}
	if s := d[0].Samples(); s[0] != MaxSNR || s[1] > 10 {
		t.Errorf("samples by themselves: %v", s)
	}
}

// loud are samples of one value, some of which are far larger than the others.
type loud []float32

func (l loud) Len() int { return len(l) }

func (l loud) Bounds(int) (lo, hi float64, ok bool) { return 0, 0, false }

func (l loud) Fill(i, _ int, dst []float32) error {
	dst[0] = l[i]
	return nil
}

func TestOutliersAreNamed(t *testing.T) {
	g := &graph.Graph{Inputs: []int{0}, Outputs: []int{1}, Tensors: []*graph.Tensor{{Name: "in", Shape: []int{1, 1}}, {Name: "out", Shape: []int{1, 1}}},
		Ops: []*graph.Op{{Kind: graph.Abs, Version: 1, Inputs: []int{0}, Outputs: []int{1}}}}
	few := make(loud, 30)
	for i := range few {
		few[i] = 1 + float32(i)/30
	}
	few[7], few[20] = -100, 90
	many := slices.Clone(few)
	many[1], many[2], many[3] = 50, 60, 70
	for name, c := range map[string]struct {
		samples loud
		want    []int
	}{"two of thirty": {few, []int{7, 20}}, "a sixth of all is what the model sees": {many, nil}, "too few to tell": {few[:10], nil}, "all alike": {few[8:20], nil}} {
		got, err := Outliers(context.Background(), g, c.samples, Options{})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v (%v)", name, got, c.want, err)
		}
	}
}

// MediaPipe's own transposed convolution becomes the builtin one, which lays a
// kernel at each value.
func TestPrepareKnowsMediaPipesConvolution(t *testing.T) {
	options := []byte{1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0} // SAME, steps of 2
	g := &graph.Graph{Inputs: []int{0}, Outputs: []int{3}, Tensors: []*graph.Tensor{
		{Name: "in", Shape: []int{1, 1, 2, 1}}, {Name: "w", Shape: []int{1, 2, 2, 1}, Data: floatBytes([]float32{1, 2, 3, 4})},
		{Name: "b", Shape: []int{1}, Data: floatBytes([]float32{10})}, {Name: "out", Shape: []int{1, 2, 4, 1}}},
		Ops: []*graph.Op{{Kind: graph.Custom, Custom: "Convolution2DTransposeBias", CustomData: options, Version: 1, Inputs: []int{0, 1, 2}, Outputs: []int{3}}}}
	p, notes, err := Prepare(g)
	if err != nil || len(notes) != 1 || g.Ops[0].Kind != graph.Custom {
		t.Fatal(err, notes)
	}
	got, err := Answer(context.Background(), p, pairOf{1, -1}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{11, 12, 9, 8, 13, 14, 7, 6}; !slices.Equal(got[0][0], want) {
		t.Errorf("%v, want %v", got[0][0], want)
	}
	g.Ops[0].CustomData = options[:8]
	if _, _, err := Prepare(g); err == nil || !strings.Contains(err.Error(), "Convolution2DTransposeBias") {
		t.Errorf("cut options: %v", err)
	}
}

// pairOf is one sample of two values.
type pairOf [2]float32

func (pairOf) Len() int { return 1 }

func (pairOf) Bounds(int) (lo, hi float64, ok bool) { return 0, 0, false }

func (p pairOf) Fill(_, _ int, dst []float32) error {
	copy(dst, p[:])
	return nil
}
