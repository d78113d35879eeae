package export

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mien/quant"
	"mien/runtime/face/filter"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/runtime/portable"
	"mien/train/arch"
	"mien/train/nn"
)

// trained returns a network whose batch norms have moved, as training moves
// them, with some scales below zero where negative is set.
func trained(t *testing.T, a arch.Net, negative bool) (*nn.Net, map[string][]float32) {
	t.Helper()
	net, err := nn.New(a, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	net.Init(1)
	rng := rand.New(rand.NewPCG(3, 4))
	weights := map[string][]float32{}
	for _, p := range net.Params() {
		for i := range p.Value {
			switch {
			case strings.HasSuffix(p.Name, ".running_var"):
				p.Value[i] = 0.5 + rng.Float32()
			case strings.HasSuffix(p.Name, ".running_mean"), strings.HasSuffix(p.Name, ".bias"):
				p.Value[i] = rng.Float32() - 0.5
			case len(p.Shape) == 1:
				p.Value[i] = 0.5 + rng.Float32()
				if negative && i%5 == 2 {
					p.Value[i] = -p.Value[i]
				}
			}
		}
		weights[p.Name] = p.Value
	}
	return net, weights
}

// small has every layer and every way in which layers are fused.
func small() arch.Net {
	return arch.Net{Name: "small", Heads: []model.Head{model.Emotion, model.Race}, Body: []arch.Layer{
		{Op: arch.Conv, Name: "c1", Out: 6, Kernel: 5},
		{Op: arch.ELU, Name: "e1"},
		{Op: arch.BatchNorm, Name: "n1"},
		{Op: arch.Conv, Name: "c2", Out: 8, Kernel: 3, Stride: 2, NoBias: true},
		{Op: arch.BatchNorm, Name: "n2"},
		{Op: arch.ReLU6, Name: "r2"},
		{Op: arch.Depthwise, Name: "d3", Kernel: 3, NoBias: true},
		{Op: arch.BatchNorm, Name: "n3"},
		{Op: arch.ReLU, Name: "r3"},
		{Op: arch.Conv, Name: "c4", Out: 8, Kernel: 1},
		{Op: arch.Add, Name: "a4", With: "r2"},
		{Op: arch.ReLU, Name: "r4"},
		{Op: arch.BatchNorm, Name: "n4"},
		{Op: arch.MaxPool, Name: "p4", Kernel: 2, Stride: 2},
		{Op: arch.Conv, Name: "c5", Out: 4, Kernel: 4},
		{Op: arch.ELU, Name: "e5"},
		{Op: arch.BatchNorm, Name: "n5"},
		{Op: arch.Flatten, Name: "f"},
		{Op: arch.Dropout, Name: "o", Rate: 0.5},
		{Op: arch.Dense, Name: "dense", Out: 10},
		{Op: arch.ELU, Name: "e6"},
		{Op: arch.BatchNorm, Name: "n6"},
	}}
}

// others has the layers that small has not, as networks of other programs do.
func others() arch.Net {
	return arch.Net{Name: "others", Heads: []model.Head{model.Emotion, model.Race}, Body: []arch.Layer{
		{Op: arch.Conv, Name: "c1", Out: 6, Kernel: 5, Stride: 4},
		{Op: arch.ELU, Name: "e1"},
		{Op: arch.BatchNorm, Name: "n1"},
		{Op: arch.Upsample, Name: "u1", Kernel: 2},
		{Op: arch.Pad, Name: "z1", Pad: 1},
		{Op: arch.MaxPool, Name: "p1", Kernel: 3, Stride: 2},
		{Op: arch.Concat, Name: "j1", With: "n1"},
		{Op: arch.BatchNorm, Name: "n2"},
		{Op: arch.Pad, Name: "z2", Pad: 3},
		{Op: arch.Conv, Name: "c2", Out: 5, Kernel: 7, Stride: 2, Valid: true},
		{Op: arch.BatchNorm, Name: "n3"},
		{Op: arch.ReLU6, Name: "r3"},
		{Op: arch.MaxPool, Name: "p3", Kernel: 1, Stride: 2},
		{Op: arch.Mean, Name: "m"},
	}}
}

// TestEveryLayerIsExported: the networks that are compared have each layer that a
// file can have.
func TestEveryLayerIsExported(t *testing.T) {
	for _, op := range arch.Ops() {
		if !slices.ContainsFunc(append(small().Body, others().Body...), func(l arch.Layer) bool { return l.Op == op }) {
			t.Errorf("no network here has a layer %s", op)
		}
	}
}

func mean() arch.Net {
	n := small()
	n.Body = append(n.Body[:17:17], arch.Layer{Op: arch.Mean, Name: "mean"}, arch.Layer{Op: arch.BatchNorm, Name: "n7"},
		arch.Layer{Op: arch.ReLU, Name: "r7"})
	return n
}

// logits runs g and returns what goes into each softmax.
func logits(t *testing.T, g *graph.Graph, x []float32) [][]float32 {
	t.Helper()
	n, err := portable.Load(g, portable.Options{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	s := n.NewSession()
	defer s.Close()
	copy(s.Float32(g.Inputs[0]), x)
	s.Run()
	var out [][]float32
	for _, o := range g.Ops {
		if o.Kind == graph.Softmax {
			v, err := s.Real(nil, o.Inputs[0])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
	}
	return out
}

// What the file computes is what the trainer computes, up to the border:
// borders are where a batch norm folded the wrong way would show.
func TestGraphComputesWhatTheTrainerDoes(t *testing.T) {
	for _, c := range []struct {
		net      arch.Net
		negative bool
	}{{small(), false}, {small(), true}, {mean(), true}, {others(), false}, {others(), true}, {arch.Paper(model.Heads()), false}, {arch.Paper(model.Heads()), true}, {arch.Edge(model.Heads()), false}, {arch.Edge(model.Heads()), true}} {
		net, weights := trained(t, c.net, c.negative)
		g, err := Graph(c.net, weights, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := flatfile.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if g, err = flatfile.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(5, 6))
		x := make([]float32, model.Side*model.Side)
		for round := range 3 {
			for i := range x {
				x[i] = rng.Float32()
				if round == 1 {
					x[i] = 1 // the border is all that differs then
				}
			}
			want := net.Predict(x, 1)
			for h, got := range logits(t, g, x) {
				for k := range got {
					if d := math.Abs(float64(got[k] - want[h][k])); !(d <= 1e-4*max(1, math.Abs(float64(want[h][k])))) {
						t.Errorf("%s: head %d value %d: %v, the trainer says %v", c.net.Name, h, k, got[k], want[h][k])
					}
				}
			}
		}
	}
}

// A model without a head has nothing of it: no tensor by its name, and none of
// its weights anywhere in the file.
// TestFilter: trainer, engine and quantiser give a network with a filter the same
// picture, and the file says which.
func TestFilter(t *testing.T) {
	for _, name := range model.Filters() {
		a := small()
		a.Filter = name
		net, weights := trained(t, a, true)
		g, err := Graph(a, weights, nil)
		if err != nil {
			t.Fatal(err)
		}
		file, err := flatfile.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		m, err := portable.Open(file, portable.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		face := infertest.Faces(1)[0]
		x, seen := make([]float32, len(face.Pix)), make([]float32, len(face.Pix))
		for i, v := range face.Pix {
			x[i] = float32(v) / 255
		}
		scores := m.Spec().NewScores()
		if err := m.Predict(face, scores); err != nil {
			t.Fatal(err)
		}
		for k, logits := range net.Predict(x, 1) {
			var sum float64
			for _, v := range logits {
				sum += math.Exp(float64(v))
			}
			for i, v := range logits {
				if p := math.Exp(float64(v)) / sum; math.Abs(p-float64(scores.Heads[k][i])) > 1e-4 {
					t.Errorf("%s: head %d, label %d: %g in the trainer, %g on the board", name, k, i, p, scores.Heads[k][i])
				}
			}
		}
		if err := quant.Fill(g, quant.Faces{face.Pix}, 0, 0, seen); err != nil {
			t.Fatal(err)
		}
		f, err := filter.New(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range f.Of(face).Pix {
			if seen[i] != float32(v)/255 {
				t.Fatalf("%s: pixel %d is %g for the quantiser, %d on the board", name, i, seen[i], v)
			}
		}
	}
}

func TestHeadsLeftOutAreNotThere(t *testing.T) {
	_, weights := trained(t, arch.Paper(model.Heads()), false)
	all, err := Graph(arch.Paper(model.Heads()), weights, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Graph(arch.Paper(model.Heads()), weights, []string{"age", "emotion"})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Outputs) != 2 || g.Tensors[g.Outputs[0]].Name != "emotion" || g.Tensors[g.Outputs[1]].Name != "age" {
		t.Fatalf("outputs %v", g.Outputs)
	}
	whole, part := marshal(t, all), marshal(t, g)
	for _, head := range []string{"race", "gender"} {
		if bytes.Contains(part, []byte(head)) {
			t.Errorf("the file contains the word %q", head)
		}
		for _, row := range rows(all, head+"/weight", 128) {
			if !bytes.Contains(whole, row) {
				t.Fatalf("the test looks for bytes that are not in the whole file either")
			}
			if bytes.Contains(part, row) {
				t.Errorf("the file contains weights of %s", head)
			}
		}
	}
}

// rows returns the first bytes of each row of a constant.
func rows(g *graph.Graph, name string, n int) [][]byte {
	var out [][]byte
	data := g.Tensors[g.Find(name)].Data
	for at := 0; at < len(data); at += 4 * n {
		out = append(out, data[at:at+16])
	}
	return out
}

func marshal(t *testing.T, g *graph.Graph) []byte {
	t.Helper()
	b, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErrorsNameTheTensor(t *testing.T) {
	_, weights := trained(t, small(), false)
	bn := weights["n4.running_var"]
	for _, c := range []struct{ change, want string }{
		{"missing", `lack "n4.running_var"`}, {"short", `"n4.running_var" has 1 values, want 8`},
	} {
		delete(weights, "n4.running_var")
		if c.change == "short" {
			weights["n4.running_var"] = bn[:1]
		}
		if _, err := Graph(small(), weights, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.change, err)
		}
	}
	weights["n4.running_var"] = bn
	if _, err := Graph(small(), weights, []string{"mood"}); err == nil || !strings.Contains(err.Error(), "it has emotion, race") {
		t.Errorf("unknown head: %v", err)
	}
}
