package flatfile_test

import (
	"fmt"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
)

// A graph becomes a .tflite file, and a file a graph.
func Example() {
	g := &graph.Graph{
		Name:    "abs",
		Tensors: []*graph.Tensor{{Name: "x", Shape: []int{1, 4}}, {Name: "y", Shape: []int{1, 4}}},
		Ops:     []*graph.Op{{Kind: graph.Abs, Inputs: []int{0}, Outputs: []int{1}}},
		Inputs:  []int{0},
		Outputs: []int{1},
	}
	file, err := flatfile.Marshal(g)
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := flatfile.Unmarshal(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s: %s %v\n", file[4:8], back.Name, back.Ops[0].Name(), back.Tensors[1].Shape)
	_, err = flatfile.Unmarshal(file[:20])
	fmt.Println(err != nil)
	// Output:
	// TFL3 abs: ABS [1 4]
	// true
}
