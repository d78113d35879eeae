package qat

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/quant"
	"mien/runtime/graph"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/runtime/portable"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/export"
	"mien/train/nn"
)

// small has layers that export fuses and layers that it does not.
func small() arch.Net {
	return arch.Net{Name: "small", Heads: []model.Head{model.Emotion, model.Age}, Body: []arch.Layer{
		{Op: arch.Conv, Name: "c1", Out: 8, Kernel: 5, Stride: 2},
		{Op: arch.ELU, Name: "e1"},
		{Op: arch.BatchNorm, Name: "n1"},
		{Op: arch.MaxPool, Name: "p1", Kernel: 2},
		{Op: arch.Conv, Name: "c2", Out: 8, Kernel: 3, NoBias: true},
		{Op: arch.BatchNorm, Name: "n2"},
		{Op: arch.ReLU, Name: "r2"},
		{Op: arch.Conv, Name: "c3", Out: 8, Kernel: 3, NoBias: true},
		{Op: arch.BatchNorm, Name: "n3"},
		{Op: arch.Add, Name: "a3", With: "r2"},
		{Op: arch.ReLU, Name: "r3"},
		{Op: arch.Dropout, Name: "d", Rate: 0.1},
		{Op: arch.Flatten, Name: "f"},
		{Op: arch.Dense, Name: "dense", Out: 16},
		{Op: arch.ELU, Name: "e4"},
	}}
}

