//go:build linux && (amd64 || arm64) && cgo && tflite && edgetpu

package tflite

import (
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/infer"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

// stub compiles the pretended libedgetpu.
func stub(t *testing.T) string {
	t.Helper()
	cc := map[string]string{"amd64": "gcc", "arm64": "aarch64-linux-gnu-gcc"}[runtime.GOARCH]
	out := filepath.Join(t.TempDir(), "libedgetpu.so.1")
	cmd := exec.Command(cc, "-shared", "-fPIC", "-Wall", "-Werror", "-I../../build/tflite/include", "-o", out, "testdata/edgetpu_stub.c")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s (apt-get install gcc gcc-aarch64-linux-gnu)", cmd.Args, err, b)
	}
	return out
}

// mode tells the stub how to behave; C reads the environment itself, which
// os.Setenv reaches in a program with cgo.
func mode(t *testing.T, m string) { t.Setenv("EDGETPU_STUB", m) }

func TestEdgeTPUConformance(t *testing.T) {
	library := stub(t)
	mode(t, "idle")
	infertest.Run(t, func(data []byte) (infer.Model, error) {
		return Open(data, Options{EdgeTPU: true, EdgeTPULibrary: library})
	})
}

func TestEdgeTPUFallsBack(t *testing.T) {
	library := stub(t)
	data := infertest.Marshal(t, infertest.Network(7, model.Emotion))
	face := infertest.Faces(1)[0]
	want := scoresOf(t, data, Options{}, face)
	for m, says := range map[string]string{
		"none": "no Edge TPU answers", "busy": "does not open", "hang": "does not start",
		"hang-run": "did not answer", "fail-run": "failed", "idle": "", "library": "no Edge TPU library",
	} {
		t.Run(m, func(t *testing.T) {
			mode(t, m)
			opt := Options{EdgeTPU: true, EdgeTPULibrary: library, Patience: 300 * time.Millisecond}
			if m == "library" {
				opt.EdgeTPULibrary = filepath.Join(t.TempDir(), "none.so")
			}
			if m == "idle" {
				opt.Patience = time.Minute // a slow machine is no hang
			}
			e, err := Open(data, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			out := e.Spec().NewScores()
			for range 3 {
				if err := e.Predict(face, out); err != nil {
					t.Fatal(err)
				}
			}
			if m == "idle" { // the stub computes nothing itself: builtin kernels do
				if !strings.Contains(e.Engine(), "Edge TPU stub") || e.Warning() != "" {
					t.Errorf("Engine() = %q, Warning() = %q", e.Engine(), e.Warning())
				}
				return
			}
			if !strings.Contains(e.Warning(), says) {
				t.Errorf("Warning() = %q, want %q in it", e.Warning(), says)
			}
			if !strings.Contains(e.Engine(), "XNNPACK") {
				t.Errorf("Engine() = %q", e.Engine())
			}
			if d := cmp.Diff(want, out.Heads); d != "" {
				t.Errorf("scores (-processor +fallback):\n%s", d)
			}
		})
	}
}

func scoresOf(t *testing.T, data []byte, opt Options, face *image.Gray) [][]float32 {
	t.Helper()
	e, err := Open(data, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out := e.Spec().NewScores()
	if err := e.Predict(face, out); err != nil {
		t.Fatal(err)
	}
	return out.Heads
}

// A model that was compiled for the Edge TPU cannot run on the processor, and
// the error says both what is missing and why.
func TestModelForTheEdgeTPUAlone(t *testing.T) {
	library := stub(t)
	mode(t, "none")
	path := filepath.Join(t.TempDir(), "m_edgetpu.tflite")
	if err := os.WriteFile(path, infertest.Marshal(t, withCustom("edgetpu-custom-op")), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := OpenFile(path, Options{EdgeTPU: true, EdgeTPULibrary: library})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{path, "no Edge TPU answers", "edgetpu-custom-op"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}
