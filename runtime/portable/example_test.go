package portable_test

import (
	"fmt"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// A network is loaded once and shared; each goroutine has a session, whose
// tensors are called by their number in the graph.
func Example() {
	g := &graph.Graph{
		Tensors: []*graph.Tensor{{Name: "x", Shape: []int{1, 3}}, {Name: "y", Shape: []int{1, 3}}},
		Ops:     []*graph.Op{{Kind: graph.Softmax, Inputs: []int{0}, Outputs: []int{1}, Options: graph.SoftmaxOptions{Beta: 1}}},
		Inputs:  []int{0},
		Outputs: []int{1},
	}
	net, err := portable.Load(g, portable.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := net.NewSession()
	defer s.Close()
	copy(s.Float32(0), []float32{1, 2, 3})
	s.Run()
	fmt.Printf("%.3f\n", s.Float32(1))
	// Output: [0.090 0.245 0.665]
}
