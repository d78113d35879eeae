//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/graph"
	"mien/runtime/infer"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

func TestConformance(t *testing.T) {
	for _, opt := range []Options{{}, {Builtin: true}} {
		t.Run(fmt.Sprintf("builtin=%v", opt.Builtin), func(t *testing.T) {
			infertest.Run(t, func(data []byte) (infer.Model, error) { return Open(data, opt) })
		})
	}
}

// The number of threads changes who computes what, not what comes out.
func TestThreadsChangeNoScore(t *testing.T) {
	data := infertest.Marshal(t, infertest.Network(7, model.Heads()...))
	for _, builtin := range []bool{false, true} {
		var want [][]float32
		for _, threads := range []int{1, 2, 3} {
			e, err := Open(data, Options{Threads: threads, Builtin: builtin})
			if err != nil {
				t.Fatal(err)
			}
			out := e.Spec().NewScores()
			if err := e.Predict(infertest.Faces(3)[2], out); err != nil {
				t.Fatal(err)
			}
			e.Close()
			if want == nil {
				want = out.Heads
			} else if d := cmp.Diff(want, out.Heads); d != "" {
				t.Errorf("builtin=%v, %d threads (-1 thread +%d):\n%s", builtin, threads, threads, d)
			}
		}
	}
}

func TestEngineSaysWhatRuns(t *testing.T) {
	data := infertest.Marshal(t, infertest.Network(1, model.Emotion))
	for want, opt := range map[string]Options{
		"tflite 2.9.0 XNNPACK, 1 thread":  {},
		"tflite 2.9.0 builtin, 2 threads": {Builtin: true, Threads: 2},
	} {
		e, err := Open(data, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Engine(); got != want {
			t.Errorf("Engine() = %q, want %q", got, want)
		}
		e.Close()
	}
}

// XNNPACK with the signed 8-bit flag rounds otherwise than the builtin
// kernels; were the flag lost, it would leave int8 models to them and the
// scores would all be equal.
func TestXNNPACKTakesInt8(t *testing.T) {
	g := infertest.Network(7, model.Heads()...)
	faces := infertest.Faces(32)
	var inputs [][]float64
	for _, f := range faces {
		inputs = append(inputs, infertest.Input(f.Pix))
	}
	q, err := infertest.Int8(g, inputs)
	if err != nil {
		t.Fatal(err)
	}
	data := infertest.Marshal(t, q)
	var engines [2]*Engine
	for i, opt := range []Options{{}, {Builtin: true}} {
		if engines[i], err = Open(data, opt); err != nil {
			t.Fatal(err)
		}
		defer engines[i].Close()
	}
	differ, steps := 0, float32(0)
	a, b := engines[0].Spec().NewScores(), engines[1].Spec().NewScores()
	for _, f := range faces {
		if err := engines[0].Predict(f, a); err != nil {
			t.Fatal(err)
		}
		if err := engines[1].Predict(f, b); err != nil {
			t.Fatal(err)
		}
		for i := range a.Heads {
			for k := range a.Heads[i] {
				if d := max(a.Heads[i][k]-b.Heads[i][k], b.Heads[i][k]-a.Heads[i][k]) * 256; d > 0 {
					differ++
					steps = max(steps, d)
				}
			}
		}
	}
	if differ == 0 {
		t.Error("XNNPACK and builtin agree on every score: XNNPACK does not take the int8 operators")
	}
	if steps > 4 {
		t.Errorf("XNNPACK and builtin differ by %v steps of 1/256", steps)
	}
}

func TestOpenFileNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	whole := infertest.Marshal(t, infertest.Network(1, model.Emotion))
	wrong := infertest.Network(1, model.Emotion)
	wrong.Tensors[wrong.Outputs[0]].Name = "mood"
	for name, data := range map[string][]byte{
		"cut.tflite":      whole[:len(whole)/2],
		"empty.tflite":    nil,
		"garbage.tflite":  bytes.Repeat([]byte{0xa5, 1, 0}, 999),
		"nohead.tflite":   infertest.Marshal(t, wrong),
		"operator.tflite": infertest.Marshal(t, withCustom("edgetpu-custom-op")),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		e, err := OpenFile(path, Options{})
		if err == nil {
			e.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if s := err.Error(); strings.Count(s, path) != 1 || strings.Contains(s, "\n") {
			t.Errorf("error %q does not name %s once in one line", s, path)
		}
		t.Log(err)
	}
	if _, err := OpenFile(filepath.Join(dir, "none.tflite"), Options{}); !os.IsNotExist(unwrap(err)) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return err
}

func withCustom(name string) *graph.Graph {
	g := infertest.Network(1, model.Emotion)
	g.Ops[1] = &graph.Op{Kind: graph.Custom, Custom: name, Version: 1, Inputs: g.Ops[1].Inputs, Outputs: g.Ops[1].Outputs}
	return g
}

// An engine that is opened and closed many times keeps nothing. One copy of
// the model each time would add 200 MB in 800 rounds.
func TestOpenCloseKeepsNoMemory(t *testing.T) {
	g := infertest.Network(1, model.Heads()...)
	g.Metadata = append(g.Metadata, graph.Metadata{Name: "ballast", Data: make([]byte, 256<<10)})
	data := infertest.Marshal(t, g)
	face := infertest.Faces(1)[0]
	cycle := func(n int) {
		for range n {
			e, err := Open(data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Predict(face, e.Spec().NewScores()); err != nil {
				t.Fatal(err)
			}
			e.Close()
			if _, err := Open(data[:len(data)/2], Options{}); err == nil {
				t.Fatal("half a file: no error")
			}
		}
	}
	warmUp, n := 100, 800
	if testing.Short() { // under emulation
		warmUp, n = 30, 150
	}
	cycle(warmUp)
	before, files := resident(t), openFiles(t)
	cycle(n)
	if grown := resident(t) - before; grown > n*len(data)/8 {
		t.Errorf("%d cycles of a model of %d bytes left %d bytes", n, len(data), grown)
	}
	if now := openFiles(t); now > files {
		t.Errorf("%d files are open, %d before", now, files)
	}
}

// resident returns the memory of this process in bytes.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func BenchmarkPredict(b *testing.B) {
	data := infertest.Marshal(b, infertest.Network(1, model.Heads()...))
	for _, opt := range []Options{{}, {Builtin: true}} {
		b.Run(fmt.Sprintf("builtin=%v", opt.Builtin), func(b *testing.B) {
			e, err := Open(data, opt)
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			face, out := infertest.Faces(1)[0], e.Spec().NewScores()
			for b.Loop() {
				if err := e.Predict(face, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
