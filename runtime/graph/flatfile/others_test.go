package flatfile

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile/foreign"
)

func TestReadsAndRewritesFilesOfOthers(t *testing.T) {
	for _, path := range foreign.Files(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			g, err := Unmarshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if len(g.Ops) == 0 || len(g.Unkept) != 0 {
				t.Fatalf("%d operators, lost: %v", len(g.Ops), g.Unkept)
			}
			again, err := Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Unmarshal(again)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(g, back) {
				t.Error(cmp.Diff(g, back))
			}
		})
	}
}

// TestReadsTheAxisOfAnOlderBias reads a tensor of one dimension whose scales lie
// along the axis of its layer's weights, as TensorFlow Lite Micro's
// person_detect has them.
func TestReadsTheAxisOfAnOlderBias(t *testing.T) {
	g := &graph.Graph{Tensors: []*graph.Tensor{{Name: "bias", Type: graph.Int8, Shape: []int{2, 2},
		Quant: &graph.Quant{Scale: []float32{0.5, 0.25}, Zero: []int64{0, 0}, Axis: 1}}}, Inputs: []int{0}, Outputs: []int{0}}
	file, err := Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	shape := []byte{2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0}
	if bytes.Count(file, shape) != 1 {
		t.Fatal("the shape is not where it is looked for")
	}
	file[bytes.Index(file, shape)] = 1 // of its two dimensions
	if g, err = Unmarshal(file); err != nil {
		t.Fatal(err)
	}
	if q := g.Tensors[0].Quant; q.Axis != 0 || len(q.Scale) != 2 || len(g.Tensors[0].Shape) != 1 {
		t.Errorf("shape %v, %+v: want two scales along axis 0", g.Tensors[0].Shape, q)
	}
}
