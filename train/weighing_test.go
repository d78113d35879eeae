package train

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/nn"
)

// TestUncertainty: a head's weight tends to half the inverse of its loss; one
// of weight 0 stays untaught, and one without labels where it was.
func TestUncertainty(t *testing.T) {
	weights := []float64{2, 0.1, 0, 4}
	w := newWeighing(Uncertainty, weights)
	l := nn.Losses{Heads: []nn.HeadLoss{{Loss: 0.5, Count: 8}, {Loss: 0.1, Count: 8}, {Loss: 3, Count: 8}, {}}}
	for range 30_000 {
		w.learn(Uncertainty, weights, l, nil)
	}
	for i, want := range []float64{1, 5, 0, 4} {
		if math.Abs(weights[i]-want) > 0.02*want {
			t.Errorf("weight %d is %g, want %g", i, weights[i], want)
		}
	}
}

// TestGradNorm: heads that learn alike come to pull alike, one that learns
// slowly pulls harder, and the weights keep their sum.
func TestGradNorm(t *testing.T) {
	for name, c := range map[string]struct {
		later float64 // loss of the second head after the first batch, which had 1
		ratio float64 // of its pull to the other's
	}{"alike": {1, 1}, "slow": {4, 8}} {
		weights := []float64{4, 1, 0}
		w := newWeighing(GradNorm, weights)
		norms := []float64{3, 0.5, 1} // of the gradients without their weights
		pull := func(head int) float64 { return weights[head] * norms[head] }
		l := nn.Losses{Heads: []nn.HeadLoss{{Loss: 1, Count: 8}, {Loss: 1, Count: 8}, {}}}
		w.learn(GradNorm, weights, l, pull)
		l.Heads[1].Loss = c.later
		for range 30_000 {
			w.learn(GradNorm, weights, l, pull)
		}
		if got := pull(1) / pull(0); math.Abs(got-c.ratio) > 0.05*c.ratio {
			t.Errorf("%s: pulls are as %g, want %g", name, got, c.ratio)
		}
		if sum := weights[0] + weights[1]; math.Abs(sum-5) > 1e-9 || weights[2] != 0 {
			t.Errorf("%s: weights %v, want a sum of 5", name, weights)
		}
	}
}

// TestWeighingResumes: a run whose loss weights learn goes on from a save as if
// nothing had been, and its log says where they are.
func TestWeighingResumes(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 12)
	for _, kind := range []string{Uncertainty, GradNorm} {
		whole := testOptions(t, faces, "epochs=2", "losses.age=1", "weighing="+kind)
		whole.Sets = withAges(whole.Sets)
		res, err := Run(context.Background(), whole)
		if err != nil {
			t.Fatal(err)
		}
		if w := res.Log[1].Weights; w["age"] == 1 || w["emotion"] == 2 || w["age"] <= 0 || w["race"] != 0 {
			t.Errorf("%s: loss weights %v", kind, w)
		}
		parts := whole
		parts.Out, parts.StopAfter = t.TempDir(), 1
		for range 2 {
			if _, err := Run(context.Background(), parts); err != nil {
				t.Fatal(err)
			}
			parts.Resume, parts.StopAfter = true, 0
		}
		a, b := read(t, whole.Out), read(t, parts.Out)
		for i, tensor := range a.Tensors {
			if string(floatBytes(tensor.Data)) != string(floatBytes(b.Tensors[i].Data)) {
				t.Errorf("%s: %s differs after a pause", kind, tensor.Name)
			}
		}
		parts.Recipe.Weighing = Fixed
		if _, err := Run(context.Background(), parts); err == nil || !strings.Contains(err.Error(), "another weighing") {
			t.Errorf("%s: resumed as fixed: %v", kind, err)
		}
	}
}

func read(t *testing.T, dir string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.Read(filepath.Join(dir, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func floatBytes(x []float32) []byte {
	var b []byte
	for _, v := range x {
		u := math.Float32bits(v)
		b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
	}
	return b
}

// TestPatience: a run ends when no epoch was better for so long, with the best
// weights kept.
func TestPatience(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 12)
	o := testOptions(t, faces, "epochs=50", "patience=2", "lr=1e-9", "ema=0", "schedule.kind=constant")
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if res.Reason != "no epoch was better in 2" || res.Epochs != res.BestEpoch+2 || res.Epochs == 50 {
		t.Errorf("%d epochs, best %d: %s", res.Epochs, res.BestEpoch, res.Reason)
	}
	short := testOptions(t, faces, "patience=2", "lr=1e-9", "ema=0", "schedule.kind=constant", fmt.Sprintf("epochs=%d", res.BestEpoch))
	if _, err := Run(context.Background(), short); err != nil {
		t.Fatal(err)
	}
	want, err := checkpoint.Read(filepath.Join(short.Out, LastFile)) // the weights of that epoch
	if err != nil {
		t.Fatal(err)
	}
	got, err := checkpoint.Read(filepath.Join(o.Out, BestFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Tensors {
		if !slices.Equal(p.Data, want.Find(p.Name).Data) {
			t.Errorf("%s is not that of the best epoch, %d", p.Name, res.BestEpoch)
		}
	}
}

// TestDropouts: a recipe can say the rate of each of the network's dropouts.
func TestDropouts(t *testing.T) {
	r, err := LoadRecipe("paper", []string{"dropouts=[0.4, 0.4, 0.5, 0.6]", "dropout=0.5"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Net()
	if err != nil {
		t.Fatal(err)
	}
	var rates []float64
	for _, l := range n.Body {
		if l.Op == arch.Dropout {
			rates = append(rates, l.Rate)
		}
	}
	if len(rates) != 4 || rates[0] != 0.2 || rates[3] != 0.3 {
		t.Errorf("rates %v", rates)
	}
	if err := r.Set([]string{"dropouts=[0.4]"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Net(); err == nil || !strings.Contains(err.Error(), "4 places") {
		t.Errorf("one rate for four places: %v", err)
	}
}
