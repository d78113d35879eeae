package train

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"mien/train/nn"
)

// taught runs a student of the drawn faces; teachers are checkpoints.
func taught(t *testing.T, faces string, resume bool, out string, teachers []string, set ...string) error {
	t.Helper()
	r, err := LoadRecipe("paper", append([]string{"epochs=1", "batch=16", "validation=0.3"}, set...))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: out, Threads: 1, Net: tiny(), Teachers: teachers, Resume: resume})
	return err
}

// teacher trains an edge network for a moment.
func teacher(t *testing.T, faces string) string {
	t.Helper()
	r, err := LoadRecipe("paper", []string{"arch=edge", "epochs=1", "batch=16", "validation=0.3"})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if _, err := Run(context.Background(), Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: out, Threads: 2}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(out, BestFile)
}

// TestTeach: the target of a labelled head is the label and the mean of the
// teachers' answers, each by its share; a head without a label is left alone.
func TestTeach(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	path := teacher(t, faces)
	r, err := LoadRecipe("paper", []string{"batch=16", "distill=0.25", "validation=0.3"})
	if err != nil {
		t.Fatal(err)
	}
	run, err := newRun(Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: t.TempDir(), Net: tiny(), Teachers: []string{path, path}})
	if err != nil {
		t.Fatal(err)
	}
	net, err := Open(path, 16, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer run.batches.stop()
	b := run.batches.at(0, 16, 16)
	var plain nn.Batch
	for _, row := range b.Target {
		plain.Target = append(plain.Target, append([]float32(nil), row...))
	}
	run.teachers.teach(b, run.heads)
	says := net.Predict(b.X, 16)[0]
	for i := range 16 {
		p := says[i*7:][:7]
		Softmax(p)
		for k, v := range p {
			if want := 0.75*plain.Target[0][i*7+k] + 0.25*v; math.Abs(float64(b.Target[0][i*7+k]-want)) > 1e-6 {
				t.Errorf("picture %d, label %d: target %g, want %g", i, k, b.Target[0][i*7+k], want)
			}
		}
	}
	for head := 1; head < 4; head++ {
		for _, v := range b.Target[head][:16] {
			if v != 0 {
				t.Errorf("head %d has no labels, and a target of %g", head, v)
			}
		}
	}
}

// TestDistillOptions: recipe and teachers go together, and a run is resumed
// with those it began with.
func TestDistillOptions(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	path := teacher(t, faces)
	out := t.TempDir()
	if err := taught(t, faces, false, out, []string{path}, "distill=0.5"); err != nil {
		t.Fatal(err)
	}
	if err := taught(t, faces, true, out, []string{path}, "distill=0.5", "epochs=2"); err != nil {
		t.Errorf("resumed with its teacher: %v", err)
	}
	for what, c := range map[string]struct {
		resume   bool
		teachers []string
		set      string
		want     string
	}{
		"no teacher":      {false, nil, "distill=0.5", "name a --teacher"},
		"no share":        {false, []string{path}, "distill=0", "distill=0.5"},
		"no file":         {false, []string{"nowhere"}, "distill=0.5", "nowhere"},
		"another teacher": {true, []string{path, path}, "distill=0.5", "same --teacher"},
	} {
		to := t.TempDir()
		if c.resume {
			to = out
		}
		if err := taught(t, faces, c.resume, to, c.teachers, c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", what, err, c.want)
		}
	}
}
