package quant

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/infer/optest"
	"mien/runtime/portable"
	"mien/runtime/tflite"
)

// noise is samples for any graph.
type noise struct{ g *graph.Graph }

func (noise) Len() int { return 16 }

func (noise) Bounds(int) (lo, hi float64, ok bool) { return 0, 0, false }

func (n noise) Fill(i, k int, dst []float32) error {
	optest.FillFloat32(rand.New(rand.NewPCG(uint64(i), uint64(k))), dst)
	return nil
}

// Every operator that has an int8 kernel is quantised to a graph that both
// engines run, within a step of each other, and that is near to the float one.
func TestEveryOperatorIsQuantised(t *testing.T) {
	for _, k := range graph.Kinds() {
		known, _ := graph.Known(k)
		if known.Versions.Float32 == 0 || known.Scale == graph.ScaleNone {
			continue
		}
		t.Run(k.String(), func(t *testing.T) {
			for seed := range uint64(8) {
				g := optest.Random(rand.New(rand.NewPCG(seed, uint64(k))), k, graph.Float32)
				for _, i := range g.Ops[len(g.Ops)-1].Inputs {
					if i >= 0 && g.Tensors[i].Name == "" {
						t.Fatal("a tensor without a name")
					}
				}
				res, err := Build(context.Background(), g, noise{g}, Recipe{Mode: Int8, FloatIO: true}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if inInt8 := integers(res.Graph, k); inInt8 != (known.Versions.Int8 > 0) {
					t.Fatalf("computed in int8: %v, and the table says version %d", inInt8, known.Versions.Int8)
				}
				signal, gap := 0.0, 0.0
				for o, want := range runNoise(t, g, g, false) {
					lib, ours := runNoise(t, res.Graph, g, true)[o], runNoise(t, res.Graph, g, false)[o]
					scale := 1e-4
					if q := quantOfOutput(res.Graph, o); q != nil {
						scale = float64(q.Scale[0]) * 1.01
					}
					for i := range want {
						if d := math.Abs(float64(lib[i] - ours[i])); d > scale {
							t.Fatalf("value %d of output %d is %v, the library's %v: further than %v", i, o, ours[i], lib[i], scale)
						}
						signal += float64(want[i]) * float64(want[i])
						gap += math.Pow(float64(want[i]-ours[i]), 2)
					}
				}
				if !(gap <= signal/100+1e-3) {
					t.Errorf("seed %d: only %.1f dB from float", seed, 10*math.Log10(signal/gap))
				}
			}
		})
	}
}

// integers says whether a graph computes an operator in int8.
func integers(g *graph.Graph, k graph.Kind) bool {
	for _, o := range g.Ops {
		if o.Kind == k && g.Tensors[o.Outputs[0]].Type == graph.Int8 {
			return true
		}
	}
	return false
}

// quantOfOutput returns the quantisation of what an output is dequantised from.
func quantOfOutput(g *graph.Graph, output int) *graph.Quant {
	for _, o := range g.Ops {
		if o.Kind == graph.Dequantize && o.Outputs[0] == g.Outputs[output] {
			return g.Tensors[o.Inputs[0]].Quant
		}
	}
	return nil
}

// runNoise runs sample 0 and returns the outputs.
func runNoise(t *testing.T, g, float *graph.Graph, library bool) [][]float32 {
	t.Helper()
	var out [][]float32
	if library {
		r, err := tflite.NewRunner(marshal(t, g), tflite.Options{})
		if err != nil { // XNNPACK does not take it
			r, err = tflite.NewRunner(marshal(t, g), tflite.Options{Builtin: true})
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for k := range g.Inputs {
			v := make([]float32, len(r.Input(k))/4)
			noise{}.Fill(0, k, v)
			copy(r.Input(k), floatBytes(v))
		}
		if err := r.Run(); err != nil {
			t.Fatal(err)
		}
		for k := range g.Outputs {
			var v []float32
			for b := r.Output(k); len(b) > 0; b = b[4:] {
				v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			}
			out = append(out, v)
		}
		return out
	}
	n, err := portable.Load(g, portable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := n.NewSession()
	defer s.Close()
	for k, i := range g.Inputs {
		noise{}.Fill(0, k, s.Float32(i))
	}
	s.Run()
	for _, i := range g.Outputs {
		out = append(out, append([]float32(nil), s.Float32(i)...))
	}
	return out
}

// CONCATENATION behind RESHAPE: all that is joined has one scale, and what
// feeds the reshapes too.
func TestJoinedTensorsHaveOneScale(t *testing.T) {
	g := &graph.Graph{Tensors: []*graph.Tensor{
		{Name: "a", Type: graph.Float32, Shape: []int{1, 2, 2, 4}}, {Name: "b", Type: graph.Float32, Shape: []int{1, 1, 1, 4}},
		{Name: "wide", Type: graph.Float32, Shape: []int{1, 2, 2, 4}}, {Name: "two", Type: graph.Float32, Shape: []int{1}, Data: floatBytes([]float32{8})},
		{Name: "flat a", Type: graph.Float32, Shape: []int{4, 4}}, {Name: "flat b", Type: graph.Float32, Shape: []int{1, 4}},
		{Name: "out", Type: graph.Float32, Shape: []int{5, 4}},
	}, Inputs: []int{0, 1}, Outputs: []int{6}}
	g.Ops = []*graph.Op{
		{Kind: graph.Mul, Version: 1, Inputs: []int{0, 3}, Outputs: []int{2}, Options: graph.ArithOptions{}},
		{Kind: graph.Reshape, Version: 1, Inputs: []int{2}, Outputs: []int{4}, Options: graph.ReshapeOptions{Shape: []int{4, 4}}},
		{Kind: graph.Reshape, Version: 1, Inputs: []int{1}, Outputs: []int{5}, Options: graph.ReshapeOptions{Shape: []int{1, 4}}},
		{Kind: graph.Concatenation, Version: 1, Inputs: []int{4, 5}, Outputs: []int{6}, Options: graph.ConcatOptions{}},
	}
	res, err := Build(context.Background(), g, noise{g}, Recipe{Mode: Int8, FloatIO: true}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var scales []float32
	for _, name := range []string{"wide", "flat a", "flat b", "out/int8", "b/int8"} {
		i := res.Graph.Find(name)
		if i < 0 || res.Graph.Tensors[i].Quant == nil {
			t.Fatalf("no int8 tensor %q", name)
		}
		scales = append(scales, res.Graph.Tensors[i].Quant.Scale[0])
	}
	for _, s := range scales {
		if s != scales[0] {
			t.Fatalf("scales %v", scales)
		}
	}
	lib, ours := runNoise(t, res.Graph, g, true), runNoise(t, res.Graph, g, false)
	for i := range lib[0] {
		if math.Abs(float64(lib[0][i]-ours[0][i])) > float64(scales[0])*1.01 {
			t.Fatalf("value %d: %v, the library's %v", i, ours[0][i], lib[0][i])
		}
	}
	// A sigmoid's range is fixed: what joins it with others computes in float32.
	g.Ops[0] = &graph.Op{Kind: graph.Logistic, Version: 1, Inputs: []int{0}, Outputs: []int{2}}
	if res, err = Build(context.Background(), g, noise{g}, Recipe{Mode: Int8, FloatIO: true}, Options{}); err != nil {
		t.Fatal(err)
	}
	if integers(res.Graph, graph.Concatenation) || len(res.Plan.Notes) == 0 {
		t.Errorf("a sigmoid is joined with what has another scale: %q", res.Plan.Notes)
	}
	runNoise(t, res.Graph, g, true)
}
