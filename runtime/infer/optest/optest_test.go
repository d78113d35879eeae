//go:build tflite && cgo && linux && (amd64 || arm64)

package optest_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/optest"
	"mien/runtime/portable"
	library "mien/runtime/tflite"
)

// cases of every operator and type.
const cases = 120

// TestAgainstTheLibrary compares every operator over random shapes with
// TensorFlow Lite's builtin kernels: int8 within one step, float32 within
// 1e-5 of the values' size.
func TestAgainstTheLibrary(t *testing.T) {
	for _, name := range portable.Kernels() {
		for _, typ := range []graph.Type{graph.Float32, graph.Int8} {
			for _, kind := range optest.Kinds() {
				if known, _ := graph.Known(kind); known.Versions.Of(typ) == 0 && !known.Converts {
					continue // the library has no kernel
				}
				t.Run(fmt.Sprintf("%s/%v/%v", name, typ, kind), func(t *testing.T) {
					h := fnv.New64()
					fmt.Fprint(h, kind, typ)
					r := rand.New(rand.NewPCG(h.Sum64(), 1))
					exact, total := 0, 0
					for i := range cases {
						e, n := compare(t, r, optest.Random(r, kind, typ), portable.Options{Kernels: name, Threads: 1 + i%3, ShareFrom: 1})
						exact, total = exact+e, total+n
					}
					t.Logf("%d of %d values are the library's to the last bit", exact, total)
				})
			}
		}
	}
}

// TestOlderFiles compares in uint8, as files of before 2019 are.
func TestOlderFiles(t *testing.T) {
	for _, kind := range []graph.Kind{graph.Add, graph.AveragePool2D, graph.Conv2D, graph.DepthwiseConv2D, graph.FullyConnected,
		graph.Logistic, graph.MaxPool2D, graph.Mul, graph.Pad, graph.Reshape, graph.Softmax} {
		t.Run(kind.String(), func(t *testing.T) {
			h := fnv.New64()
			fmt.Fprint(h, kind, "older")
			r := rand.New(rand.NewPCG(h.Sum64(), 1))
			exact, total := 0, 0
			for range cases {
				e, n := compare(t, r, optest.Older(r, optest.Random(r, kind, graph.Int8)), portable.Options{})
				exact, total = exact+e, total+n
			}
			t.Logf("%d of %d values are the library's to the last bit", exact, total)
		})
	}
}

// TestDenseLayersPerChannel compares dense layers with a scale for each output,
// which TensorFlow Lite 2.9 computes wrongly, with its 1x1 convolution of them.
func TestDenseLayersPerChannel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for n := 0; n < 30; {
		conv := optest.Random(r, graph.Conv2D, graph.Int8)
		w := conv.Tensors[conv.Ops[0].Inputs[1]]
		if w.Shape[1]*w.Shape[2] != 1 || conv.Ops[0].Options.(graph.ConvOptions).StrideH != 1 || conv.Ops[0].Options.(graph.ConvOptions).StrideW != 1 {
			continue
		}
		n++
		dense := conv.Clone()
		op := dense.Ops[0]
		op.Kind, op.Version = graph.FullyConnected, 4
		op.Options = graph.FullyConnectedOptions{Activation: op.Fused(), KeepDims: true}
		dense.Tensors[op.Inputs[1]].Shape = []int{w.Shape[0], w.Shape[3]}
		compareGraphs(t, r, conv, dense, portable.Options{})
	}
}

// withinAStep are the operators whose integers may be a step from the library's:
// they are computed through float32, PRELU only where its slopes are not one for
// each channel.
var withinAStep = []graph.Kind{graph.BatchMatMul, graph.Prelu, graph.SquaredDifference}

// halves are the operators that are tried with scales of which halves of a step
// come. Not MUL, MEAN and TRANSPOSE_CONV: XNNPACK rounds a half of theirs otherwise
// on arm64 than on amd64.
var halves = []graph.Kind{graph.Add, graph.AveragePool2D, graph.Conv2D, graph.DepthwiseConv2D, graph.FullyConnected, graph.LeakyRelu,
	graph.MaxPool2D, graph.ResizeBilinear, graph.Sub}

// TestIsTheLibrarys demands the last bit of what TensorFlow Lite computes with by
// default, which is XNNPACK where that takes an operator: networks of a hundred
// layers amplify a single step until engines differ by dozens, as the library's
// own two sets of kernels do.
func TestIsTheLibrarys(t *testing.T) {
	for _, kind := range optest.Kinds() {
		if known, _ := graph.Known(kind); known.Versions.Int8 == 0 || slices.Contains(withinAStep, kind) {
			continue
		}
		if kind == graph.TransposeConv && runtime.GOARCH == "arm64" {
			continue // XNNPACK rounds its sums in fixed point there, in float32 elsewhere
		}
		t.Run(kind.String(), func(t *testing.T) {
			h := fnv.New64()
			fmt.Fprint(h, kind, "XNNPACK")
			r := rand.New(rand.NewPCG(h.Sum64(), 1))
			taken := 0
			for i := range cases {
				g := optest.Random(r, kind, graph.Int8)
				if i%2 == 0 && slices.Contains(halves, kind) {
					powersOfTwo(g)
				}
				data, err := flatfile.Marshal(g)
				if err != nil {
					t.Fatal(err)
				}
				run, err := library.NewRunner(data, library.Options{})
				if err != nil {
					continue // XNNPACK must not see it, and the library's own kernels serve
				}
				run.Close()
				taken++
				exact, total := compareWith(t, r, library.Options{}, g, g, portable.Options{})
				if exact != total {
					t.Fatalf("%s: %d of %d values are not the library's", describe(g), total-exact, total)
				}
			}
			if taken < cases/2 {
				t.Errorf("the library took %d of %d graphs", taken, cases)
			}
		})
	}
}

