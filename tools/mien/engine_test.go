//go:build linux && (amd64 || arm64) && cgo && tflite

package main

import (
	"slices"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

// A dense layer with a scale for each output, as converters write it, is computed
// wrongly by the library: auto takes the portable engine, and tflite says why not.
func TestPerChannelDenseLayersGoToPortable(t *testing.T) {
	faces := infertest.Faces(2)
	var values [][]float64
	for _, f := range faces {
		values = append(values, infertest.Input(f.Pix))
	}
	g, err := infertest.Int8(infertest.Network(3, model.Heads()...), values)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := openEngine("auto", infertest.Marshal(t, g), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if !strings.HasPrefix(whole.Engine(), "tflite") {
		t.Fatalf("one scale for a layer: %s", whole.Engine())
	}
	for _, o := range g.Ops {
		if o.Kind == graph.FullyConnected {
			w := g.Tensors[o.Inputs[1]]
			n := w.Shape[0]
			w.Quant = &graph.Quant{Scale: slices.Repeat(w.Quant.Scale, n), Zero: make([]int64, n)}
			b := g.Tensors[o.Inputs[2]]
			b.Quant = &graph.Quant{Scale: slices.Repeat(b.Quant.Scale, n), Zero: make([]int64, n)}
		}
	}
	file := infertest.Marshal(t, g)
	if _, err := openEngine("tflite", file, 1); err == nil || !strings.Contains(err.Error(), "one for each output") {
		t.Errorf("tflite: %v", err)
	}
	each, err := openEngine("auto", file, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer each.Close()
	if !strings.HasPrefix(each.Engine(), "portable") {
		t.Errorf("a scale for each output: %s", each.Engine())
	}
	// The scales are all the same, so the answers are, too, within steps of the softmax.
	want, got := whole.Spec().NewScores(), each.Spec().NewScores()
	if err := whole.Predict(faces[0], want); err != nil {
		t.Fatal(err)
	}
	if err := each.Predict(faces[0], got); err != nil {
		t.Fatal(err)
	}
	for h := range want.Heads {
		for k, p := range want.Heads[h] {
			if d := p - got.Heads[h][k]; d > 0.03 || d < -0.03 {
				t.Errorf("head %d, label %d: %v, with one scale %v", h, k, got.Heads[h][k], p)
			}
		}
	}
}
