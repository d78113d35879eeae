package onnx

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/nn"
)

// everything has each layer that there is.
func everything() arch.Net {
	return arch.Net{Name: "everything", Heads: []model.Head{{Name: "smile", Labels: []string{"yes", "no"}}, model.Age}, Body: []arch.Layer{
		{Op: arch.Conv, Name: "c1", Out: 6, Kernel: 5, Stride: 2, NoBias: true},
		{Op: arch.BatchNorm, Name: "n1"},
		{Op: arch.ReLU, Name: "r1"},
		{Op: arch.Depthwise, Name: "d1", Kernel: 3, Stride: 2},
		{Op: arch.ReLU6, Name: "r2"},
		{Op: arch.Conv, Name: "c2", Out: 6, Kernel: 1},
		{Op: arch.Add, Name: "a1", With: "r2"},
		{Op: arch.ELU, Name: "e1"},
		{Op: arch.FakeQuant, Name: "q1", Scale: 1e-4},
		{Op: arch.MaxPool, Name: "p1", Kernel: 2, Stride: 2},
		{Op: arch.Dropout, Name: "o1", Rate: 0.5},
		{Op: arch.Conv, Name: "side", Out: 4, Kernel: 3, Input: "o1"},
		{Op: arch.Upsample, Name: "u1", Kernel: 2},
		{Op: arch.Pad, Name: "z1", Pad: 1},
		{Op: arch.MaxPool, Name: "p2", Kernel: 3, Stride: 2},
		{Op: arch.Concat, Name: "j1", With: "side"},
		{Op: arch.Pad, Name: "z2", Pad: 2},
		{Op: arch.Conv, Name: "c3", Out: 5, Kernel: 3, Stride: 2, Valid: true},
		{Op: arch.Mean, Name: "m"},
		{Op: arch.Flatten, Name: "f1"},
		{Op: arch.Dense, Name: "dense", Out: 9},
		{Op: arch.BatchNorm, Name: "n2"},
	}}
}

func TestEveryLayerIsWritten(t *testing.T) {
	for _, op := range arch.Ops() {
		if !slices.ContainsFunc(everything().Body, func(l arch.Layer) bool { return l.Op == op }) {
			t.Errorf("everything has no layer %s", op)
		}
	}
}

// random is a network with random weights, and running statistics that are not
// those of a new one.
func random(t *testing.T, net arch.Net) (*nn.Net, map[string][]float32) {
	t.Helper()
	body := net
	body.Body = nil
	for _, l := range net.Body {
		if l.Op != arch.FakeQuant { // it rounds in the trainer
			body.Body = append(body.Body, l)
		}
	}
	n, err := nn.New(body, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	n.Init(3)
	weights := map[string][]float32{}
	for _, p := range n.Params() {
		if strings.HasSuffix(p.Name, "running_var") || strings.HasSuffix(p.Name, "running_mean") {
			for i := range p.Value {
				p.Value[i] = 0.5 + float32(i%7)/10
			}
		}
		weights[p.Name] = p.Value
	}
	return n, weights
}

// field returns the fields of that number of a message.
func field(t *testing.T, m []byte, number protowire.Number) [][]byte {
	t.Helper()
	var out [][]byte
	for len(m) > 0 {
		n, kind, k := protowire.ConsumeTag(m)
		if k < 0 {
			t.Fatal("not a protocol buffer message")
		}
		size := protowire.ConsumeFieldValue(n, kind, m[k:])
		if size < 0 {
			t.Fatal("not a protocol buffer message")
		}
		if v := m[k : k+size]; n == number {
			if kind == protowire.BytesType {
				v, _ = protowire.ConsumeBytes(v)
			}
			out = append(out, v)
		}
		m = m[k+size:]
	}
	return out
}

func TestMarshal(t *testing.T) {
	net := everything()
	_, weights := random(t, net)
	b, err := Marshal(net, weights, Options{Heads: []string{"age"}})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Marshal(net, weights, Options{Heads: []string{"age"}}); err != nil || !bytes.Equal(b, again) {
		t.Error("the same network gives other bytes")
	}
	g := field(t, b, 7)[0]
	if out := field(t, g, 12); len(out) != 1 || string(field(t, out[0], 1)[0]) != "age" {
		t.Error("not the one head that was asked for")
	}
	for _, c := range field(t, g, 5) {
		if strings.HasPrefix(string(field(t, c, 8)[0]), "smile.") {
			t.Error("weights of a head that was not asked for are in the file")
		}
	}
	delete(weights, "c2.bias")
	for _, c := range []struct {
		o    Options
		word string
	}{{Options{}, "c2.bias"}, {Options{Heads: []string{"mood"}}, `"mood"`}} {
		if _, err := Marshal(net, weights, c.o); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v, want %q", err, c.word)
		}
	}
	weights["c2.bias"] = []float32{1}
	if _, err := Marshal(net, weights, Options{}); err == nil || !strings.Contains(err.Error(), "1 values, want [6]") {
		t.Error(err)
	}
}
