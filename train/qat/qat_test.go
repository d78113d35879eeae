package qat

import (
	"context"
	"math"
	"strings"
	"testing"

	"mien/quant"
	"mien/quant/graph"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/runtime/portable"
	"mien/train/arch"
	"mien/train/data"
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

func setup(t *testing.T) (arch.Net, map[string][]float32, []data.Sample, *quant.Result) {
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
	var samples []data.Sample
	var faces []quant.Face
	for i, f := range infertest.Faces(32) {
		faces = append(faces, f.Pix)
		samples = append(samples, data.Sample{Face: f.Pix, Labels: data.Labels{int8(i % 7), -1, -1, int8(i % 5)}})
	}
	g, err := export.Graph(a, weights, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := quant.Build(context.Background(), g, faces, quant.Recipe{}, quant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a, weights, samples, res
}

func pixels(s data.Sample) []float32 {
	x := make([]float32, len(s.Face))
	for i, p := range s.Face {
		x[i] = float32(p) / 255
	}
	return x
}

// What is trained is what runs: with its weights rounded, the network with
// FakeQuant gives the integer graph's logits, but for their own last rounding.
func TestFakeIsTheIntegerNetwork(t *testing.T) {
	a, weights, samples, res := setup(t)
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
	for _, x := range samples[:8] {
		want := n.Predict(pixels(x), 1)
		in := s.Int8(res.Graph.Inputs[0])
		for i, v := range x.Face {
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

func TestTuneLowersTheLossOfTheRoundedNetwork(t *testing.T) {
	a, weights, samples, res := setup(t)
	loss := func(w map[string][]float32) float64 {
		n, err := nn.New(Fake(a, res.Plan), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range n.Params() {
			copy(p.Value, w[p.Name])
		}
		for _, r := range roundedWeights(n, res.Plan) {
			r.round()
		}
		sum := 0.0
		for _, x := range samples {
			for h, z := range n.Predict(pixels(x), 1) {
				label := x.Labels[[]int{0, 3}[h]]
				total := 0.0
				for _, v := range z {
					total += math.Exp(float64(v - z[label]))
				}
				sum += math.Log(total)
			}
		}
		return sum
	}
	before := loss(weights)
	o := Options{Steps: 30, Batch: 8, LR: 1e-3, Seed: 1, LossWeights: []float64{1, 1}}
	tuned, err := Tune(context.Background(), a, weights, res.Plan, samples, o)
	if err != nil {
		t.Fatal(err)
	}
	if after := loss(tuned); !(after < before) {
		t.Errorf("the loss went from %.3f to %.3f", before, after)
	}
	again, err := Tune(context.Background(), a, weights, res.Plan, samples, o)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range tuned {
		for i := range w {
			if w[i] != again[name][i] {
				t.Fatalf("%s differs the second time", name)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	a, weights, samples, res := setup(t)
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
			_, err := Tune(context.Background(), a, short, res.Plan, samples, Options{Steps: 1, LossWeights: []float64{1, 1}})
			return err
		},
		"loss weights": func() error {
			_, err := Tune(context.Background(), a, weights, res.Plan, samples, Options{Steps: 1})
			return err
		},
		"only int8": func() error {
			_, err := Tune(context.Background(), a, weights, &quant.Plan{Recipe: quant.Recipe{Mode: quant.Dynamic}}, samples, Options{Steps: 1})
			return err
		},
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
