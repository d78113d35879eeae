package export

import (
	"context"
	"image"
	"math"
	"testing"

	"mien/quant"
	"mien/quant/inspect"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	library "mien/runtime/tflite"
	"mien/train/arch"
)

// Every network in every mode loads and runs in the TensorFlow Lite library,
// with its own kernels and with XNNPACK, and answers much as the float file.
func TestNetworksRunQuantisedInTheLibrary(t *testing.T) {
	pictures := infertest.Faces(3)
	var faces quant.Faces
	for _, f := range pictures {
		faces = append(faces, f.Pix)
	}
	for _, net := range []arch.Net{arch.Paper(model.Heads()), arch.Edge(model.Heads())} {
		_, weights := trained(t, net, true)
		g, err := Graph(net, weights, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := answers(t, marshal(t, g), pictures, true)
		for _, mode := range quant.Modes() {
			res, err := quant.Build(context.Background(), g, faces, quant.Recipe{Mode: mode}, quant.Options{})
			if err != nil {
				t.Fatalf("%s %s: %v", net.Name, mode, err)
			}
			file := marshal(t, res.Graph)
			for _, builtin := range []bool{true, false} {
				sum, n := 0.0, 0
				for i, got := range answers(t, file, pictures, builtin) {
					for k := range got {
						sum += math.Abs(float64(got[k] - want[i][k]))
						n++
					}
				}
				if mean := sum / float64(n); !(mean <= tolerance[mode]) {
					t.Errorf("%s %s, builtin %v: probabilities differ by %.4f in the mean", net.Name, mode, builtin, mean)
				}
			}
		}
	}
}

// tolerance is the mean difference of a probability from float that a mode may
// make in a network of random weights.
var tolerance = map[quant.Mode]float64{quant.Float32: 1e-5, quant.Float16: 2e-3, quant.Dynamic: 0.03, quant.Int8: 0.05, quant.Int16x8: 0.02}

func answers(t *testing.T, file []byte, faces []*image.Gray, builtin bool) [][]float32 {
	t.Helper()
	var e infer.Model
	e, err := library.Open(file, library.Options{Builtin: builtin})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var out [][]float32
	for _, f := range faces {
		s := e.Spec().NewScores()
		if err := e.Predict(f, s); err != nil {
			t.Fatal(err)
		}
		var all []float32
		for _, h := range s.Heads {
			all = append(all, h...)
		}
		out = append(out, all)
	}
	return out
}

// What the edge network is for: the Edge TPU takes all of it, of the paper's
// network only the first layer.
func TestEdgeTPUTakesTheEdgeNetwork(t *testing.T) {
	for _, c := range []struct {
		net  arch.Net
		ends func(ops int) int
	}{{arch.Edge(model.Heads()), func(n int) int { return n }}, {arch.Paper(model.Heads()), func(int) int { return 1 }}} {
		_, weights := trained(t, c.net, false)
		g, err := Graph(c.net, weights, []string{"emotion"})
		if err != nil {
			t.Fatal(err)
		}
		var faces quant.Faces
		for _, f := range infertest.Faces(2) {
			faces = append(faces, f.Pix)
		}
		res, err := quant.Build(context.Background(), g, faces, quant.Recipe{}, quant.Options{})
		if err != nil {
			t.Fatal(err)
		}
		e := inspect.CheckEdgeTPU(res.Graph)
		if want := c.ends(len(res.Graph.Ops)); e.Ends != want || e.Mapped != want {
			t.Errorf("%s: %s", c.net.Name, e.Verdict)
		}
	}
}

// A head that is left out is not in the integer file either: no tensor of it,
// and fewer weights by exactly its own.
func TestQuantisedHeadsLeftOut(t *testing.T) {
	_, weights := trained(t, arch.Paper(model.Heads()), false)
	var faces quant.Faces
	for _, f := range infertest.Faces(2) {
		faces = append(faces, f.Pix)
	}
	count := func(heads ...string) (n int, names []string) {
		g, err := Graph(arch.Paper(model.Heads()), weights, heads)
		if err != nil {
			t.Fatal(err)
		}
		res, err := quant.Build(context.Background(), g, faces, quant.Recipe{}, quant.Options{})
		if err != nil {
			t.Fatal(err)
		}
		back, err := flatfile.Unmarshal(marshal(t, res.Graph))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range back.Tensors {
			names = append(names, x.Name)
			if x.Const() && x.Type == graph.Int8 {
				n += x.Elems()
			}
		}
		return n, names
	}
	all, _ := count()
	some, names := count("emotion", "age", "gender")
	if all-some != 3*128 {
		t.Errorf("%d weights without race, %d with", some, all)
	}
	for _, n := range names {
		if len(n) >= 4 && n[:4] == model.Race.Name {
			t.Errorf("tensor %s", n)
		}
	}
}
