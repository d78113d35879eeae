package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/portable"
)

// colour is a small network for pictures of three channels, its kernel stored
// as the published one's: 1, 2, 4 and so on, in half precision.
func colour() *graph.Graph {
	const kernel = 2 * 3 * 3 * 3
	k := &graph.Tensor{Name: "k", Type: graph.Float16, Shape: []int{2, 3, 3, 3}}
	for i := range kernel {
		k.Data = binary.LittleEndian.AppendUint16(k.Data, uint16(0x3000+37*i)|uint16(i%2)<<15)
	}
	bias := &graph.Tensor{Name: "b", Type: graph.Float32, Shape: []int{2}, Data: make([]byte, 8)}
	return &graph.Graph{
		Tensors: []*graph.Tensor{
			{Name: "in", Type: graph.Float32, Shape: []int{1, 8, 8, 3}}, k,
			{Name: "kf", Type: graph.Float32, Shape: []int{2, 3, 3, 3}}, bias,
			{Name: "out", Type: graph.Float32, Shape: []int{1, 4, 4, 2}},
		},
		Ops: []*graph.Op{
			{Kind: graph.Dequantize, Version: 1, Inputs: []int{1}, Outputs: []int{2}},
			{Kind: graph.Conv2D, Version: 1, Inputs: []int{0, 2, 3}, Outputs: []int{4}, Options: graph.ConvOptions{Padding: graph.Same, StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1}},
		},
		Inputs: []int{0}, Outputs: []int{4},
	}
}

func output(t *testing.T, b []byte, channels int) []float32 {
	t.Helper()
	g, err := flatfile.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	n, err := portable.Load(g, portable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := n.NewSession()
	in := s.Float32(g.Inputs[0])
	if len(in) != 8*8*channels {
		t.Fatalf("the input has %d values, want %d", len(in), 8*8*channels)
	}
	for i := range in {
		in[i] = float32(math.Sin(float64(i / channels)))
	}
	s.Run()
	return s.Float32(g.Outputs[0])
}

func TestGreySeesWhatColourSees(t *testing.T) {
	b, err := flatfile.Marshal(colour())
	if err != nil {
		t.Fatal(err)
	}
	want := output(t, b, 3)
	if b, err = grey(b); err != nil {
		t.Fatal(err)
	}
	got := output(t, b, 1)
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			t.Errorf("output %d is %v, of the colour network %v", i, got[i], want[i])
		}
	}
}

func TestGreyRefusesOtherNetworks(t *testing.T) {
	for name, change := range map[string]func(g *graph.Graph){
		"one channel":    func(g *graph.Graph) { g.Tensors[0].Shape[3], g.Tensors[1].Shape[3] = 1, 1 },
		"no convolution": func(g *graph.Graph) { g.Ops[1].Kind = graph.DepthwiseConv2D },
	} {
		g := colour()
		change(g)
		if b, err := flatfile.Marshal(g); err == nil {
			if _, err = grey(b); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
	}
	if _, err := grey([]byte("no network")); err == nil {
		t.Error("nonsense is taken")
	}
}

func TestAnotherPackageIsRefused(t *testing.T) {
	file := t.TempDir() + "/other.tgz"
	if err := os.WriteFile(file, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-from", file}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), source.SHA256) {
		t.Errorf("%v, want an error that names the hash", err)
	}
}

// The page beside the network says what the file is.
func TestThePageHasTheFilesHash(t *testing.T) {
	const dir = "../../runtime/face/network/"
	b, err := os.ReadFile(dir + "blazeface.tflite")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(dir + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if !strings.Contains(string(page), hex.EncodeToString(sum[:])) || !strings.Contains(string(page), source.SHA256) {
		t.Error("runtime/face/network/README.md has not the hashes of the file and of the package")
	}
}