// setup returns the network, its weights, faces, and the result of a recipe
// that was calibrated with all but the last 16 of them.
func setup(t *testing.T, r quant.Recipe) (arch.Net, map[string][]float32, quant.Faces, *quant.Result) {
	t.Helper()
	a := small()
	n, err := nn.New(a, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	n.Init(3)
	weights := map[string][]float32{}
	for _, p := range n.Params() {
		weights[p.Name] = p.Value
	}
	var faces quant.Faces
	for _, f := range infertest.Faces(64) {
		faces = append(faces, f.Pix)
	}
	return a, weights, faces, build(t, a, weights, faces[:48], r)
}

func build(t *testing.T, a arch.Net, weights map[string][]float32, faces quant.Faces, r quant.Recipe) *quant.Result {
	t.Helper()
	g, err := export.Graph(a, weights, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := quant.Build(context.Background(), g, faces, r, quant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func pixels(f quant.Face) []float32 {
	x := make([]float32, len(f))
	for i, p := range f {
		x[i] = float32(p) / 255
	}
	return x
}

// What is trained is what runs: with its weights rounded, the network with
// FakeQuant gives the integer graph's logits, but for their own last rounding.
func TestFakeIsTheIntegerNetwork(t *testing.T) {
	a, weights, faces, res := setup(t, quant.Recipe{})
	n, err := nn.New(Fake(a, res.Plan), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range n.Params() {
		copy(p.Value, weights[p.Name])
	}
	for _, r := range roundedWeights(n, res.Plan) {
		r.round()
	}
	p, err := portable.Load(res.Graph, portable.Options{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	s := p.NewSession()
	defer s.Close()
	var apart, size float64
	for _, x := range faces[:8] {
		want := n.Predict(pixels(x), 1)
		in := s.Int8(res.Graph.Inputs[0])
		for i, v := range x {
			in[i] = int8(v ^ 0x80)
		}
		s.Run()
		h := 0
		for _, o := range res.Graph.Ops {
			if o.Kind != graph.Softmax {
				continue
			}
			got, err := s.Real(nil, o.Inputs[0])
			if err != nil {
				t.Fatal(err)
			}
			for k := range got {
				apart += math.Pow(float64(got[k]-want[h][k]), 2)
				size += math.Pow(float64(want[h][k]), 2)
			}
			h++
		}
	}
	if snr := 10 * math.Log10(size/apart); snr < 30 {
		t.Errorf("the integer graph is %.1f dB from what is trained", snr)
	}
}

// What is tuned is better where it counts: the integer graph itself, on faces
// that neither calibration nor training saw, is nearer to the float one. With
// weights of three bits there is much to win; with eight, nothing is lost.
func TestTuneBringsTheIntegerNetworkNearer(t *testing.T) {
	for _, c := range []struct {
		bits     int
		lr, want float64
	}{{3, 1e-3, 0.5}, {8, 1e-5, 1.02}} {
		r := quant.Recipe{WeightBits: c.bits}
		a, weights, faces, res := setup(t, r)
		float, err := export.Graph(a, weights, nil)
		if err != nil {
			t.Fatal(err)
		}
		apart := func(q *quant.Result) (sum float64) {
			diffs, err := quant.Compare(context.Background(), float, q.Graph, nil, faces[48:], quant.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range diffs {
				if d.Name == "emotion" || d.Name == "age" {
					sum += d.Error
				}
			}
			return sum
		}
		before := apart(res)
		o := Options{Steps: 40, Batch: 8, LR: c.lr, Seed: 1}
		tuned, err := Tune(context.Background(), a, weights, res.Plan, faces[:48], o)
		if err != nil {
			t.Fatal(err)
		}
		if after := apart(build(t, a, tuned, faces[:48], r)); !(after < c.want*before) {
			t.Errorf("%d bits: the squared error of the answers went from %.5f to %.5f", c.bits, before, after)
		}
		for _, layer := range []string{"n1", "n2"} {
			if !slices.Equal(tuned[layer+".running_mean"], weights[layer+".running_mean"]) {
				t.Errorf("the statistics of %s moved", layer)
			}
		}
		again, err := Tune(context.Background(), a, weights, res.Plan, faces[:48], o)
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range tuned {
			if !slices.Equal(w, again[name]) {
				t.Fatalf("%s differs the second time", name)
			}
		}
	}
}

// A head that does not count is left as it is.
func TestTuneForSomeHeads(t *testing.T) {
	a, weights, faces, res := setup(t, quant.Recipe{})
	tuned, err := Tune(context.Background(), a, weights, res.Plan, faces, Options{Steps: 2, Heads: []string{"emotion"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tuned["age.weight"], weights["age.weight"]) || slices.Equal(tuned["emotion.weight"], weights["emotion.weight"]) {
		t.Error("age was trained, or emotion was not")
	}
}

func TestErrors(t *testing.T) {
	a, weights, faces, res := setup(t, quant.Recipe{})
	short := map[string][]float32{}
	for k, v := range weights {
		short[k] = v
	}
	delete(short, "c2.weight")
	for want, try := range map[string]func() error{
		"nothing to train on": func() error {
			_, err := Tune(context.Background(), a, weights, res.Plan, nil, Options{Steps: 1})
			return err
		},
		"c2.weight": func() error {
			_, err := Tune(context.Background(), a, short, res.Plan, faces, Options{Steps: 1})
			return err
		},
		"only int8": func() error {
			_, err := Tune(context.Background(), a, weights, &quant.Plan{Recipe: quant.Recipe{Mode: quant.Dynamic}}, faces, Options{Steps: 1})
			return err
		},
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCheckpoint(t *testing.T) {
	of := &checkpoint.File{Meta: map[string]string{"arch": "edge", "state": "step 3"}, Tensors: []checkpoint.Tensor{
		{Name: "a", Shape: []int{2}, Data: []float32{1, 2}}, {Name: "optimizer/a", Shape: []int{2}, Data: []float32{5, 5}}}}
	got := Checkpoint(of, map[string][]float32{"a": {3, 4}}, "7 steps")
	want := &checkpoint.File{Meta: map[string]string{"arch": "edge", "tuned": "7 steps"}, Tensors: []checkpoint.Tensor{{Name: "a", Shape: []int{2}, Data: []float32{3, 4}}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if of.Tensors[0].Data[0] != 1 || of.Meta["state"] == "" {
		t.Error("the original is changed")
	}
}
