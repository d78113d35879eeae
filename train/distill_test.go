package train

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/train/data"
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

// trainTeacher trains an edge network for a moment.
func trainTeacher(t *testing.T, faces string) string {
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
// teachers' answers, each by its share; without a label it is their answer, at
// the weight of that share.
func TestTeach(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	path := trainTeacher(t, faces)
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
	if err := run.teachers.teach(b); err != nil {
		t.Fatal(err)
	}
	for head, says := range net.Predict(b.X, 16) {
		labels := len(run.heads[head].Labels)
		for i := range 16 {
			label, weight := float32(0.75), float32(1)
			if head > 0 { // the drawn faces have an emotion alone
				label, weight = 0, 0.25
			}
			if got := b.Weight[head][i]; got != weight {
				t.Errorf("head %d, picture %d: weight %g, want %g", head, i, got, weight)
			}
			p := says[i*labels:][:labels]
			Softmax(p)
			for k, v := range p {
				got, want := b.Target[head][i*labels+k], label*plain.Target[head][i*labels+k]+(1-label)*v
				if math.Abs(float64(got-want)) > 1e-6 {
					t.Errorf("head %d, picture %d, label %d: target %g, want %g", head, i, k, got, want)
				}
			}
		}
	}
}

// TestTeachSomeHeads: a teacher named with heads teaches these alone, each head
// by the mean of its own teachers; a head without one keeps its labels.
func TestTeachSomeHeads(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	path := trainTeacher(t, faces)
	r, err := LoadRecipe("paper", []string{"batch=16", "distill=0.25", "validation=0.3", "views=1"})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: t.TempDir(), Net: tiny(), Teachers: []string{path + "=race,age", path + "=age"}}
	run, err := newRun(o)
	if err != nil {
		t.Fatal(err)
	}
	defer run.close()
	net, err := Open(path, 16, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the disk
		b := run.batches.at(0, 16, 16)
		emotion := slices.Clone(b.Target[0])
		if err := run.teachers.teach(b); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(b.Target[0], emotion) || b.Weight[1][0] != 0 {
			t.Error("a head without a teacher is taught")
		}
		for i, says := range net.Predict(b.X, 16) {
			if name := run.heads[i].Name; name != "race" && name != "age" {
				continue
			}
			n := len(run.heads[i].Labels)
			Softmax(says[:n])
			for k, v := range says[:n] {
				if got := b.Target[i][k]; math.Abs(float64(got-v)) > 1e-6 {
					t.Errorf("head %s, label %d: target %g, want %g", run.heads[i].Name, k, got, v)
				}
			}
		}
	}
	for spec, want := range map[string]string{path + "=mood": `no head "mood"`, path + "=": `no head ""`} {
		o.Teachers = []string{spec}
		if _, err := newRun(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", filepath.Base(spec), err)
		}
	}
	o.Recipe.Losses = Losses{"emotion": 1, "gender": 1, "race": 1}
	o.Teachers = []string{path + "=race"}
	if silent, err := Silent(&o); err != nil || !slices.Equal(silent, []string{"gender"}) {
		t.Errorf("silent: %v, %v", silent, err)
	}
}

// TestViews: with a number of views each picture comes in so many ways, in
// turns, and its teachers are asked about each once: what they said is the
// same in other company, and when they have gone.
func TestViews(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	r, err := LoadRecipe("paper", []string{"batch=5", "distill=0.5", "validation=0.3", "views=2", "augment.shift=3"})
	if err != nil {
		t.Fatal(err)
	}
	run, err := newRun(Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: t.TempDir(), Net: tiny(), Teachers: []string{trainTeacher(t, faces)}})
	if err != nil {
		t.Fatal(err)
	}
	defer run.batches.stop()
	type seen struct{ x, target []float32 }
	n := len(run.train)
	passes := make([]map[string]seen, 4)
	for pass := range passes {
		passes[pass] = map[string]seen{}
		if pass == 2 {
			run.teachers.all[0].net = nil
		}
		for at := 0; at < n; {
			k := min(5, n-at)
			b := run.batches.at(uint64(pass*n+at), k, min(5, max(n-at-k, 1)))
			if err := run.teachers.teach(b); err != nil {
				t.Fatal(err)
			}
			for i := range k {
				id := run.train[b.views[i]%n].ID
				passes[pass][fmt.Sprint(id)] = seen{slices.Clone(b.X[i*data.Pixels:][:data.Pixels]), slices.Clone(b.Target[0][i*7:][:7])}
			}
			at += k
		}
		if len(passes[pass]) != n {
			t.Fatalf("pass %d shows %d of %d", pass, len(passes[pass]), n)
		}
	}
	for id, a := range passes[0] {
		if b := passes[1][id]; slices.Equal(a.x, b.x) {
			t.Errorf("%s: the second view is the first", id)
		}
		for pass := range 2 {
			if a, b := passes[pass][id], passes[pass+2][id]; !slices.Equal(a.x, b.x) || !slices.Equal(a.target, b.target) {
				t.Errorf("%s: pass %d is not pass %d", id, pass+2, pass)
			}
		}
	}
}

// TestDistillOptions: recipe and teachers go together, and a run is resumed
// with those it began with.
func TestDistillOptions(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	path := trainTeacher(t, faces)
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

// TestAnswers: what a teacher said is on the disk for other students, bit for
// bit; a row that was cut short is asked for again; other views have a file of
// their own.
func TestAnswers(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 8)
	path, shared := trainTeacher(t, faces), t.TempDir()
	student := func(set ...string) *run {
		r, err := LoadRecipe("paper", append([]string{"batch=8", "distill=0.5", "validation=0.3", "views=1", "augment.shift=3"}, set...))
		if err != nil {
			t.Fatal(err)
		}
		run, err := newRun(Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: t.TempDir(), Net: tiny(), Teachers: []string{path}, Answers: shared})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(run.close)
		return run
	}
	target := func(r *run) []float32 {
		b := r.batches.at(0, 8, 8)
		if err := r.teachers.teach(b); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(b.Target[0])
	}
	first := student()
	want := target(first)
	second := student("smoothing=0", "lr=0.1")
	net := second.teachers.all[0].net
	second.teachers.all[0].net = nil // it would be asked in vain
	if got := target(second); !slices.Equal(got, want) {
		t.Error("what is on the disk is not what was said")
	}
	files, err := filepath.Glob(filepath.Join(shared, "answers-*.bin"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v: want one for the views that both saw", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, cut := range map[string][]byte{"truncated": b[:len(b)-20], "torn": append(slices.Clone(b[:len(b)-20]), make([]byte, 20)...), "empty": nil} {
		if err := os.WriteFile(files[0], cut, 0o644); err != nil {
			t.Fatal(err)
		}
		third := student()
		third.teachers.all[0].net = net
		if got := target(third); !slices.Equal(got, want) {
			t.Errorf("%s: the answers differ", name)
		}
		if again, err := os.ReadFile(files[0]); err != nil || !slices.Equal(again[:len(b)-20], b[:len(b)-20]) {
			t.Errorf("%s: they were not written again (%v)", name, err)
		}
	}
	target(student("augment.shift=2"))
	if files, _ := filepath.Glob(filepath.Join(shared, "answers-*.bin")); len(files) != 2 {
		t.Errorf("%d files, want another for other views", len(files))
	}
}
