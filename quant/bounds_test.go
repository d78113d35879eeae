package quant

import (
	"context"
	"math"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/model"
	"mien/runtime/tflite"
)

// residual is a face in, a branch that computes zero, or next to it, added to
// what passes it by, or taken from it, and the sum out.
func residual(sum graph.Kind, branch float32) *graph.Graph {
	side := model.Side
	shape := []int{1, side, side, 1}
	w := floatBytes([]float32{branch})
	return &graph.Graph{Tensors: []*graph.Tensor{
		{Name: "face", Shape: shape}, {Name: "w", Shape: []int{1, 1, 1, 1}, Data: floatBytes([]float32{1})}, {Name: "trunk", Shape: shape},
		{Name: "v", Shape: []int{1, 1, 1, 1}, Data: w}, {Name: "b", Shape: []int{1}, Data: floatBytes([]float32{0})}, {Name: "branch", Shape: shape},
		{Name: "sum", Shape: shape}},
		Ops: []*graph.Op{
			{Kind: graph.Conv2D, Version: 1, Inputs: []int{0, 1, 4}, Outputs: []int{2}, Options: graph.ConvOptions{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}},
			{Kind: graph.Conv2D, Version: 1, Inputs: []int{2, 3, 4}, Outputs: []int{5}, Options: graph.ConvOptions{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}},
			{Kind: sum, Version: 1, Inputs: []int{2, 5}, Outputs: []int{6}, Options: graph.ArithOptions{}}},
		Inputs: []int{0}, Outputs: []int{6}}
}

// A branch that is dead, or all but, has scales that every engine takes, and the
// sum is what it was: the library aborts the process on scales that lie far apart.
func TestDeadBranchRunsInTheLibrary(t *testing.T) {
	faces := testFaces(4)
	for _, c := range []struct {
		sum    graph.Kind
		branch float32
	}{{graph.Add, 0}, {graph.Add, 1e-30}, {graph.Add, 1e-9}, {graph.Add, -1}, {graph.Add, 1e6}, {graph.Sub, 0}, {graph.Sub, 1e-9}, {graph.Sub, 1}, {graph.Sub, 1e6}} {
		g := residual(c.sum, c.branch)
		float, err := Answer(context.Background(), g, faces, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []Mode{Int8, Int16x8} {
			prepared, _, err := Prepare(g)
			if err != nil {
				t.Fatal(err)
			}
			res := build(t, prepared, Recipe{Mode: mode})
			for _, x := range res.Graph.Tensors {
				if x.Quant != nil && !(x.Quant.Scale[0] > 0) {
					t.Errorf("%s: scale %v", x.Name, x.Quant.Scale)
				}
			}
			for _, builtin := range []bool{true, false} {
				n, err := tflite.NewRunner(marshal(t, res.Graph), tflite.Options{Builtin: builtin})
				if err != nil {
					t.Fatalf("%s, %v, branch %g, builtin %v: %v", mode, c.sum, c.branch, builtin, err)
				}
				n.Close()
			}
			got := outputs(t, marshal(t, res.Graph), res.Graph, faces, true)
			worst, most := 0.0, 0.0
			for i := range got {
				for k, x := range got[i] {
					worst, most = max(worst, math.Abs(float64(x-float[i][0][k]))), max(most, math.Abs(float64(float[i][0][k])))
				}
			}
			if worst > 0.04*max(most, 0.3) {
				t.Errorf("%s, %v, branch %g: off by %g of %g", mode, c.sum, c.branch, worst, most)
			}
		}
	}
}
