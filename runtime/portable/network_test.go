package portable_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/infer/infertest"
	"mien/runtime/infer/optest"
	"mien/runtime/model"
	"mien/runtime/portable"
)

// networks returns a whole network in float32 and in int8.
func networks(t *testing.T) []*graph.Graph {
	t.Helper()
	g := infertest.Network(5, model.Heads()...)
	var inputs [][]float64
	for _, f := range infertest.Faces(4) {
		inputs = append(inputs, infertest.Input(f.Pix))
	}
	q, err := infertest.Int8(g, inputs)
	if err != nil {
		t.Fatal(err)
	}
	return []*graph.Graph{g, q}
}

// session returns a session of g, closed with the test.
func session(t *testing.T, g *graph.Graph, o portable.Options) *portable.Session {
	t.Helper()
	n, err := portable.Load(g, o)
	if err != nil {
		t.Fatal(err)
	}
	s := n.NewSession()
	t.Cleanup(func() { s.Close() })
	return s
}

// feed gives a session its random input.
func feed(g *graph.Graph, s *portable.Session, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	for _, i := range g.Inputs {
		if v := s.Int8(i); v != nil {
			optest.FillInt8(r, v)
		} else {
			optest.FillFloat32(r, s.Float32(i))
		}
	}
}

// TestPlansAgree runs a network as it would run on one thread in Go with all
// its tensors kept, and in every other way: fused, in shared memory, on other
// kernels, on several threads. Integers are the same; so are floats on the
// same kernels.
func TestPlansAgree(t *testing.T) {
	for _, g := range networks(t) {
		for _, kernels := range portable.Kernels() {
			plain := session(t, g, portable.Options{Keep: true, Kernels: kernels})
			oracle := session(t, g, portable.Options{Keep: true, Kernels: "go"})
			for _, threads := range []int{1, 2, 5} {
				other := session(t, g, portable.Options{Threads: threads, ShareFrom: 1, Kernels: kernels})
				for seed := range uint64(3) {
					for _, s := range []*portable.Session{plain, oracle, other} {
						feed(g, s, seed)
						s.Run()
					}
					for _, i := range g.Outputs {
						if !slices.Equal(plain.Int8(i), other.Int8(i)) || !slices.Equal(plain.Float32(i), other.Float32(i)) {
							t.Fatalf("%s, %d threads: output %s differs from the plan that keeps everything", kernels, threads, g.Tensors[i].Name)
						}
						if !slices.Equal(oracle.Int8(i), other.Int8(i)) {
							t.Fatalf("%s: int8 output %s differs from Go's", kernels, g.Tensors[i].Name)
						}
					}
				}
			}
		}
	}
}

