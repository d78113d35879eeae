//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/optest"
	"mien/runtime/tflite"
)

// hostileSeeds is the number of damaged graphs that the test loads and runs.
const hostileSeeds = 3000

// TestNoFileEndsTheProcess loads damaged graphs and graphs of odd scales in a
// process of its own, which must live: the library aborts on what it does not
// expect.
func TestNoFileEndsTheProcess(t *testing.T) {
	// A program of another processor, which runs in an emulator, cannot start
	// itself: there an abort ends all tests, and is seen as well.
	if os.Getenv("MIEN_HOSTILE") != "" || testing.Short() {
		hostile(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoFileEndsTheProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "MIEN_HOSTILE=1")
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		last := ""
		for _, l := range lines {
			if strings.HasPrefix(l, "graph ") {
				last = l
			}
		}
		t.Fatalf("%v at %s\n%s", err, last, strings.Join(lines[max(0, len(lines)-6):], "\n"))
	}
	var ran, refused int
	for _, l := range lines {
		fmt.Sscanf(l, "ran %d, refused %d", &ran, &refused)
	}
	t.Logf("%d graphs ran, %d were refused", ran, refused)
	if ran < 100 || refused < 100 {
		t.Errorf("%d graphs ran and %d were refused: the test does not try much", ran, refused)
	}
}

func hostile(t *testing.T) {
	kinds := optest.Kinds()
	ran, refused := 0, 0
	seeds := uint64(hostileSeeds)
	if testing.Short() {
		seeds /= 20
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 77))
		typ := []graph.Type{graph.Float32, graph.Int8}[seed%2]
		k := kinds[int(seed/2)%len(kinds)]
		g := optest.Random(r, k, typ)
		if seed%3 == 0 {
			oddScales(r, g)
		} else {
			optest.Damage(r, g)
		}
		data, err := flatfile.Marshal(g)
		if err != nil {
			continue // no file has it
		}
		fmt.Println("graph", seed, k, typ)
		n, err := tflite.NewRunner(data, tflite.Options{Builtin: seed%5 > 0})
		if err != nil {
			refused++
			continue
		}
		ran++
		n.Run()
		n.Close()
	}
	fmt.Printf("ran %d, refused %d\n", ran, refused)
}

