package quant

import (
	"context"
	"testing"

	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

// A plan comes from a file that people edit: whatever it says, it is an error
// or a sound graph.
func FuzzPlan(f *testing.F) {
	g := infertest.Network(3, model.Emotion)
	for _, r := range []Recipe{{}, {Mode: Int16x8, Equalise: true}, {Mode: Dynamic}, {Mode: Float16}, {CorrectBias: true, AdaRound: true, FloatIO: true}} {
		res, err := Build(context.Background(), g, testFaces(2), r, Options{})
		if err != nil {
			f.Fatal(err)
		}
		b, err := res.Plan.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("recipe: {mode: int8}\nlayers: [{name: x, operator: ELU, type: int8}]\ntensors: []\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePlan(b)
		if err != nil {
			return
		}
		q, err := Apply(g, p)
		if err != nil {
			return
		}
		if err := q.Check(); err != nil {
			t.Errorf("an unsound graph: %v", err)
		}
	})
}
