package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
	"mien/train"
	cards "mien/train/card"
	"mien/train/data"
	"mien/train/review"
)

// A little run through to its card: the card says what eval says, and --check
// sees when it does not.
func TestCard(t *testing.T) {
	dir := t.TempDir()
	ckpt, file := untrained(t), filepath.Join(dir, "small.tflite")
	net, err := train.Open(ckpt, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	fer, utk := answeredSets(t, review.AskNet(net, []model.Head{model.Emotion, model.Age}))
	mustMien(t, "quantize", "--checkpoint", ckpt, "--calibrate", "fer2013:"+fer, "--faces", "4", "--measure", "0",
		"--heads", "emotion,age", "--engine", "portable", "--out", filepath.Join(dir, "bare.tflite"))
	sets := []string{"--data", "fer2013:" + fer, "--data", "utkface:" + utk}
	page := mustMien(t, append([]string{"card", filepath.Join(dir, "bare.tflite"), "--checkpoint", ckpt, "--reproduce", "make it", "--out", file}, sets...)...)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, spec, err := cards.Of(b)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(dir, "small.md"))
	if err != nil || string(written) != page {
		t.Errorf("the page beside the file is another (%v)", err)
	}
	for _, want := range []string{"# small", "make it", fmt.Sprintf("%x", sha256.Sum256(b)), spec.Card.SHA256.Checkpoint, "non-commercial research"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	for _, a := range spec.Card.Accuracy {
		kind, split, _ := strings.Cut(a.Data, " ")
		of := map[string]string{"fer2013": fer, "utkface": utk}[kind]
		r := evalJSON(t, "--model", file, "--data", kind+":"+of, "--split", split, "--engine", "portable")
		h := r.Heads[a.Head]
		if h.N != a.N || h.Accuracy != a.File || h.ECE != a.ECE || cmp.Diff(h.Confusion, a.Confusion) != "" {
			t.Errorf("the card says %+v, eval %+v", a, h)
		}
		if math.Abs(r.Scaled[a.Head]-a.Scaled) > 1e-6 {
			t.Errorf("%s: scaled error in the card %v, in eval %v", a.Head, a.Scaled, r.Scaled[a.Head])
		}
		for i, g := range r.Groups[a.Head] {
			if d := cmp.Diff(model.Group{By: g.By, Label: g.Label, Said: g.Said, N: g.N, File: g.Accuracy(), Float: a.Groups[i].Float}, a.Groups[i]); d != "" {
				t.Error(d)
			}
		}
		float := evalJSON(t, "--model", ckpt, "--data", kind+":"+of, "--split", split)
		if got := float.Heads[a.Head].Accuracy; got != a.Float {
			t.Errorf("%s: float accuracy in the card %v, in eval %v", a.Head, a.Float, got)
		}
	}
	cardOthers(t, file, fer, sets, spec.Card)
	cardCanary(t, file, "fer2013:"+fer)
	check := append([]string{"card", file, "--check"}, sets...)
	mustMien(t, check...)
	mustMien(t, append(check, "--checkpoint", ckpt)...)
	spec.Card.Accuracy[0].File += 0.01
	lie(t, file, spec.Card)
	refused(t, []string{file, spec.Card.Accuracy[0].Head, "measured"}, check...)
	refused(t, []string{"--out", "--check"}, append([]string{"card", file}, sets...)...)
	refused(t, []string{"no image in split test"}, "card", file, "--check", "--data", "fer2013:"+filepath.Join(fer, "train"))
}

// cardOthers: a set that taught nothing has figures of its own, those of eval,
// and no say in the temperatures.
func cardOthers(t *testing.T, file, fer string, sets []string, was model.Card) {
	t.Helper()
	writeVotes(t, fer)
	out := filepath.Join(t.TempDir(), "others.tflite")
	page := mustMien(t, append([]string{"card", file, "--out", out, "--other", "ferplus:" + fer}, sets...)...)
	if !strings.Contains(page, "## On photographs of another origin") || strings.Count(page, "| emotion | ferplus test |") < 2 {
		t.Errorf("the page has no figures by the labels of another set:\n%s", page)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	_, spec, err := cards.Of(b)
	if err != nil {
		t.Fatal(err)
	}
	n := len(was.Accuracy)
	if d := cmp.Diff(was.Temperature, spec.Card.Temperature); d != "" || len(spec.Card.Accuracy) != n+1 || len(spec.Card.Training) != len(was.Training) {
		t.Fatalf("%d figures, %d sets taught it, temperatures %s", len(spec.Card.Accuracy), len(spec.Card.Training), d)
	}
	h := evalJSON(t, "--model", out, "--data", "ferplus:"+fer, "--engine", "portable").Heads["emotion"]
	if a := spec.Card.Accuracy[n]; !a.Other || h.N != a.N || h.Accuracy != a.File {
		t.Errorf("the card says %+v, eval %d and %v", a, h.N, h.Accuracy)
	}
}

// answeredSets are sets that have every split, whose labels are drawn from what a
// model answers: its temperature is about 1 by construction, that of others is
// found from labels that have something to do with their answers.
func answeredSets(t *testing.T, ask review.Ask) (fer, utk string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	fer, utk = t.TempDir(), t.TempDir()
	at := func(split string, i int) string { return filepath.Join(fer, split, "happy", fmt.Sprintf("%d.png", i)) }
	for i := range 240 {
		drawFace(t, at("train", i), i, i%3)
		drawFace(t, filepath.Join(utk, fmt.Sprintf("30_0_0_%d.png", i)), 1000+i, i%3)
	}
	for i := range 24 {
		drawFace(t, at("test", i), 2000+i, i%3)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	rename := func(spec string, head int, to func(path string, label int) string) {
		o := data.Options{Heads: []model.Head{model.Emotion, model.Age}, Validation: 0.1}
		sets, err := loadSets(env{t.Context(), io.Discard, io.Discard, map[string]bool{}}, []string{spec}, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range sets[0].Samples {
			p, err := ask(x.Face)
			if err != nil {
				t.Fatal(err)
			}
			path := to(x.Path, drawn(rng, p[0][head]))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(x.Path, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	rename("fer2013:"+fer, 0, func(path string, label int) string {
		return filepath.Join(filepath.Dir(filepath.Dir(path)), model.Emotion.Labels[label], filepath.Base(path))
	})
	rename("utkface:"+utk, 1, func(path string, label int) string {
		_, rest, _ := strings.Cut(filepath.Base(path), "_")
		return filepath.Join(utk, fmt.Sprintf("%d_%s", []int{2, 10, 30, 50, 80}[label], rest))
	})
	return fer, utk
}

// drawn is a label, each as likely as p says.
func drawn(rng *rand.Rand, p []float32) int {
	u := rng.Float32()
	for k, v := range p {
		if u -= v; u < 0 {
			return k
		}
	}
	return len(p) - 1
}

func evalJSON(t *testing.T, args ...string) (r evalReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustMien(t, append([]string{"eval", "--json"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// lie writes the model again with another card.
func lie(t *testing.T, path string, c model.Card) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := flatfile.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = withCard(g, c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The canary of a card is passed by the file that the card is of, and not by one that
// answers otherwise.
func cardCanary(t *testing.T, file, spec string) {
	t.Helper()
	c, err := canaryOf(env{t.Context(), io.Discard, io.Discard, map[string]bool{}}, file, spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := openEngine("portable", b, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := c.Check(m); err != nil || c.Least["emotion"] <= 0 || len(c.Faces) == 0 {
		t.Errorf("%v of %d faces: %v", c.Least, len(c.Faces), err)
	}
	for _, f := range c.Faces {
		f.Labels["emotion"] = "another"
	}
	if err := c.Check(m); err == nil || !strings.Contains(err.Error(), "it reads 0 right on this board (emotion)") {
		t.Errorf("what answers otherwise passes: %v", err)
	}
}
