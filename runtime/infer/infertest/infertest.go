// Package infertest is the conformance suite of the inference engines: what
// every implementation of infer.Model does, checked against one oracle.
package infertest

import (
	"fmt"
	"image"
	"image/draw"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/face/filter"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer"
	"mien/runtime/model"
)

// Open loads a .tflite file into the engine under test.
type Open func(data []byte) (infer.Model, error)

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Run("Scores", func(t *testing.T) { scores(t, open, f) })
			t.Run("Determinism", func(t *testing.T) { determinism(t, open, f) })
			t.Run("Stride", func(t *testing.T) { stride(t, open, f) })
			t.Run("WrongArguments", func(t *testing.T) { wrongArguments(t, open, f) })
			t.Run("OwnsItsData", func(t *testing.T) { ownsItsData(t, open, f) })
			t.Run("Close", func(t *testing.T) { closing(t, open, f) })
			t.Run("Concurrency", func(t *testing.T) { concurrency(t, open, f) })
			t.Run("Filter", func(t *testing.T) { filtered(t, open, f) })
			t.Run("Allocations", func(t *testing.T) { allocations(t, open, f) })
		})
	}
	t.Run("BadFiles", func(t *testing.T) { badFiles(t, open) })
	t.Run("Damage", func(t *testing.T) { damage(t, open) })
}

// fixture is a model with faces and the oracle's scores of them.
type fixture struct {
	name      string
	heads     []model.Head
	data      []byte
	faces     []*image.Gray
	want      []*model.Scores
	tolerance float64 // of one score
	sum       float64 // of the sum of a head's scores
}

func fixtures(t *testing.T) []fixture {
	t.Helper()
	var all []fixture
	for _, heads := range [][]model.Head{model.Heads(), {model.Emotion, model.Age}} {
		g := Network(7, heads...)
		faces := Faces(8)
		var inputs [][]float64
		var want []*model.Scores
		for _, f := range faces {
			inputs = append(inputs, Input(f.Pix))
			v, err := Eval(g, Input(f.Pix))
			if err != nil {
				t.Fatal(err)
			}
			s := (&model.Spec{Heads: heads}).NewScores()
			for i := range heads {
				for k, p := range v[g.Outputs[i]] {
					s.Heads[i][k] = float32(p)
				}
			}
			want = append(want, s)
		}
		q, err := Int8(g, inputs)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%dheads", len(heads))
		all = append(all,
			fixture{"float32/" + name, heads, Marshal(t, g), faces, want, 1e-4, 1e-5},
			fixture{"int8/" + name, heads, Marshal(t, q), faces, want, 0.08, 7. / 256})
	}
	return all
}

// filtered: a model whose input asks for a filter is given what that makes of the
// face, and the face itself is left alone.
func filtered(t *testing.T, open Open, f fixture) {
	plain, want := start(t, open, f)
	for _, name := range model.Filters() {
		g, err := flatfile.Unmarshal(f.data)
		if err != nil {
			t.Fatal(err)
		}
		rename(g, g.Inputs, name.Input())
		f := f
		f.data = Marshal(t, g)
		m, got := start(t, open, f)
		if m.Spec().Filter != name {
			t.Errorf("%s: the spec says filter %q", name, m.Spec().Filter)
		}
		made, err := filter.New(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, face := range f.faces[:2] {
			before := slices.Clone(face.Pix)
			predict(t, m, face, got)
			predict(t, plain, made.Of(face), want)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			predict(t, plain, face, want)
			if !slices.Equal(before, face.Pix) || cmp.Equal(want, got) {
				t.Errorf("%s: the face was changed, or not filtered", name)
			}
		}
	}
}

// Marshal writes g as a .tflite file.
func Marshal(t testing.TB, g *graph.Graph) []byte {
	t.Helper()
	data, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatalf("writing the fixture: %v", err)
	}
	return data
}

