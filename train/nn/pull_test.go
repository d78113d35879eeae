package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
)

// TestPull: it is the norm of what a head's loss alone sends back to the shared
// layer.
func TestPull(t *testing.T) {
	heads := []model.Head{{Name: "a", Labels: []string{"x", "y"}}, {Name: "b", Labels: []string{"u", "v", "w"}}}
	net, err := New(arch.Net{Name: "pull", Heads: heads, Body: []arch.Layer{
		{Op: arch.Conv, Name: "conv", Out: 3, Kernel: 5, Stride: 5}, {Op: arch.Mean, Name: "mean"}, {Op: arch.Dense, Name: "dense", Out: 7}}}, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	net.Init(3)
	rng := rand.New(rand.NewPCG(1, 2))
	b := &Batch{N: 4, X: make([]float32, 4*net.picture.size())}
	for i := range b.X {
		b.X[i] = rng.Float32()
	}
	for _, h := range heads {
		target, weight := make([]float32, 4*len(h.Labels)), []float32{1, 0, 2, 1}
		for i := range 4 {
			target[i*len(h.Labels)+i%len(h.Labels)] = 1
		}
		b.Target, b.Weight = append(b.Target, target), append(b.Weight, weight)
	}
	for i := range heads {
		alone := []float64{0, 0}
		alone[i] = 1.5
		if _, err := net.Step(b, alone, 0); err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, g := range net.top.grad[:4*net.top.size()] {
			sum += float64(g) * float64(g)
		}
		if _, err := net.Step(b, []float64{1.5, 1.5}, 0); err != nil {
			t.Fatal(err)
		}
		if got, want := net.Pull(i), math.Sqrt(sum); want == 0 || math.Abs(got-want) > 1e-5*want {
			t.Errorf("head %d pulls with %g, want %g", i, got, want)
		}
	}
}
