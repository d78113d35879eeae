package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/quant"
	"mien/quant/report"
	"mien/runtime/face"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/train"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/nn"
)

// untrained writes a checkpoint of the edge network, which takes a tenth of the
// time of the paper's, and returns its path.
func untrained(t *testing.T) string {
	t.Helper()
	net, err := nn.New(arch.Edge(model.Heads()), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	net.Init(5)
	f := &checkpoint.File{Meta: map[string]string{"arch": "edge", "epoch": "3", "recipe": "name: test\n"}}
	for _, p := range net.Params() {
		f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	path := filepath.Join(t.TempDir(), "c.safetensors")
	if err := checkpoint.Write(path, f); err != nil {
		t.Fatal(err)
	}
	return path
}

// ferFolder writes made-up faces in FER-2013's layout, four in each split.
func ferFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i, face := range infertest.Faces(12) {
		split, name := "train", "Training"
		if i%3 == 2 {
			split, name = "test", "PublicTest"
		}
		label := []string{"happy", "sad"}[i%2]
		sub := filepath.Join(dir, split, label)
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		writePNG(t, filepath.Join(sub, fmt.Sprintf("%s_%d.png", name, i)), face)
	}
	return dir
}

// cropsFolder writes pictures as a device records them.
func cropsFolder(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i, face := range infertest.Faces(n) {
		writePNG(t, filepath.Join(dir, fmt.Sprintf("%02d.png", i)), face)
	}
	return dir
}

func TestQuantizeInspectDiff(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ckpt, dir := untrained(t), t.TempDir()
	crops := cropsFolder(t, 6)
	file := filepath.Join(dir, "a.tflite")
	quantize := func(args ...string) (string, error) {
		return runTool(t, append([]string{"quantize", "--checkpoint", ckpt, "--engine", "portable"}, args...)...)
	}
	out, err := quantize("--calibrate", "faces:"+crops, "--heads", "emotion,age", "--trained", "fer2013:28709",
		"--report", filepath.Join(dir, "report"), "--out", file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "emotion  agrees on") || strings.Contains(out, "race") || !strings.Contains(out, "mind: of the calibration, there are 6 different samples") {
		t.Errorf("printed %q", out)
	}
	layersAndAdvice(t, filepath.Join(dir, "report", "report.json"))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := flatfile.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := flatfile.SpecOf(g)
	if err != nil || len(spec.Heads) != 2 || spec.Card.SHA256.Checkpoint == "" || spec.Card.SHA256.Calibration == "" || spec.Card.Epochs != 3 {
		t.Fatalf("%+v, %v", spec, err)
	}
	if len(spec.Card.Training) != 1 || spec.Card.Training[0].Images != 28709 {
		t.Errorf("trained on %+v", spec.Card.Training)
	}
	for _, word := range []string{"race", "gender", "Caucasian"} {
		if word != "gender" && word != "race" && bytes.Contains(b, []byte(word)) {
			t.Errorf("the file has the word %q", word)
		}
		for _, x := range g.Tensors {
			if strings.Contains(x.Name, word) {
				t.Errorf("the file has the tensor %s", x.Name)
			}
		}
	}

	// The plan gives the same network again, without the faces.
	again := filepath.Join(dir, "b.tflite")
	if _, err := quantize("--plan", filepath.Join(dir, "a.plan.json"), "--heads", "emotion,age", "--out", again); err != nil {
		t.Fatal(err)
	}
	if out, err = runTool(t, "diff", file, again, "--faces", "faces:"+crops); err != nil || strings.Count(out, "equal") < 20 || strings.Contains(out, "inf") {
		t.Errorf("diff: %v\n%s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		if !strings.Contains(line, "equal") {
			t.Errorf("the replayed plan differs: %s", line)
		}
	}
	for _, c := range [][2]string{{"", "checkpoint SHA-256"}, {"--json", `"parameters"`}, {"--dot", "digraph"}, {"--svg", "<svg "}, {"--target=edgetpu", "should map to the Edge TPU"}} {
		args := []string{"inspect", file}
		if c[0] != "" {
			args = append(args, c[0])
		}
		if out, err := runTool(t, args...); err != nil || !strings.Contains(out, c[1]) {
			t.Errorf("inspect %s: %v, lacks %q", c[0], err, c[1])
		}
	}
}

// layersAndAdvice: a checkpoint's report says which layer hurts most, and what
// else came nearer to float, with the flags that make it.
func layersAndAdvice(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Layers) < 10 || r.Layers[0].Gain < r.Layers[1].Gain || r.OutputSNR == 0 {
		t.Errorf("%d layers, %+v, %v dB", len(r.Layers), r.Layers[:min(len(r.Layers), 2)], r.OutputSNR)
	}
	for _, a := range r.Advice {
		if !strings.Contains(a.Flags, "--mode int8") || a.Gain < 0.5 || a.Gain != a.SNR-r.OutputSNR {
			t.Errorf("%+v", a)
		}
	}
}