// Faces returns n pictures that differ much: smooth blobs of light with some
// noise, which is nearer to a face than noise alone.
func Faces(n int) []*image.Gray {
	faces := make([]*image.Gray, n)
	for i := range faces {
		rng := rand.New(rand.NewPCG(uint64(i), 2))
		f := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
		ax, ay, phase := rng.Float64()*0.4, rng.Float64()*0.4, rng.Float64()*6
		light, contrast := 60+rng.Float64()*120, 20+rng.Float64()*60
		for k := range f.Pix {
			x, y := float64(k%model.Side), float64(k/model.Side)
			v := light + contrast*math.Sin(ax*x+phase)*math.Cos(ay*y) + 8*rng.NormFloat64()
			f.Pix[k] = uint8(min(max(v, 0), 255))
		}
		faces[i] = f
	}
	return faces
}

// start opens the fixture and closes it when the test ends.
func start(t *testing.T, open Open, f fixture) (infer.Model, *model.Scores) {
	t.Helper()
	m, err := open(f.data)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m, m.Spec().NewScores()
}

func predict(t *testing.T, m infer.Model, face *image.Gray, out *model.Scores) {
	t.Helper()
	if err := m.Predict(face, out); err != nil {
		t.Fatalf("Predict: %v", err)
	}
}

// scores compares every score with the oracle's and adds up each head.
func scores(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	if m.Engine() == "" {
		t.Error("Engine() is empty")
	}
	var names, wantNames []string
	for _, h := range m.Spec().Heads {
		names = append(names, h.Name+"="+strings.Join(h.Labels, ","))
	}
	for _, h := range f.heads {
		wantNames = append(wantNames, h.Name+"="+strings.Join(h.Labels, ","))
	}
	if !slices.Equal(names, wantNames) {
		t.Fatalf("heads %v, want %v", names, wantNames)
	}
	for k, face := range f.faces {
		predict(t, m, face, out)
		for i, h := range f.heads {
			var sum float64
			for j, p := range out.Heads[i] {
				sum += float64(p)
				if want := f.want[k].Heads[i][j]; !(math.Abs(float64(p-want)) <= f.tolerance) {
					t.Errorf("face %d: %s[%s] = %v, the oracle says %v", k, h.Name, h.Labels[j], p, want)
				}
			}
			if !(math.Abs(sum-1) <= f.sum) {
				t.Errorf("face %d: the scores of %s sum to %v", k, h.Name, sum)
			}
		}
	}
	distinct(t, f)
}

// distinct makes sure that the suite means something: a model that says the
// same of every face would let an engine ignore its input.
func distinct(t *testing.T, f fixture) {
	t.Helper()
	var spread float32
	for i := range f.heads {
		for j := range f.want[0].Heads[i] {
			low, high := float32(1), float32(0)
			for _, w := range f.want {
				low, high = min(low, w.Heads[i][j]), max(high, w.Heads[i][j])
			}
			spread = max(spread, high-low)
		}
	}
	if float64(spread) < 4*f.tolerance {
		t.Fatalf("the fixture's scores spread by %v only, too little for a tolerance of %v", spread, f.tolerance)
	}
}

// determinism: a face has the same scores, whatever came before it.
func determinism(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	var first [][][]float32
	for _, face := range f.faces {
		predict(t, m, face, out)
		first = append(first, clone(out))
	}
	for k := len(f.faces) - 1; k >= 0; k-- {
		predict(t, m, f.faces[k], out)
		equal(t, fmt.Sprintf("face %d the second time", k), out, first[k])
	}
}

func clone(s *model.Scores) [][]float32 {
	var c [][]float32
	for _, h := range s.Heads {
		c = append(c, slices.Clone(h))
	}
	return c
}

func equal(t *testing.T, what string, got *model.Scores, want [][]float32) {
	t.Helper()
	for i := range want {
		if !slices.Equal(got.Heads[i], want[i]) {
			t.Errorf("%s: head %d is %v, want %v", what, i, got.Heads[i], want[i])
		}
	}
}

