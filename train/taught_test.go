package train

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
)

// A checkpoint knows which of its heads were taught, by what and how long.
func TestTaught(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=2", "losses.age=1")
	if silent, err := Silent(&o); err != nil || !slices.Equal(silent, []string{"age"}) {
		t.Errorf("%v have a loss and no label (%v)", silent, err)
	}
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	first := taughtIn(t, filepath.Join(o.Out, LastFile))
	if len(first) != 1 || first["emotion"].Epochs != 2 || !slices.Equal(first["emotion"].Sets, []string{"fer2013"}) || first["emotion"].Images < 20 {
		t.Errorf("%+v", first)
	}
	f, err := checkpoint.Read(filepath.Join(o.Out, BestFile))
	if err != nil {
		t.Fatal(err)
	}
	if names, err := Untaught(f); err != nil || !slices.Equal(names, []string{"gender", "race", "age"}) {
		t.Errorf("untaught: %v, %v", names, err)
	}

	// One written before this was recorded is judged by its recipe and by what
	// it was measured on.
	delete(f.Meta, MetaTaught)
	if older, err := TaughtBy(f); err != nil || len(older) != 1 || older["emotion"].Epochs < 1 {
		t.Errorf("an older one: %+v, %v", older, err)
	}

	// A run that goes on without a head says what that did to it.
	next := o
	next.Out, next.From, next.Resume = t.TempDir(), filepath.Join(o.Out, BestFile), false
	next.Sets = withAges(o.Sets)
	next.Recipe.Losses = Losses{"age": 1, "emotion": 0}
	next.Recipe.Monitor = "age"
	res, err := Run(context.Background(), next)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Drops) != 1 || res.Drops[0].Head != "emotion" || res.Drops[0].Before < 0.5 {
		t.Errorf("drops %+v", res.Drops)
	}
	second := taughtIn(t, filepath.Join(next.Out, LastFile))
	if e, a := second["emotion"], second["age"]; e.Since != 2 || a.Epochs != 2 || a.Since != 0 {
		t.Errorf("%+v", second)
	}
}

func taughtIn(t *testing.T, path string) map[string]Taught {
	t.Helper()
	f, err := checkpoint.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]Taught
	if err := json.Unmarshal([]byte(f.Meta[MetaTaught]), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// withAges gives every sample an age.
func withAges(sets []*data.Set) []*data.Set {
	s := *sets[0]
	s.Samples = slices.Clone(s.Samples)
	for i := range s.Samples {
		s.Samples[i].Labels = slices.Clone(s.Samples[i].Labels)
		s.Samples[i].Labels[3] = int8(i % 2)
	}
	return []*data.Set{&s}
}

// Batch norm cannot learn from a batch of one.
func TestNoBatchOfOne(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=1")
	o.Net = arch.Net{}
	n := 0
	for _, x := range o.Sets[0].Samples {
		if x.Split == data.Train {
			n++
		}
	}
	for _, batch := range []int{2, 3, 5, 8, n - 1} {
		o.Recipe.Batch = batch
		r := &run{o: o, recipe: &o.Recipe}
		for _, h := range allHeads() {
			r.heads, r.weights = append(r.heads, h), append(r.weights, o.Recipe.Losses[h.Name])
		}
		if err := r.images(); err != nil {
			t.Fatal(err)
		}
		if r.perEpoch%batch == 1 || r.perEpoch < n-1 {
			t.Errorf("batch %d of %d images: %d an epoch", batch, n, r.perEpoch)
		}
	}
}
