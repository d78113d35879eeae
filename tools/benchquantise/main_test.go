package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mien/quant/samples"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/tools/internal/npm"
)

func TestTablesAreWhole(t *testing.T) {
	hash, version := regexp.MustCompile(`^[0-9a-f]{64}$`), regexp.MustCompile(`.@[0-9]+\.[0-9]+\.[0-9]+$`)
	names, architectures := map[string]bool{}, map[string]bool{}
	for _, m := range models {
		if names[m.name] || names[m.sha256] || !hash.MatchString(m.sha256) || !hash.MatchString(m.from.SHA256) || !version.MatchString(m.from.Source) || m.in == "" {
			t.Errorf("%+v", m)
		}
		if _, err := samples.ParseNormalise(m.normalise); err != nil {
			t.Error(err)
		}
		names[m.name], names[m.sha256], architectures[m.architecture] = true, true, true
	}
	if len(models) < 10 || len(architectures) < 4 {
		t.Errorf("%d models of %d architectures", len(models), len(architectures))
	}
	for _, p := range pairs {
		if !hash.MatchString(p.sha256[0]) || !hash.MatchString(p.sha256[1]) || p.values == nil || p.publisher == "" {
			t.Errorf("%+v", p)
		}
	}
}

// TestVerdicts: what no Edge TPU takes is on the CPU by inspect, and by a file in
// which it stands beside nothing that was compiled.
func TestVerdicts(t *testing.T) {
	for _, c := range twins {
		if len(c.sha256[0]) != 64 || len(c.sha256[1]) != 64 || c.source == c.twin {
			t.Errorf("%+v", c)
		}
		if _, _, _, err := c.compare(t.TempDir()); err == nil || !strings.Contains(err.Error(), c.source) {
			t.Errorf("no file: %v", err)
		}
	}
	float := marshal(t, tiny())
	n, ours, theirs, err := verdicts(float, float)
	if err != nil || n != 1 || !slices.Equal(ours, []string{"CONV_2D"}) || !slices.Equal(theirs, ours) {
		t.Errorf("%d operators, %v and %v, %v", n, ours, theirs, err)
	}
}

// tiny is a picture of 4x4 through a layer of two channels, in float32.
func tiny() *graph.Graph {
	var w []byte
	for i := range 2 * 3 * 3 * 3 {
		w = binary.LittleEndian.AppendUint32(w, math.Float32bits(float32(math.Sin(float64(i)))/3))
	}
	return &graph.Graph{Inputs: []int{0}, Outputs: []int{3}, Tensors: []*graph.Tensor{
		{Name: "in", Shape: []int{1, 4, 4, 3}}, {Name: "w", Shape: []int{2, 3, 3, 3}, Data: w}, {Name: "b", Shape: []int{2}, Data: make([]byte, 8)},
		{Name: "out", Shape: []int{1, 4, 4, 2}}},
		Ops: []*graph.Op{{Kind: graph.Conv2D, Version: 1, Inputs: []int{0, 1, 2}, Outputs: []int{3},
			Options: graph.ConvOptions{Padding: graph.Same, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Activation: graph.ReluAct}}}}
}

func marshal(t *testing.T, g *graph.Graph) []byte {
	t.Helper()
	b, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A model goes the whole way on pictures that are composed: a file, a report, and
// engines that agree.
func TestQuantise(t *testing.T) {
	o := options{out: t.TempDir(), most: 10}
	dir, err := folder(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := quantise(context.Background(), public{name: "tiny", normalise: signed}, marshal(t, tiny()), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Outputs[0].SNR < 20 || r.Outputs[0].MedianSNR < 20 || r.Outputs[0].Worst == "" {
		t.Errorf("%+v", r.Outputs[0])
	}
	if s := steps(r); s > 0 { // NaN in a build of one engine
		t.Errorf("the engines are %v steps apart", s)
	}
	for _, f := range []string{"tiny.tflite", "tiny/report.json", "tiny/report.md"} {
		if _, err := os.Stat(filepath.Join(o.out, f)); err != nil {
			t.Error(err)
		}
	}
	var line strings.Builder
	row(&line, public{name: "tiny"}, 100, r)
	if !strings.HasPrefix(line.String(), "tiny\t\t100\t") {
		t.Error(line.String())
	}
}

// A pair is told apart: a publisher that rounds to 4 steps is farther from float.
func TestPair(t *testing.T) {
	dir := t.TempDir()
	ramp := func(shape []int, _ options) (a, b *samples.Array, err error) {
		a = &samples.Array{Shape: append([]int{20}, shape[1:]...)}
		for i := range 20 * 4 * 4 * 3 {
			a.Data = append(a.Data, float32(math.Sin(float64(i))))
		}
		return a, a, nil
	}
	float := marshal(t, tiny())
	rough := tiny()
	for i := 0; i < len(rough.Tensors[1].Data); i += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(rough.Tensors[1].Data[i:]))
		binary.LittleEndian.PutUint32(rough.Tensors[1].Data[i:], math.Float32bits(float32(math.Round(float64(v)*6)/6)))
	}
	p := pair{float: "float.tflite", int8: "int8.tflite", publisher: "nobody", values: ramp}
	for i, f := range []struct {
		name string
		b    []byte
	}{{p.float, float}, {p.int8, marshal(t, rough)}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.b, 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(f.b)
		p.sha256[i] = hex.EncodeToString(sum[:])
	}
	theirs, ours, err := p.compare(context.Background(), options{models: dir})
	if err != nil {
		t.Fatal(err)
	}
	if ours.SNR < theirs.SNR+3 || theirs.SNR > 30 {
		t.Errorf("ours %.1f dB, theirs %.1f dB", ours.SNR, theirs.SNR)
	}
	p.sha256[1] = p.sha256[0]
	if _, _, err := p.compare(context.Background(), options{models: dir}); err == nil || !strings.Contains(err.Error(), p.int8) {
		t.Errorf("another file: %v", err)
	}
}

func TestWithoutModelsThereIsNoPair(t *testing.T) {
	var b strings.Builder
	if err := comparePairs(context.Background(), &b, options{}); err != nil || !strings.Contains(b.String(), pairs[0].float) {
		t.Errorf("%v: %s", err, b.String())
	}
}

// The models are where the table says in their packages, and are what it says.
func TestModelsInAFile(t *testing.T) {
	m := slices.Clone(models)[0]
	m.from = npm.Package{Source: "@nobody/models@1.0.0", SHA256: strings.Repeat("0", 64)}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nobody-models-1.0.0.tgz"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.file(options{cache: dir}); err == nil || !strings.Contains(err.Error(), "@nobody/models@1.0.0") {
		t.Error(err)
	}
}
