package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
	"mien/train/data"
)

// A little run through to its card: the card says what eval says, and --check
// sees when it does not.
func TestCard(t *testing.T) {
	fer, utk := cardSets(t)
	dir := t.TempDir()
	ckpt, file := untrained(t), filepath.Join(dir, "small.tflite")
	mustMien(t, "quantize", "--checkpoint", ckpt, "--calibrate", "fer2013:"+fer, "--faces", "4", "--measure", "0",
		"--heads", "emotion,age", "--engine", "portable", "--out", filepath.Join(dir, "bare.tflite"))
	sets := []string{"--data", "fer2013:" + fer, "--data", "utkface:" + utk}
	page := mustMien(t, append([]string{"card", filepath.Join(dir, "bare.tflite"), "--checkpoint", ckpt, "--reproduce", "make it", "--out", file}, sets...)...)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, spec, err := cardOf(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := completeCard(spec.Card); err != nil {
		t.Error(err)
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
	check := append([]string{"card", file, "--check"}, sets...)
	mustMien(t, check...)
	mustMien(t, append(check, "--checkpoint", ckpt)...)
	spec.Card.Accuracy[0].File += 0.01
	lie(t, file, spec.Card)
	refused(t, []string{file, spec.Card.Accuracy[0].Head, "measured"}, check...)
	refused(t, []string{"--out", "--check"}, append([]string{"card", file}, sets...)...)
	refused(t, []string{"no image in split test"}, "card", file, "--check", "--data", "fer2013:"+filepath.Join(fer, "train"))
}

// cardSets are sets that have every split.
func cardSets(t *testing.T) (fer, utk string) {
	t.Helper()
	fer, _ = drawSet(t)
	utk = t.TempDir()
	for i := range 80 {
		drawFace(t, filepath.Join(utk, fmt.Sprintf("%d_%d_%d_%d.png", 1+i%5*18, i%2, i%5, i)), 300+i, i%3)
	}
	return fer, utk
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

// completeCard says what a card lacks, and where its figures contradict each
// other.
func completeCard(c model.Card) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.SHA256.Checkpoint == "" || c.SHA256.Calibration == "" || c.Recipe == "" || c.Reproduce == "" || c.Engine == "" {
		wrong("no checkpoint, calibration, recipe, commands or engine: %+v, %d bytes, %q, %q", c.SHA256, len(c.Recipe), c.Reproduce, c.Engine)
	}
	if len(c.Temperature) != len(c.Heads) {
		wrong("%d temperatures for %d heads", len(c.Temperature), len(c.Heads))
	}
	for _, d := range c.Training {
		if d.Name == "" || d.Images == 0 || d.Terms == "" {
			wrong("training data without name, number or terms: %+v", d)
		}
	}
	if len(c.Training) == 0 || len(c.Limits) <= len(commonLimits) {
		wrong("no training data, or nothing of its own that it cannot do: %q", c.Limits)
	}
	measured := map[string]bool{}
	for _, a := range c.Accuracy {
		measured[a.Head] = true
		if err := consistent(a, c.Heads); err != nil {
			wrong("%s on %s: %w", a.Head, a.Data, err)
		}
	}
	for _, h := range c.Heads {
		if !measured[h.Name] {
			wrong("head %s is not measured", h.Name)
		}
	}
	return errors.Join(errs...)
}

// consistent checks a head's figure against its confusion matrix and its
// groups, which count the same images where the model answers all of the heads.
func consistent(a model.Accuracy, heads []model.Head) error {
	n, right := 0, 0
	for i, row := range a.Confusion {
		n += sum(row)
		right += row[i]
	}
	if n != a.N || n == 0 || a.File != float64(right)/float64(n) {
		return fmt.Errorf("accuracy %v of %d, but the matrix has %d of %d", a.File, a.N, right, n)
	}
	count, good := map[string]int{}, map[string]float64{}
	for _, g := range a.Groups {
		count[g.By] += g.N
		good[g.By] += g.File * float64(g.N)
	}
	for by := range count {
		if !slices.ContainsFunc(heads, func(h model.Head) bool { return h.Name == by }) {
			continue
		}
		if count[by] != n || math.Abs(good[by]-float64(right)) > 1e-6 {
			return fmt.Errorf("by %s there are %.0f right of %d, in all %d of %d", by, good[by], count[by], right, n)
		}
	}
	if len(count) == 0 {
		return errors.New("no groups")
	}
	if !(a.ECE > 0 && a.ECE < 1 && a.Scaled > 0 && a.Scaled < 1) {
		return fmt.Errorf("calibration errors %v and %v", a.ECE, a.Scaled)
	}
	return nil
}

// What ships is what its pages say: every model has a whole card, the page
// beside it is that card, and a checkpoint beside it is the one it was made from.
func TestShippedCards(t *testing.T) {
	const folder = "../../runtime/zoo/models"
	files, err := filepath.Glob(filepath.Join(folder, "*.tflite"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models in %s (%v)", folder, err)
	}
	index, err := os.ReadFile("../../runtime/zoo/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, spec, err := cardOf(b)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := completeCard(spec.Card); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if page, err := os.ReadFile(pagePath(file)); err != nil || string(page) != cardPage(file, b, spec.Card) {
			t.Errorf("%s is not the card of %s (%v); make model writes both", pagePath(file), file, err)
		}
		if want := fmt.Sprintf("(models/%s)", filepath.Base(pagePath(file))); !strings.Contains(string(index), want) {
			t.Errorf("README.md does not link %s", want)
		}
		ckpt := filepath.Join(folder, spec.Card.Arch+".safetensors")
		c, err := os.ReadFile(ckpt)
		if errors.Is(err, os.ErrNotExist) {
			continue // then the card says how to make it: completeCard asks for that
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(c)); got != spec.Card.SHA256.Checkpoint {
			t.Errorf("%s has SHA-256 %s, the card of %s says %s", ckpt, got, file, spec.Card.SHA256.Checkpoint)
		}
	}
}

func TestLimitsNameWhatWasNeverSeen(t *testing.T) {
	card := model.Card{Heads: []model.Head{model.Gender}, Accuracy: []model.Accuracy{{Head: "gender", Data: "utkface test", Confusion: [][]int{{9, 1, 0}, {6, 4, 0}, {0, 0, 0}}}}}
	set := &data.Set{Heads: card.Heads, Samples: []data.Sample{{Split: data.Train, Labels: data.Labels{0}}, {Split: data.Train, Labels: data.Labels{1}},
		{Split: data.Test, Labels: data.Labels{2}}}}
	want := append(append([]string(nil), commonLimits...), `gender "unsure" has no training image: it is as good as never the answer`,
		`of 10 faces with gender "female" it recognises 40% (utkface test)`)
	if d := cmp.Diff(want, limits(card, []*data.Set{set})); d != "" {
		t.Error(d)
	}
}