// stride: a face may be part of a larger picture.
func stride(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	big := image.NewGray(image.Rect(-3, 5, 90, 80))
	for i := range big.Pix {
		big.Pix[i] = uint8(i * 37)
	}
	at := image.Rect(11, 9, 11+model.Side, 9+model.Side)
	for k, face := range f.faces {
		predict(t, m, face, out)
		want := clone(out)
		draw.Draw(big, at, face, image.Point{}, draw.Src)
		predict(t, m, big.SubImage(at).(*image.Gray), out)
		equal(t, fmt.Sprintf("face %d inside a larger picture", k), out, want)
	}
}

// wrongArguments: errors, no panic, and the model still works afterwards.
func wrongArguments(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	predict(t, m, f.faces[0], out)
	want := clone(out)

	short := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	short.Pix = short.Pix[:len(short.Pix)-1]
	narrow := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	narrow.Stride = model.Side - 1
	bad := out.Heads[0]
	for name, call := range map[string]func() error{
		"a face of 48x48":         func() error { return m.Predict(image.NewGray(image.Rect(0, 0, 48, 48)), out) },
		"a face of 100x25":        func() error { return m.Predict(image.NewGray(image.Rect(0, 0, 100, 25)), out) },
		"an empty face":           func() error { return m.Predict(&image.Gray{}, out) },
		"no face":                 func() error { return m.Predict(nil, out) },
		"a face short of a pixel": func() error { return m.Predict(short, out) },
		"a stride too small":      func() error { return m.Predict(narrow, out) },
		"no scores":               func() error { return m.Predict(f.faces[0], nil) },
		"scores without heads":    func() error { return m.Predict(f.faces[0], &model.Scores{}) },
		"scores of another head": func() error {
			other := &model.Scores{Heads: slices.Clone(out.Heads)}
			other.Heads[0] = bad[:len(bad)-1]
			return m.Predict(f.faces[0], other)
		},
	} {
		if err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	predict(t, m, f.faces[0], out)
	equal(t, "after wrong arguments", out, want)
}

// ownsItsData: the caller may reuse the bytes of the file.
func ownsItsData(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	predict(t, m, f.faces[0], out)
	want := clone(out)

	f.data = slices.Clone(f.data)
	m, out = start(t, open, f)
	clear(f.data)
	predict(t, m, f.faces[0], out)
	equal(t, "after the file's bytes were overwritten", out, want)
}

// closing: twice is fine; Predict afterwards is an error.
func closing(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	predict(t, m, f.faces[0], out)
	for range 2 {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := m.Predict(f.faces[0], out); err == nil {
		t.Error("Predict after Close: no error")
	}
}

// concurrency: engines do not share state.
func concurrency(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	var want [][][]float32
	for _, face := range f.faces {
		predict(t, m, face, out)
		want = append(want, clone(out))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			m, err := open(f.data)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer m.Close()
			out := m.Spec().NewScores()
			for i := range 3 * len(f.faces) {
				k := (i + worker) % len(f.faces)
				if err := m.Predict(f.faces[k], out); err != nil {
					t.Errorf("Predict: %v", err)
					return
				}
				equal(t, fmt.Sprintf("worker %d, face %d", worker, k), out, want[k])
			}
		})
	}
	wg.Wait()
}