// TestKeepShowsEveryTensor reads all tensors, and the float ones of an int8
// graph by their scales.
func TestKeepShowsEveryTensor(t *testing.T) {
	for _, g := range networks(t) {
		s := session(t, g, portable.Options{Keep: true})
		feed(g, s, 1)
		s.Run()
		for _, op := range g.Ops {
			i := op.Outputs[0]
			v, err := s.Real(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			if len(v) != g.Tensors[i].Elems() {
				t.Errorf("%s: %d values, want %d", g.Tensors[i].Name, len(v), g.Tensors[i].Elems())
			}
			if slices.Max(v) == slices.Min(v) {
				t.Errorf("%s: all values are %v", g.Tensors[i].Name, v[0])
			}
		}
	}
}

// TestSharedWeights runs two sessions of one network at the same time.
func TestSharedWeights(t *testing.T) {
	g := networks(t)[1]
	n, err := portable.Load(g, portable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := n.NewSession()
	feed(g, want, 4)
	want.Run()
	done := make(chan []int8)
	for range 4 {
		go func() {
			s := n.NewSession()
			for range 50 {
				feed(g, s, 4)
				s.Run()
			}
			done <- slices.Clone(s.Int8(g.Outputs[0]))
		}()
	}
	for range 4 {
		if got := <-done; !slices.Equal(got, want.Int8(g.Outputs[0])) {
			t.Errorf("got %v, want %v", got, want.Int8(g.Outputs[0]))
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, g := range networks(t) {
		for _, threads := range []int{1, 3} {
			s := session(t, g, portable.Options{Threads: threads, ShareFrom: 1})
			if n := testing.AllocsPerRun(50, s.Run); n != 0 {
				t.Errorf("%d threads: %v allocations", threads, n)
			}
		}
	}
}

// TestInfinityStaysInItsRun checks that a run with infinite values leaves
// nothing behind that changes the next.
func TestInfinityStaysInItsRun(t *testing.T) {
	g := networks(t)[0]
	s := session(t, g, portable.Options{})
	feed(g, s, 1)
	s.Run()
	want := slices.Clone(s.Float32(g.Outputs[0]))
	for i := range s.Float32(g.Inputs[0]) {
		s.Float32(g.Inputs[0])[i] = float32(math.Inf(1))
	}
	s.Run()
	feed(g, s, 1)
	s.Run()
	if got := s.Float32(g.Outputs[0]); !slices.Equal(got, want) {
		t.Errorf("after a run of infinities: %v, want %v", got, want)
	}
}

// TestLowestWeight runs weights of -128, which not all kernels take.
func TestLowestWeight(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	g := optest.Random(r, graph.Conv2D, graph.Int8)
	for i := range g.Tensors[1].Data {
		g.Tensors[1].Data[i] = 0x80
	}
	want := session(t, g, portable.Options{Kernels: "go"})
	got := session(t, g, portable.Options{})
	for i := range want.Int8(g.Inputs[0]) {
		want.Int8(g.Inputs[0])[i], got.Int8(g.Inputs[0])[i] = -128, -128
	}
	want.Run()
	got.Run()
	if a, b := got.Int8(g.Outputs[0]), want.Int8(g.Outputs[0]); !slices.Equal(a, b) {
		t.Errorf("got %v, want %v", a, b)
	}
}

// TestErrorsSayWhat checks that a graph which cannot run says where and why.
func TestErrorsSayWhat(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(g *graph.Graph)
		want   string
	}{
		{"unknown operator", func(g *graph.Graph) { g.Ops[0].Kind = 16 }, "does not compute LSTM"},
		{"no scale", func(g *graph.Graph) { g.Tensors[0].Quant = nil }, `"in" is int8 but has not one scale`},
		{"short filter", func(g *graph.Graph) { g.Tensors[1].Data = g.Tensors[1].Data[1:] }, `tensor 1 "weights"`},
		{"wrong output", func(g *graph.Graph) { g.Tensors[3].Shape[1] += 7 }, "operator 0 (CONV_2D): output"},
		{"no options", func(g *graph.Graph) { g.Ops[0].Options = nil }, "it has no options"},
		{"index", func(g *graph.Graph) { g.Ops[0].Inputs[0] = 17 }, "reads tensor 17"},
		{"never written", func(g *graph.Graph) { g.Ops = nil }, "never computed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := optest.Random(rand.New(rand.NewPCG(1, 2)), graph.Conv2D, graph.Int8)
			c.damage(g)
			_, err := portable.Load(g, portable.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := portable.Load(&graph.Graph{}, portable.Options{Kernels: "mmx"}); err == nil || !strings.Contains(err.Error(), "mmx") {
		t.Errorf("error %v, want one that names the kernels", err)
	}
}

// TestConstantOperands compares ADD and MUL with a constant, which may become
// a pass per channel, with the same operator on an input. The sides are all
// equal, so that only the shape tells what is repeated along what.
func TestConstantOperands(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, kind := range []graph.Kind{graph.Add, graph.Mul} {
		for _, shape := range [][]int{{4}, {1, 1, 1, 4}, {4, 1}, {1, 4, 1, 1}, {1}, {4, 4}, {1, 4, 4, 4}} {
			values := make([]float32, (&graph.Tensor{Shape: shape}).Elems())
			optest.FillFloat32(r, values)
			constant := arithGraph(kind, shape, values)
			computed := arithGraph(kind, shape, nil)
			a, b := session(t, constant, portable.Options{}), session(t, computed, portable.Options{Keep: true})
			feed(constant, a, 3)
			feed(computed, b, 3)
			copy(b.Float32(1), values)
			a.Run()
			b.Run()
			if got, want := a.Float32(2), b.Float32(2); !slices.Equal(got, want) {
				t.Errorf("%v with a constant %v: got %v, want %v", kind, shape, got, want)
			}
		}
	}
}

// arithGraph has one operator on a picture of 4x4x4 and a tensor of a shape,
// constant when there are values for it.
func arithGraph(kind graph.Kind, shape []int, values []float32) *graph.Graph {
	g := &graph.Graph{
		Tensors: []*graph.Tensor{
			{Name: "x", Shape: []int{1, 4, 4, 4}}, {Name: "y", Shape: shape}, {Name: "out", Shape: []int{1, 4, 4, 4}},
		},
		Ops:    []*graph.Op{{Kind: kind, Version: 1, Inputs: []int{0, 1}, Outputs: []int{2}, Options: graph.ArithOptions{}}},
		Inputs: []int{0, 1}, Outputs: []int{2},
	}
	if values != nil {
		g.Inputs = g.Inputs[:1]
		for _, v := range values {
			g.Tensors[1].Data = binary.LittleEndian.AppendUint32(g.Tensors[1].Data, math.Float32bits(v))
		}
	}
	return g
}

// No operator allocates while it runs.
func TestOperatorsAllocateNothing(t *testing.T) {
	for _, k := range optest.Kinds() {
		for _, typ := range []graph.Type{graph.Float32, graph.Int8} {
			g := optest.Random(rand.New(rand.NewPCG(7, uint64(k))), k, typ)
			s := session(t, g, portable.Options{})
			if n := testing.AllocsPerRun(3, s.Run); n > 0 {
				t.Errorf("%v in %v: %v allocations", k, typ, n)
			}
		}
	}
}
