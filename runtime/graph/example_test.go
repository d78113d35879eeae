package graph_test

import (
	"fmt"

	"mien/runtime/graph"
)

// A graph is tensors, and operators that name them by number. Check says what
// is wrong with one, and the table of operators what is known of a kind.
func Example() {
	g := &graph.Graph{
		Tensors: []*graph.Tensor{
			{Name: "x", Shape: []int{1, 2}},
			{Name: "weights", Shape: []int{3, 2}, Data: make([]byte, 3*2*4)},
			{Name: "y", Shape: []int{1, 3}},
		},
		Ops:     []*graph.Op{{Kind: graph.FullyConnected, Inputs: []int{0, 1, -1}, Outputs: []int{2}, Options: graph.FullyConnectedOptions{}}},
		Inputs:  []int{0},
		Outputs: []int{2},
	}
	fmt.Println(g.Check())
	fmt.Println(g.Ops[0].Name(), g.MACs(g.Ops[0]), "multiply-adds")
	table, ok := graph.Known(graph.FullyConnected)
	fmt.Println(ok, "weights per output channel:", table.Weights.PerChannel)
	g.Ops[0].Inputs[1] = 7
	fmt.Println(g.Check())
	// Output:
	// <nil>
	// FULLY_CONNECTED 6 multiply-adds
	// true weights per output channel: false
	// graph: operator 0 (FULLY_CONNECTED): input is tensor 7 of 3
}
