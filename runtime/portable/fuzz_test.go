package portable_test

import (
	"math/rand/v2"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/infertest"
	"mien/runtime/infer/optest"
	"mien/runtime/model"
	"mien/runtime/portable"
)

// FuzzFile loads damaged files: an error or a network that runs, no panic.
func FuzzFile(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range optest.Kinds() {
		for _, typ := range []graph.Type{graph.Float32, graph.Int8} {
			data, err := flatfile.Marshal(optest.Random(r, k, typ))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	data, err := flatfile.Marshal(infertest.Network(1, model.Heads()...))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(_ *testing.T, data []byte) {
		if g, err := flatfile.Unmarshal(data); err == nil {
			tryRun(g, 1)
		}
	})
}

// FuzzGraph loads graphs of one operator with some fields changed at random,
// which reaches further than damaged bytes do.
func FuzzGraph(f *testing.F) {
	for i := range uint64(4 * len(optest.Kinds())) {
		f.Add(i, uint8(i), uint8(i%5))
	}
	f.Fuzz(func(_ *testing.T, seed uint64, kind, changes uint8) {
		r := rand.New(rand.NewPCG(seed, uint64(kind)))
		typ := graph.Float32
		if seed%2 == 0 {
			typ = graph.Int8
		}
		kinds := optest.Kinds()
		g := optest.Random(r, kinds[int(kind)%len(kinds)], typ)
		for range changes % 8 {
			optest.Damage(r, g)
		}
		tryRun(g, 1+int(seed%3))
	})
}

// tryRun loads a graph in every way and runs it where that works, unless it is
// large.
func tryRun(g *graph.Graph, threads int) {
	for _, t := range g.Tensors {
		if t != nil && t.Elems() > 1<<16 {
			return
		}
	}
	for _, o := range []portable.Options{{Threads: threads, ShareFrom: 1}, {Keep: true}, {Kernels: "go"}} {
		n, err := portable.Load(g, o)
		if err != nil {
			continue
		}
		s := n.NewSession()
		s.Run()
		for i := range g.Tensors {
			s.Real(nil, i)
		}
		s.Close()
	}
}
