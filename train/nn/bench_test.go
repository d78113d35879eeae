package nn

import (
	"math/rand/v2"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
)

// BenchmarkStep is one training step at batch 32 on two threads: forward,
// backward, Adam.
func BenchmarkStep(b *testing.B) {
	for _, name := range []string{"paper", "edge", "wide"} {
		for p := range precisions {
			b.Run(name+"/"+Precision(p).String(), func(b *testing.B) { benchmarkStep(b, Precision(p), name) })
		}
	}
}

func benchmarkStep(b *testing.B, p Precision, name string) {
	a, err := arch.ByName(name, model.Heads())
	if err != nil {
		b.Fatal(err)
	}
	n, err := NewIn(p, a, 32, 2)
	if err != nil {
		b.Fatal(err)
	}
	n.Init(1)
	batch, weights, adam := randomBatch(rand.New(rand.NewPCG(1, 1)), 32, n.Arch.Heads), []float64{2, 0.1, 1.5, 4}, Adam{}
	for b.Loop() {
		if _, err := n.Step(batch, weights, 1); err != nil {
			b.Fatal(err)
		}
		if err := adam.Step(n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(32*float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