// TestWhatXNNPACKMustNotSee names graphs that the library's own kernels run, and
// that end the process in XNNPACK or are computed wrongly there.
func TestWhatXNNPACKMustNotSee(t *testing.T) {
	conv := func(w int) *graph.Graph {
		return &graph.Graph{Inputs: []int{0}, Outputs: []int{2},
			Tensors: []*graph.Tensor{{Name: "in", Type: graph.Float32, Shape: []int{1, 4, 4, 1}},
				{Name: "w", Type: graph.Float32, Shape: []int{1, 1, w, 1}, Data: make([]byte, 4*w)}, {Name: "out", Type: graph.Float32, Shape: []int{1, 2, 2, 1}},
				{Name: "bias", Type: graph.Float32, Shape: []int{1}, Data: make([]byte, 4)}},
			Ops: []*graph.Op{{Kind: graph.Conv2D, Version: 1, Inputs: []int{0, 1, 3}, Outputs: []int{2},
				Options: graph.ConvOptions{Padding: graph.Same, StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1}}}}
	}
	dead := conv(3)
	dead.Tensors = append(dead.Tensors, &graph.Tensor{Name: "unread", Type: graph.Float32, Shape: []int{1, 2, 2, 1}})
	dead.Ops = append(dead.Ops, &graph.Op{Kind: graph.Relu, Version: 1, Inputs: []int{2}, Outputs: []int{4}})
	narrow := &graph.Graph{Inputs: []int{0}, Outputs: []int{3},
		Tensors: []*graph.Tensor{{Name: "in", Type: graph.Float32, Shape: []int{1, 2, 1, 24}}, {Name: "shape", Type: graph.Int32, Shape: []int{4},
			Data: []byte{1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}}, {Name: "w", Type: graph.Float32, Shape: []int{1, 5, 5, 24}, Data: make([]byte, 4*5*5*24)},
			{Name: "out", Type: graph.Float32, Shape: []int{1, 2, 1, 1}}},
		Ops: []*graph.Op{{Kind: graph.TransposeConv, Version: 1, Inputs: []int{1, 2, 0}, Outputs: []int{3},
			Options: graph.TransposeConvOptions{Padding: graph.Same, StrideH: 1, StrideW: 3}}}}
	for name, c := range map[string]struct {
		g    *graph.Graph
		want string
	}{"narrower than a step": {narrow, "at steps of 1x3"}, "plain": {conv(1), ""}, "dead": {dead, "nothing reads"}, "padding below zero": {conv(3), "SAME padding over 4 values"}} {
		data, err := flatfile.Marshal(c.g)
		if err != nil {
			t.Fatal(err)
		}
		for _, builtin := range []bool{false, true} {
			n, err := tflite.NewRunner(data, tflite.Options{Builtin: builtin})
			if builtin || c.want == "" {
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := n.Run(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				n.Close()
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	}
}

// oddScales gives some tensors scales that nothing has.
func oddScales(r *rand.Rand, g *graph.Graph) {
	for _, t := range g.Tensors {
		if t.Quant != nil && len(t.Quant.Scale) > 0 && r.IntN(2) == 0 {
			q := *t.Quant
			q.Scale = append([]float32(nil), q.Scale...)
			for i := range q.Scale {
				q.Scale[i] *= float32(math.Pow(10, float64(r.IntN(40)-20)))
			}
			t.Quant = &q
		}
	}
}

// TestWhatTheLibraryMustNotSee names int8 graphs that TensorFlow Lite 2.9.0
// computes wrongly, or that end the process in it: they are refused with the
// reason, whichever kernels are asked for, and are for the portable engine.
func TestWhatTheLibraryMustNotSee(t *testing.T) {
	int8s := func(name string, scale float32, shape ...int) *graph.Tensor {
		return &graph.Tensor{Name: name, Type: graph.Int8, Shape: shape, Quant: &graph.Quant{Scale: []float32{scale}, Zero: []int64{0}}}
	}
	dense := int8s("w", 0.5, 2, 4)
	dense.Data, dense.Quant = []byte{1, 2, 3, 4, 5, 6, 7, 8}, &graph.Quant{Scale: []float32{0.5, 0.25}, Zero: []int64{0, 0}}
	axes := &graph.Tensor{Name: "axes", Type: graph.Int32, Shape: []int{1}, Data: []byte{1, 0, 0, 0}}
	sum16 := []*graph.Tensor{int8s("x", 1, 1, 4), int8s("y", 4e-5, 1, 4), int8s("sum", 4e-5, 1, 4)}
	for _, t := range sum16 {
		t.Type = graph.Int16
	}
	one := func(op *graph.Op, tensors ...*graph.Tensor) *graph.Graph {
		g := &graph.Graph{Tensors: tensors, Ops: []*graph.Op{op}, Outputs: []int{len(tensors) - 1}}
		op.Outputs = g.Outputs
		for i, t := range tensors[:len(tensors)-1] {
			op.Inputs = append(op.Inputs, i)
			if t.Data == nil {
				g.Inputs = append(g.Inputs, i)
			}
		}
		return g
	}
	for want, g := range map[string]*graph.Graph{
		"has 2 scales, one for each output": one(&graph.Op{Kind: graph.FullyConnected, Version: 4, Options: graph.FullyConnectedOptions{}},
			int8s("in", 0.1, 1, 4), dense, int8s("out", 1, 1, 2)),
		"wraps around outside": one(&graph.Op{Kind: graph.Sum, Version: 2, Options: graph.ReduceOptions{}}, int8s("in", 0.1, 1, 100), axes, int8s("out", 0.1, 1)),
		"too far apart for the kernels' 20 bits": one(&graph.Op{Kind: graph.Add, Version: 2, Options: graph.ArithOptions{}},
			int8s("x", 1e3, 1, 4), int8s("y", 1, 1, 4), int8s("sum", 1e-4, 1, 4)),
		"too far apart for the kernels' 15 bits": one(&graph.Op{Kind: graph.Add, Version: 4, Options: graph.ArithOptions{AnyScale16: true}}, sum16...),
	} {
		data, err := flatfile.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, builtin := range []bool{false, true} {
			n, err := tflite.NewRunner(data, tflite.Options{Builtin: builtin})
			if err == nil {
				n.Close()
			}
			if !errors.Is(err, tflite.ErrUnsuited) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", g.Ops[0].Kind, err, want)
			}
		}
	}
}
