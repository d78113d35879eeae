package card

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/model"
	"mien/train/data"
)

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
	if len(c.Training) == 0 || len(c.Limits) < 4 {
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
// beside it is that card, a checkpoint beside it is the one it was made from, and
// RESULTS.md has the commands that make it.
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
	results, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Join(strings.Fields(strings.ReplaceAll(string(results), "\\\n", "")), " ")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, spec, err := Of(b)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := completeCard(spec.Card); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if page, err := os.ReadFile(PagePath(file)); err != nil || string(page) != Page(file, b, spec.Card) {
			t.Errorf("%s is not the card of %s (%v); make model writes both", PagePath(file), file, err)
		}
		if want := fmt.Sprintf("(models/%s)", filepath.Base(PagePath(file))); !strings.Contains(string(index), want) {
			t.Errorf("README.md does not link %s", want)
		}
		for line := range strings.Lines(spec.Card.Reproduce) {
			if line = strings.TrimSpace(line); !strings.Contains(told, line) {
				t.Errorf("RESULTS.md does not say how %s is made: %s", file, line)
			}
		}
		for path := range strings.FieldsSeq(spec.Card.Reproduce) {
			path, _, _ = strings.Cut(path, "=")
			if _, err := os.Stat("../../" + path); strings.HasPrefix(path, "train/") && err != nil {
				t.Errorf("%s says it is made from %s: %v", file, path, err)
			}
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
	want := append([]string{"no good in the dark"}, `gender "unsure" has no training image: it is as good as never the answer`,
		`of 10 faces with gender "female" it recognises 40% (utkface test)`)
	if d := cmp.Diff(want, limits([]string{"no good in the dark"}, card, []*data.Set{set})); d != "" {
		t.Error(d)
	}
}