// powersOfTwo makes scales of activations such that halves are frequent.
func powersOfTwo(g *graph.Graph) {
	for _, t := range g.Tensors {
		if t.Quant != nil && !t.Const() {
			_, exp := math.Frexp(float64(t.Quant.Scale[0]))
			t.Quant = &graph.Quant{Scale: []float32{float32(math.Ldexp(1, exp))}, Zero: t.Quant.Zero}
		}
	}
}

func compare(t *testing.T, r *rand.Rand, g *graph.Graph, o portable.Options) (exact, total int) {
	t.Helper()
	return compareGraphs(t, r, g, g, o)
}

// compareGraphs compares the library's result of theirs with ours of g, which
// has the same tensors. RESIZE_BILINEAR is XNNPACK's: the library's two kernels
// for it differ by two steps.
func compareGraphs(t *testing.T, r *rand.Rand, theirs, g *graph.Graph, o portable.Options) (exact, total int) {
	t.Helper()
	return compareWith(t, r, library.Options{Builtin: theirs.Ops[0].Kind != graph.ResizeBilinear}, theirs, g, o)
}

// compareWith is compareGraphs with the library's kernels of a choice.
func compareWith(t *testing.T, r *rand.Rand, kernels library.Options, theirs, g *graph.Graph, o portable.Options) (exact, total int) {
	t.Helper()
	data, err := flatfile.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	want, err := library.NewRunner(data, kernels)
	if err != nil {
		t.Fatalf("%s: %v", describe(g), err)
	}
	defer want.Close()
	net, err := portable.Load(g, o)
	if err != nil {
		t.Fatalf("%s: %v", describe(g), err)
	}
	s := net.NewSession()
	defer s.Close()
	for i, in := range g.Inputs {
		flip := byte(0)
		if g.Tensors[in].Type == graph.UInt8 {
			flip = 0x80
		}
		fill(r, s, in, flip, want.Input(i))
	}
	if err := want.Run(); err != nil {
		t.Fatalf("%s: %v", describe(g), err)
	}
	s.Run()
	for k := range g.Outputs {
		e, n := compareOutput(t, g, s, k, want.Output(k))
		exact, total = exact+e, total+n
	}
	return exact, total
}

// compareOutput compares output k with the library's bytes.
func compareOutput(t *testing.T, g *graph.Graph, s *portable.Session, k int, want []byte) (exact, total int) {
	t.Helper()
	out := g.Outputs[k]
	if got := s.Int8(out); got != nil {
		flip := byte(0)
		if g.Tensors[out].Type == graph.UInt8 {
			flip = 0x80
		}
		for i, v := range got {
			w := int8(want[i] ^ flip)
			if d := int(v) - int(w); d < -1 || d > 1 {
				t.Fatalf("%s: value %d of output %d is %d, the library's %d", describe(g), i, k, v, w)
			} else if d == 0 {
				exact++
			}
		}
		return exact, len(got)
	}
	if got := s.Int32(out); got != nil {
		size := g.Tensors[out].Type.Size()
		for i, v := range got {
			if w := int32(binary.LittleEndian.Uint32(want[size*i:])); v != w {
				t.Fatalf("%s: value %d is %d, the library's %d", describe(g), i, v, w)
			}
		}
		return len(got), len(got)
	}
	got := s.Float32(out)
	if len(got) != len(want)/4 {
		t.Fatalf("%s: %d values, the library's %d", describe(g), len(got), len(want)/4)
	}
	for i, v := range got {
		w := math.Float32frombits(binary.LittleEndian.Uint32(want[4*i:]))
		if !(math.Abs(float64(v-w)) <= 1e-5*(1+math.Abs(float64(w)))) {
			t.Fatalf("%s: value %d of output %d is %v, the library's %v", describe(g), i, k, v, w)
		}
		if v == w {
			exact++
		}
	}
	return exact, len(got)
}

// fill gives both engines the same random input.
func fill(r *rand.Rand, s *portable.Session, tensor int, flip byte, raw []byte) {
	if v := s.Int8(tensor); v != nil {
		optest.FillInt8(r, v)
		for i, x := range v {
			raw[i] = byte(x) ^ flip
		}
		return
	}
	v := s.Float32(tensor)
	optest.FillFloat32(r, v)
	for i, x := range v {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
	}
}

// describe returns the operator and its tensors in words.
func describe(g *graph.Graph) string {
	op := g.Ops[len(g.Ops)-1]
	s := fmt.Sprintf("%v %+v:", op.Kind, op.Options)
	for _, i := range append(append([]int{}, op.Inputs...), op.Outputs...) {
		t := g.Tensors[i]
		s += fmt.Sprintf(" %s %v %v", t.Name, t.Type, t.Shape)
		if t.Quant != nil && len(t.Quant.Scale) == 1 {
			s += fmt.Sprintf(" (%v, %v)", t.Quant.Scale[0], t.Quant.Zero)
		}
	}
	return s
}
