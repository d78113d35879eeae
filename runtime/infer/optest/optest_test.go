//go:build tflite && cgo && linux && (amd64 || arm64)

package optest_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
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

func compare(t *testing.T, r *rand.Rand, g *graph.Graph, o portable.Options) (exact, total int) {
	t.Helper()
	data, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	want, err := library.NewRunner(data, library.Options{Builtin: true})
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
		fill(r, s, in, want.Input(i))
	}
	if err := want.Run(); err != nil {
		t.Fatalf("%s: %v", describe(g), err)
	}
	s.Run()
	out := g.Outputs[0]
	if got := s.Int8(out); got != nil {
		for i, v := range got {
			w := int8(want.Output(0)[i])
			if d := int(v) - int(w); d < -1 || d > 1 {
				t.Fatalf("%s: value %d is %d, the library's %d", describe(g), i, v, w)
			} else if d == 0 {
				exact++
			}
		}
		return exact, len(got)
	}
	got := s.Float32(out)
	for i, v := range got {
		w := math.Float32frombits(binary.LittleEndian.Uint32(want.Output(0)[4*i:]))
		if !(math.Abs(float64(v-w)) <= 1e-5*(1+math.Abs(float64(w)))) {
			t.Fatalf("%s: value %d is %v, the library's %v", describe(g), i, v, w)
		}
		if v == w {
			exact++
		}
	}
	return exact, len(got)
}

// fill gives both engines the same random input.
func fill(r *rand.Rand, s *portable.Session, tensor int, raw []byte) {
	if v := s.Int8(tensor); v != nil {
		optest.FillInt8(r, v)
		for i, x := range v {
			raw[i] = byte(x)
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
	op := g.Ops[0]
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
