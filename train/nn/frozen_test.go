package nn

import (
	"math/rand/v2"
	"slices"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
)

// TestFrozen: wherever a network is frozen up to, the layers behind get the
// gradients that they had with norms that keep their statistics and without
// dropout, and those before have none.
func TestFrozen(t *testing.T) {
	body := func(rate float64) []arch.Layer {
		return []arch.Layer{
			{Op: arch.Conv, Name: "conv1", Out: 6, Kernel: 5, Stride: 5},
			{Op: arch.ELU, Name: "elu1"},
			{Op: arch.BatchNorm, Name: "bn1", Frozen: rate == 0},
			{Op: arch.MaxPool, Name: "pool1", Kernel: 2},
			{Op: arch.Dropout, Name: "drop1", Rate: rate},
			{Op: arch.Conv, Name: "conv2", Out: 6, Kernel: 3},
			{Op: arch.BatchNorm, Name: "bn2", Frozen: rate == 0},
			{Op: arch.ReLU, Name: "relu2"},
			{Op: arch.Add, Name: "add", With: "drop1"},
			{Op: arch.Flatten, Name: "flatten"},
			{Op: arch.Dense, Name: "dense", Out: 7},
		}
	}
	heads := []model.Head{{Name: "a", Labels: []string{"x", "y"}}}
	b := &Batch{N: 4, X: make([]float32, 4*model.Side*model.Side), Target: [][]float32{{1, 0, 0, 1, 1, 0, 0, 1}}, Weight: [][]float32{{1, 1, 1, 1}}}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b.X {
		b.X[i] = rng.Float32()
	}
	step := func(a arch.Net) *Net {
		n := mustNew(t, a, 4, 2)
		n.Init(3)
		if _, err := n.Step(b, []float64{1}, 9); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := step(arch.Net{Name: "still", Body: body(0), Heads: heads})
	all := body(0)
	for frozen := range len(all) + 1 {
		a := arch.Net{Name: "frozen", Body: body(0), Heads: heads, Frozen: frozen}
		for i := range frozen { // what the layers themselves say of it counts nothing
			a.Body[i] = body(0.5)[i]
		}
		got := step(a)
		for i, p := range got.Params() {
			if layer := slices.IndexFunc(all, func(l arch.Layer) bool { return len(p.Name) > len(l.Name) && p.Name[:len(l.Name)+1] == l.Name+"." }); layer >= 0 && layer < frozen {
				if p.Grad != nil || !slices.Equal(p.Value, want.Params()[i].Value) {
					t.Errorf("frozen up to %d: %s has a gradient, or moved", frozen, p.Name)
				}
				continue
			}
			if !slices.Equal(p.Grad, want.Params()[i].Grad) {
				t.Errorf("frozen up to %d: %s has another gradient", frozen, p.Name)
			}
		}
	}
}