// allocations: none once the model is open.
func allocations(t *testing.T, open Open, f fixture) {
	m, out := start(t, open, f)
	var err error
	n := testing.AllocsPerRun(20, func() {
		if e := m.Predict(f.faces[0], out); e != nil {
			err = e
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if n != 0 {
		t.Errorf("Predict allocates %v times", n)
	}
}

// badFiles: each gives an error, and none a panic.
func badFiles(t *testing.T, open Open) {
	whole := Marshal(t, Network(7, model.Heads()...))
	with := func(change func(g *graph.Graph)) []byte {
		g := Network(7, model.Heads()...)
		change(g)
		data, err := flatfile.Marshal(g)
		if err != nil {
			t.Fatalf("writing a bad fixture: %v", err)
		}
		return data
	}
	files := map[string][]byte{
		"nothing":           nil,
		"four bytes":        []byte("TFL3"),
		"text":              []byte(strings.Repeat("this is no model\n", 100)),
		"zeros":             make([]byte, 4096),
		"no known output":   with(func(g *graph.Graph) { rename(g, g.Outputs, "mood") }),
		"no output":         with(func(g *graph.Graph) { g.Outputs = nil }),
		"another input":     with(func(g *graph.Graph) { rename(g, g.Inputs, "picture") }),
		"an unknown filter": with(func(g *graph.Graph) { rename(g, g.Inputs, "face/sobel") }),
		"a filter that its card does not say": with(func(g *graph.Graph) {
			rename(g, g.Inputs, model.Gabor.Input())
			g.SetMeta(model.CardKey, []byte("{}"))
		}),
		"a filter that only its card says": with(func(g *graph.Graph) { g.SetMeta(model.CardKey, []byte(`{"filter":"gabor"}`)) }),
		"a wrong number of labels": with(func(g *graph.Graph) {
			g.Tensors[g.Outputs[0]].Name, g.Tensors[g.Outputs[1]].Name = model.Gender.Name, model.Emotion.Name
		}),
		"a colour input": with(func(g *graph.Graph) { g.Tensors[g.Inputs[0]].Shape = []int{1, model.Side, model.Side, 3} }),
		"48x48 input":    with(func(g *graph.Graph) { g.Tensors[g.Inputs[0]].Shape = []int{1, 48, 48, 1} }),
		"an unknown custom operator": with(func(g *graph.Graph) {
			g.Ops[1] = &graph.Op{Kind: graph.Custom, Custom: "nobody-has-this", Version: 1, Inputs: g.Ops[1].Inputs, Outputs: g.Ops[1].Outputs}
		}),
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/64 {
		files[fmt.Sprintf("cut to %d of %d bytes", n, len(whole))] = whole[:n]
	}
	for name, data := range files {
		m, err := open(data)
		if err == nil {
			m.Close()
			t.Errorf("%s: no error", name)
		} else if s := err.Error(); s == "" || strings.Contains(s, "\n") {
			t.Errorf("%s: error %q is not one line", name, s)
		}
	}
}

func rename(g *graph.Graph, tensors []int, name string) {
	for i, k := range tensors {
		g.Tensors[k].Name = name + strings.Repeat("'", i)
	}
}

// damage flips bytes of a good file. An engine may refuse the file or run it,
// but it may not crash; a crash in C would end the whole test.
func damage(t *testing.T, open Open) {
	whole := Marshal(t, Network(7, model.Emotion))
	face := Faces(1)[0]
	rng := rand.New(rand.NewPCG(3, 3))
	refused := 0
	rounds := 400
	if testing.Short() { // under emulation
		rounds = 80
	}
	for range rounds {
		data := slices.Clone(whole)
		for range 1 + rng.IntN(3) {
			// The structure lies before and after the weights, the far larger
			// part, so most of the damage goes to the first and last kilobytes.
			at := rng.IntN(len(data))
			switch rng.IntN(4) {
			case 0, 1:
				at = rng.IntN(min(6000, len(data)))
			case 2:
				at = len(data) - 1 - rng.IntN(min(2000, len(data)))
			}
			data[at] = byte(rng.Uint32())
		}
		m, err := open(data)
		if err != nil {
			refused++
			continue
		}
		out := m.Spec().NewScores()
		if len(out.Heads) > 0 {
			_ = m.Predict(face, out) // any scores and any error will do
		}
		m.Close()
	}
	if refused == 0 {
		t.Errorf("none of %d damaged files was refused", rounds)
	}
}
