//go:build onnx

package onnx

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mien/runtime/model"
	"mien/train"
	"mien/train/arch"
)

// ONNX Runtime reads the files and computes what the trainer does: every layer
// there is, and the networks that ship. (tools/setup/onnx.sh fetches it.)
func TestRuntimeComputesWhatTheTrainerDoes(t *testing.T) {
	for _, net := range []arch.Net{everything(), arch.Paper(model.Heads()), arch.Edge(model.Heads())} {
		const pictures = 3
		trained, weights := random(t, net)
		b, err := Marshal(net, weights, Options{Metadata: map[string]string{"a": "b"}})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(5, 6))
		x := make([]float32, pictures*model.Side*model.Side)
		for i := range x {
			x[i] = rng.Float32()
			if i >= 2*model.Side*model.Side {
				x[i] = 1 // the border is all that differs then
			}
		}
		got := runONNX(t, b, x, pictures)
		for k, logits := range trained.Predict(x, pictures) {
			h := net.Heads[k]
			out, n := got[h.Name], len(h.Labels)
			if len(out) != pictures*n {
				t.Fatalf("%s: head %s gives %d values", net.Name, h.Name, len(out))
			}
			for i := range pictures {
				p := logits[i*n:][:n]
				train.Softmax(p)
				for j, want := range p {
					if d := math.Abs(out[i*n+j] - float64(want)); !(d < 2e-5) {
						t.Errorf("%s: picture %d, %s %s: %v, the trainer says %v", net.Name, i, h.Name, h.Labels[j], out[i*n+j], want)
					}
				}
			}
		}
	}
}

func runONNX(t *testing.T, file []byte, x []float32, pictures int) map[string][]float64 {
	t.Helper()
	dir := t.TempDir()
	var raw bytes.Buffer
	if err := binary.Write(&raw, binary.LittleEndian, x); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"net.onnx": file, "x": raw.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := filepath.Abs("../../build/onnx/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "testdata/run.js", filepath.Join(dir, "net.onnx"), filepath.Join(dir, "x"), "3")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, said.String())
	}
	var got struct {
		Inputs  []string
		Outputs map[string]struct {
			Dims []int
			Data []float64
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(got.Inputs) != 1 || got.Inputs[0] != model.InputName {
		t.Errorf("inputs %v", got.Inputs)
	}
	all := map[string][]float64{}
	for name, v := range got.Outputs {
		if len(v.Dims) != 2 || v.Dims[0] != pictures {
			t.Errorf("output %s is %v", name, v.Dims)
		}
		all[name] = v.Data
	}
	return all
}