// A data set's labels are measured, and --max-drop decides how it ends. A limit
// below zero is one that nothing keeps.
func TestMaxDrop(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ckpt, dir, fer := untrained(t), t.TempDir(), ferFolder(t)
	args := []string{"quantize", "--checkpoint", ckpt, "--engine", "portable", "--calibrate", "fer2013:" + fer, "--heads", "emotion", "--out", filepath.Join(dir, "m.tflite")}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), append(args, "--max-drop=100"), &stdout, &stderr)
	if out := stdout.String(); err != nil || !strings.Contains(out, "of 4 faces; accuracy") {
		t.Errorf("%v: %q", err, out)
	}
	// The set is loaded for two splits, and told about once.
	if n := strings.Count(stderr.String(), "no face was found in"); n != 1 {
		t.Errorf("said %d times: %s", n, stderr.String())
	}
	if _, err := runTool(t, append(args, "--max-drop=-100")...); err == nil || !strings.Contains(err.Error(), "emotion lost") {
		t.Errorf("%v", err)
	}
}

func TestQuantizeErrors(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ckpt, dir := untrained(t), t.TempDir()
	cut := filepath.Join(dir, "cut.safetensors")
	whole, err := os.ReadFile(ckpt)
	if err != nil {
		t.Fatal(err)
	}
	bad := cropsFolder(t, 1)
	for path, b := range map[string][]byte{cut: whole[:len(whole)/2], filepath.Join(bad, "x.jpg"): []byte("\xff\xd8 not a picture"),
		filepath.Join(dir, "cut.tflite"): []byte("abcdTFL3 and then nothing")} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, plan := filepath.Join(dir, "o.tflite"), filepath.Join(dir, "made", "f.plan.json")
	if _, err := runTool(t, "quantize", "--checkpoint", ckpt, "--mode", "float32", "--out", filepath.Join(dir, "made", "f.tflite")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"cut.safetensors", []string{"quantize", "--checkpoint", cut, "--out", out}},
		{"needs --calibrate", []string{"quantize", "--checkpoint", ckpt, "--out", out}},
		{`no head "mood"`, []string{"quantize", "--checkpoint", ckpt, "--out", out, "--heads", "mood"}},
		{"x.jpg", []string{"quantize", "--checkpoint", ckpt, "--out", out, "--calibrate", "faces:" + bad}},
		{"no .png or .jpg", []string{"quantize", "--checkpoint", ckpt, "--out", out, "--calibrate", "faces:" + t.TempDir()}},
		{"want KIND:N", []string{"quantize", "--checkpoint", ckpt, "--out", out, "--trained", "imagenet:5"}},
		{"name a data set with --eval", []string{"quantize", "--checkpoint", ckpt, "--out", out, "--mode", "float32", "--max-drop", "1"}},
		{"bits", []string{"quantize", "--checkpoint", ckpt, "--out", out, "--calibrate", "faces:" + cropsFolder(t, 1), "--weight-bits", "9"}},
		{"leave one out", []string{"quantize", "--checkpoint", ckpt, "--out", out, "--calibrate", "faces:" + cropsFolder(t, 1), "--tune", "1", "--plan", plan}},
		{"cut.tflite", []string{"inspect", filepath.Join(dir, "cut.tflite")}},
		{"no such file", []string{"inspect", filepath.Join(dir, "none.tflite")}},
		{"cut.tflite", []string{"diff", filepath.Join(dir, "cut.tflite"), filepath.Join(dir, "cut.tflite")}},
	} {
		_, err := runTool(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed run left its output")
	}
}

// The table has a row for each recipe, all measured, and names the one that
// moves least.
func TestCompare(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	out, err := runTool(t, "compare", "--checkpoint", untrained(t), "--engine", "portable", "--calibrate", "faces:"+cropsFolder(t, 3),
		"--heads", "emotion", "--only", "recoveries", "--calibrator", "minmax", "--tune", "1")
	if err != nil {
		t.Fatal(err)
	}
	var least, best string
	for _, line := range strings.Split(out, "\n") {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") {
			if least == "" || cells[2] < least {
				least, best = cells[2], strings.Trim(cells[0], "|` ")
			}
		}
	}
	if n := strings.Count(out, "\n| `--mode int8 --calibrator minmax"); n != 7 || !strings.Contains(out, "--tune 1` |") {
		t.Errorf("%d rows:\n%s", n, out)
	}
	if !strings.Contains(out, "mien quantize "+best) {
		t.Errorf("%q moves least:\n%s", best, out)
	}
	if _, err := runTool(t, "compare", "--checkpoint", untrained(t), "--calibrate", "faces:x", "--calibrator", "guess"); err == nil || !strings.Contains(err.Error(), "guess") {
		t.Errorf("%v", err)
	}
}

// Recoveries are tried with the three calibrators that move least alone.
func TestNearestCalibrators(t *testing.T) {
	var rows []*row
	for k, moves := range map[quant.Calibrator]float64{quant.MinMax: 4, quant.Average: 2, quant.Percentile: 5, quant.MSE: 1, quant.Entropy: 3} {
		rows = append(rows, &row{variant: variant{recipe: calibrated(k)}, Report: &report.Report{Heads: []report.Head{{MeanShift: moves}}}})
	}
	if got := nearest(rows, 3); !slices.Equal(got, []string{"mse", "average", "entropy"}) {
		t.Errorf("%v", got)
	}
}

