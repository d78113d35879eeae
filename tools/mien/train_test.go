package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mien/device/cmdline/prose"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/train"
	"mien/train/arch"
	cards "mien/train/card"
	"mien/train/checkpoint"
	"mien/train/nn"
)

// drawSet writes a little FER-2013 and a little UTKFace, whose labels show in
// the pictures, and points the cache at a folder of the test.
func drawSet(t *testing.T) (fer, utk string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	fer, utk = t.TempDir(), t.TempDir()
	for i := range 24 {
		e := i % 3
		drawFace(t, filepath.Join(fer, "train", model.Emotion.Labels[e], fmt.Sprintf("%d.png", i)), i, e)
		if i < 9 {
			drawFace(t, filepath.Join(fer, "test", model.Emotion.Labels[e], fmt.Sprintf("%d.png", i)), 100+i, e)
		}
		drawFace(t, filepath.Join(utk, fmt.Sprintf("%d_%d_%d_%d.png", 1+i%3*30, i%2, e, i)), 200+i, e)
	}
	return fer, utk
}

func drawFace(t *testing.T, path string, seed, bright int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(seed), 3))
	img := image.NewGray(image.Rect(0, 0, 48, 48))
	for k := range img.Pix {
		img.Pix[k] = uint8(rng.IntN(120))
		if k/img.Stride/16 == bright {
			img.Pix[k] += 100
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func callMien(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, said bytes.Buffer
	err = run(context.Background(), args, &out, &said)
	return out.String(), err
}

// proofread fails where a command printed what nobody would write.
func proofread(t *testing.T, args []string, out, said string, err error) {
	t.Helper()
	texts := []string{out, said}
	if err != nil {
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if slip := prose.Slip(text); slip != "" {
			t.Errorf("mien %s: prints %q", strings.Join(args, " "), slip)
		}
	}
}

func mustMien(t *testing.T, args ...string) string {
	t.Helper()
	out, err := callMien(t, args...)
	if err != nil {
		t.Fatalf("mien %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func refused(t *testing.T, words []string, args ...string) {
	t.Helper()
	_, err := callMien(t, args...)
	if err == nil {
		t.Fatalf("mien %s: no error", strings.Join(args, " "))
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("mien %s: error %q does not say %q", strings.Join(args, " "), err, w)
		}
	}
}

// One run through what a user does: train, go on, measure.
func TestTrainResumeEval(t *testing.T) {
	fer, utk := drawSet(t)
	out := filepath.Join(t.TempDir(), "run")
	both := []string{"train", "--data", "fer2013:" + fer, "--data", "utkface:" + utk, "--out", out}
	small := append(both, "--recipe", "edge", "--set", "batch=8", "--set", "validation=0.3", "--epochs", "1")
	mustMien(t, small...)
	refused(t, []string{out, "--resume"}, small...)
	mustMien(t, append(both, "--resume", "--epochs", "2")...)
	refused(t, []string{"paper-single"}, append(both, "--resume", "--recipe", "paper-single")...)

	b, err := os.ReadFile(filepath.Join(out, "log.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines in the log after two epochs", len(lines))
	}
	var e train.Epoch
	if err := json.Unmarshal([]byte(lines[1]), &e); err != nil || e.Epoch != 2 || e.Val["emotion"].N == 0 || e.Val["age"].N == 0 {
		t.Errorf("%v: %s", err, lines[1])
	}
	for _, name := range []string{"best.safetensors", "last.safetensors", "recipe.yaml", "report.md", "curves.png", "confusion-emotion.png"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	best := filepath.Join(out, "best.safetensors")
	evalOf(t, best, "fer2013:"+fer, "test", map[string]int{"emotion": 9})
	evalOf(t, best, "utkface:"+utk, "all", map[string]int{"gender": 24, "race": 24, "age": 24}, "--split", "all")
	evalOf(t, best, "utkface:"+utk, "test", map[string]int{"gender": 1, "race": 1, "age": 1})
	if text := mustMien(t, "eval", "--model", best, "--data", "fer2013:"+fer); !strings.Contains(text, "emotion: n 9, accuracy") {
		t.Errorf("eval printed %s", text)
	}
}

// TestEvalSideBySide: pictures with a label in each of two sets are right by
// either, and the figure says which.
func TestEvalSideBySide(t *testing.T) {
	fer, _ := drawSet(t)
	writeVotes(t, fer)
	const edge = "../../runtime/zoo/models/edge.safetensors"
	args := []string{"eval", "--model", edge, "--data", "fer2013:" + fer, "--data", "ferplus:" + fer}
	var r evalReport
	if err := json.Unmarshal([]byte(mustMien(t, append(args, "--json")...)), &r); err != nil {
		t.Fatal(err)
	}
	m, by := r.Heads["emotion"], r.Sides["emotion"]
	if len(by) != 2 || by[0].N != 9 || by[1].N != 9 || m.N != 18 || math.Abs(by[0].Accuracy+by[1].Accuracy-2*m.Accuracy) > 1e-9 {
		t.Fatalf("emotion %+v of %d images, %.4f together", by, m.N, m.Accuracy)
	}
	var happy int // by the votes, all are
	for i := range m.Confusion {
		happy += m.Confusion[i][3]
	}
	if got := int(math.Round(by[1].Accuracy * 9)); by[1].Data != "ferplus:"+fer || 2*got != happy {
		t.Errorf("by the votes %d of 9 are right, and %d answers of 18 are happy", got, happy)
	}
	if text := mustMien(t, args...); !strings.Contains(text, "by the labels of ferplus:"+fer+": n 9, accuracy") {
		t.Errorf("eval printed %s", text)
	}
}

// writeVotes writes FER+'s table of the drawn FER-2013: most say happy.
func writeVotes(t *testing.T, fer string) {
	t.Helper()
	table := "image,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
	for i := range 24 {
		table += fmt.Sprintf("%d.png,1,9,0,0,0,0,0,0,0,0\n", i)
	}
	if err := os.WriteFile(filepath.Join(fer, "ferplus-by-id.csv"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A question of one's own goes from folders to a file that answers it and
// nothing else.
func TestOwnHead(t *testing.T) {
	dir := t.TempDir()
	for i := range 60 {
		drawFace(t, filepath.Join(dir, []string{"yes", "no"}[i%2], fmt.Sprintf("%d.png", i)), i, i%2*4)
	}
	out := filepath.Join(t.TempDir(), "run")
	data := "folders:" + dir
	mustMien(t, "train", "--head", "smile=yes,no", "--recipe", "edge", "--data", data, "--out", out, "--set", "batch=8", "--set", "validation=0.3", "--set", "seed=2", "--set", "split=1", "--epochs", "2")
	best := filepath.Join(out, "best.safetensors")
	evalOf(t, best, data, "all", map[string]int{"smile": 60}, "--split", "all", "--mistakes", filepath.Join(out, "wrong"))
	for _, name := range []string{"answers.png", "no-face.png", "wrong/mistakes.csv"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(b) < 40 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	refused(t, []string{"split by seed 1"}, "eval", "--model", best, "--data", data, "--seed", "2")
	refused(t, []string{"trained with 0.3"}, "eval", "--model", best, "--data", data, "--validation", "0.1")
	refused(t, []string{"once"}, "eval", "--model", best, "--data", data, "--data", data)
	file := filepath.Join(t.TempDir(), "smile.tflite")
	mustMien(t, "quantize", "--checkpoint", best, "--calibrate", data, "--faces", "20", "--measure", "8", "--max-drop", "100", "--out", file)
	evalOf(t, file, data, "all", map[string]int{"smile": 60}, "--split", "all")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, spec, err := cards.Of(b)
	if err != nil || len(spec.Heads) != 1 || spec.Heads[0].Name != "smile" || !slices.Equal(spec.Heads[0].Labels, []string{"yes", "no"}) {
		t.Errorf("%+v, %v", spec, err)
	}
}

// A run on emotions alone answers nothing else: not when it is measured, not
// as a file, and not in its report.
func TestUntaughtHeadsStaySilent(t *testing.T) {
	fer, _ := drawSet(t)
	out := filepath.Join(t.TempDir(), "run")
	data := "fer2013:" + fer
	mustMien(t, "train", "--recipe", "edge", "--data", data, "--out", out, "--set", "batch=8", "--set", "validation=0.3", "--epochs", "1")
	best := filepath.Join(out, "best.safetensors")
	evalOf(t, best, data, "all", map[string]int{"emotion": 33}, "--split", "all")
	file := filepath.Join(t.TempDir(), "emotion.tflite")
	refused(t, []string{"nothing has taught head gender"}, "quantize", "--checkpoint", best, "--calibrate", data, "--heads", "emotion,gender", "--out", file)
	mustMien(t, "quantize", "--checkpoint", best, "--calibrate", data, "--faces", "20", "--measure", "8", "--max-drop", "100", "--out", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, spec, err := cards.Of(b); err != nil || len(spec.Heads) != 1 || spec.Heads[0].Name != "emotion" {
		t.Errorf("%+v, %v", spec, err)
	}
	report, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(report); !strings.Contains(text, "Untaught: gender, race, age") || strings.Contains(text, "female") {
		t.Error(text)
	}
}

func evalOf(t *testing.T, model, spec, split string, want map[string]int, flags ...string) {
	t.Helper()
	var r evalReport
	if err := json.Unmarshal([]byte(mustMien(t, append([]string{"eval", "--model", model, "--data", spec, "--json"}, flags...)...)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Split != split {
		t.Errorf("%s: split %s, want %s", spec, r.Split, split)
	}
	if len(r.Heads) != len(want) {
		t.Errorf("%s: figures of %d heads, want %d", spec, len(r.Heads), len(want))
	}
	for head, n := range want {
		h := r.Heads[head]
		if h == nil || h.N != n {
			t.Errorf("%s: %s is %+v, want %d images", spec, head, h, n)
			continue
		}
		sum, right := 0, 0
		for i, row := range h.Confusion {
			for k, v := range row {
				sum += v
				if i == k {
					right += v
				}
			}
		}
		if sum != n || n > 0 && h.Accuracy != float64(right)/float64(n) {
			t.Errorf("%s: %s: confusion of %d images, %d right, accuracy %v", spec, head, sum, right, h.Accuracy)
		}
	}
}

// A .tflite model is measured on both engines, and they agree.
func TestEvalModelFile(t *testing.T) {
	_, utk := drawSet(t)
	path := filepath.Join(t.TempDir(), "model.tflite")
	if err := os.WriteFile(path, infertest.Marshal(t, infertest.Network(7, model.Gender, model.Age)), 0o644); err != nil {
		t.Fatal(err)
	}
	evalOf(t, path, "utkface:"+utk, "all", map[string]int{"gender": 24, "age": 24}, "--split", "all")
	var a, b evalReport
	for engine, r := range map[string]*evalReport{"portable": &a, "auto": &b} {
		out := mustMien(t, "eval", "--model", path, "--data", "utkface:"+utk, "--split", "all", "--json", "--engine", engine)
		if err := json.Unmarshal([]byte(out), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, head := range []string{"gender", "age"} {
		if x, y := a.Heads[head], b.Heads[head]; math.Abs(x.Loss-y.Loss) > 1e-4 || x.Accuracy != y.Accuracy {
			t.Errorf("%s: %s gives %+v, %s gives %+v", head, a.Engine, x, b.Engine, y)
		}
	}
	if len(a.Heads) != 2 {
		t.Errorf("heads %v of a model with two", a.Heads)
	}
}

func TestTrainRefusals(t *testing.T) {
	fer, _ := drawSet(t)
	out := filepath.Join(t.TempDir(), "run")
	data := "fer2013:" + fer
	refused(t, []string{"cake", "paper-single"}, "train", "--recipe", "cake", "--data", data, "--out", out)
	refused(t, []string{"speed"}, "train", "--set", "speed=3", "--data", data, "--out", out)
	refused(t, []string{"mnist"}, "train", "--data", "mnist:"+fer, "--out", out)
	refused(t, []string{"no run to resume", out}, "train", "--resume", "--data", data, "--out", out)
	empty := t.TempDir()
	refused(t, []string{"no images", empty}, "train", "--data", "fer2013:"+empty, "--out", out)
	cut := filepath.Join(t.TempDir(), "cut.tflite")
	if err := os.WriteFile(cut, []byte("TFL3"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{cut}, "eval", "--model", cut, "--engine", "portable", "--data", data)
	refused(t, []string{"none.safetensors"}, "eval", "--model", "none.safetensors", "--data", data)
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused run left %s: %v", out, err)
	}
}

func TestDataCheck(t *testing.T) {
	fer, utk := drawSet(t)
	sheet := filepath.Join(t.TempDir(), "sheet.png")
	out := mustMien(t, "data", "check", "fer2013:"+fer, "utkface:"+utk, "--sheet", sheet)
	for _, want := range []string{"33 images, 0 that cannot be used", "24 images, 0 that cannot be used", "together: 0 more"} {
		if !strings.Contains(out, want) {
			t.Errorf("printed %s", out)
		}
	}
	f, err := os.Open(sheet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Errorf("contact sheet: %v", err)
	}
	bad := filepath.Join(fer, "train", "happy", "bad.jpg")
	if err := os.MkdirAll(filepath.Dir(bad), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("not a picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{bad, "1 of 34"}, "data", "check", "fer2013:"+fer, "--sheet", sheet)
}

// What a full disk says tells how to go on.
func TestFullDisk(t *testing.T) {
	full := fmt.Errorf("checkpoint: %w", &os.PathError{Op: "write", Path: "run/.last.tmp", Err: syscall.ENOSPC})
	if err := freeSpace(full, "run"); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("said %v", err)
	}
	if other := errors.New("other"); freeSpace(other, "run") != other {
		t.Error("another error is changed")
	}
}

// Weights of others come in, and weights go out.
func TestImportExportInspect(t *testing.T) {
	dir := t.TempDir()
	heads := []model.Head{{Name: "smile", Labels: []string{"yes", "no"}}}
	net, err := nn.New(arch.Edge(heads), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	net.Init(7)
	f := &checkpoint.File{}
	for _, p := range net.Params() {
		name := "module." + strings.Replace(p.Name, "smile.", "classifier.", 1)
		f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: name, Shape: p.Shape, Data: p.Value})
	}
	theirs, ours, onnx := filepath.Join(dir, "theirs.safetensors"), filepath.Join(dir, "ours.safetensors"), filepath.Join(dir, "net.onnx")
	if err := checkpoint.Write(theirs, f); err != nil {
		t.Fatal(err)
	}
	names := filepath.Join(dir, "names.yaml")
	if err := os.WriteFile(names, []byte("classifier.weight: smile.weight\nclassifier.bias: smile.bias\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"import", theirs, "--arch", "edge", "--head", "smile=yes,no", "--out", ours}
	refused(t, []string{"no tensor smile.weight"}, args...)
	mustMien(t, append(args, "--names", names)...)
	text := mustMien(t, "inspect", ours)
	for _, want := range []string{"checkpoint of network edge", "smile  yes, no  not recorded", "stem_conv.weight"} {
		if !strings.Contains(text, want) {
			t.Errorf("inspect does not say %q:\n%s", want, text)
		}
	}
	mustMien(t, "export", ours, "--out", onnx)
	if b, err := os.ReadFile(onnx); err != nil || !bytes.Contains(b, []byte("smile.weight")) {
		t.Errorf("%v", err)
	}
	refused(t, []string{"torchvision has no network edge"}, append(args, "--names", "torchvision")...)
	refused(t, []string{"[32 1 5 5]"}, "import", theirs, "--arch", "wide", "--head", "smile=yes,no", "--out", ours, "--names", names)
}