// A mode that the engine does not run is a row that says so, and the others are
// measured.
func TestCompareNamesWhatTheEngineRefuses(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	out, err := runTool(t, "compare", "--checkpoint", untrained(t), "--engine", "portable", "--calibrate", "faces:"+cropsFolder(t, 3),
		"--heads", "emotion", "--only", "modes")
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]string{"int16x8": "not measured: portable: ", "int8": "% |", "float16": "100.00%"} {
		if !strings.Contains(out, "\n| `--mode "+mode+"` |") {
			t.Errorf("no row of %s:\n%s", mode, out)
		}
		for _, line := range strings.Split(out, "\n") {
			if strings.HasPrefix(line, "| `--mode "+mode+"` |") && !strings.Contains(line, want) {
				t.Errorf("%q does not say %q", line, want)
			}
		}
	}
}

// Commands that were renamed say what they are called now.
func TestRenamedCommands(t *testing.T) {
	for old, now := range map[string]string{"recipes": "mien compare", "calibrate": "mien temperature"} {
		if _, err := runTool(t, old, "--help"); err == nil || !strings.Contains(err.Error(), now) {
			t.Errorf("mien %s: %v", old, err)
		}
	}
}

func TestRaceIsNotInAnEmotionFile(t *testing.T) {
	ckpt, dir := untrained(t), t.TempDir()
	file := filepath.Join(dir, "e.tflite")
	if _, err := runTool(t, "quantize", "--checkpoint", ckpt, "--mode", "float32", "--heads", "emotion", "--out", file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Read(ckpt)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, le32s(f.Find("emotion.weight").Data[:4])) {
		t.Error("the emotion weights are not found where they should be: the test is blind")
	}
	for _, h := range []model.Head{model.Race, model.Gender, model.Age} {
		w := f.Find(h.Name + ".weight").Data
		for at := 0; at+4 <= len(w); at += 32 {
			if bytes.Contains(b, le32s(w[at:at+4])) {
				t.Fatalf("the file holds weights of %s", h.Name)
			}
		}
	}
}

func le32s(v []float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func writePNG(t *testing.T, path string, img image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func runTool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out, io.Discard)
	return out.String(), err
}

func TestTuneWritesACheckpoint(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ckpt, dir := untrained(t), t.TempDir()
	args := []string{"quantize", "--checkpoint", ckpt, "--engine", "portable", "--measure", "0", "--tune", "1", "--out", filepath.Join(dir, "t.tflite")}
	out, err := runTool(t, append(args, "--calibrate", "faces:"+cropsFolder(t, 3))...) // nobody has labelled those
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before, err := checkpoint.Read(ckpt)
	if err != nil {
		t.Fatal(err)
	}
	after, err := checkpoint.Read(filepath.Join(dir, "t.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Tensors) != len(before.Tensors) || after.Find("stem_conv.weight").Data[0] == before.Find("stem_conv.weight").Data[0] {
		t.Error("nothing was trained")
	}
	if after.Meta["arch"] != "edge" || !strings.Contains(after.Meta["tuned"], "1 steps") {
		t.Errorf("%v", after.Meta)
	}
}

// A checkpoint whose weights are laid out otherwise, are not finite, or do not say
// their network, is refused with what is wrong, or taken for what --arch says.
func TestCheckpointsOfOthers(t *testing.T) {
	write := func(change func(f *checkpoint.File)) string {
		path := untrained(t)
		f, err := checkpoint.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		change(f)
		if err := checkpoint.Write(path, f); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keras := write(func(f *checkpoint.File) { f.Find("stem_conv.weight").Shape = []int{5, 5, 1, 32} })
	nan := write(func(f *checkpoint.File) { f.Find("block2a_bn.running_var").Data[3] = float32(math.Inf(1)) })
	bare := write(func(f *checkpoint.File) { f.Meta = nil })
	out := filepath.Join(t.TempDir(), "o.tflite")
	args := []string{"quantize", "--mode", "float32", "--out", out, "--checkpoint"}
	refused(t, []string{"stem_conv.weight has shape [5 5 1 32], not [32 1 5 5]"}, append(args, keras)...)
	refused(t, []string{"block2a_bn.running_var holds NaN or infinity"}, append(args, nan)...)
	refused(t, []string{"does not say its network", "--arch"}, append(args, bare)...)
	roll := write(func(f *checkpoint.File) { f.Meta[train.MetaFaces] = data.GeometryOf(face.Unlevelled) })
	refused(t, []string{"no board makes", "levelling none"}, append(args, roll)...)
	refused(t, []string{"--arch paper", "network edge"}, append(args, nan, "--arch", "paper")...)
	mustMien(t, append(args, bare, "--arch", "edge")...)
	pointer := filepath.Join(t.TempDir(), "p.safetensors")
	if err := os.WriteFile(pointer, []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"Git LFS pointer"}, append(args, pointer)...)
}
