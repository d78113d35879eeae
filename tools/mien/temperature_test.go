package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/train/review"
)

// The temperatures are found, reported, and travel in the written file; the
// model itself stays as it is.
func TestTemperature(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.tflite"), filepath.Join(dir, "out.tflite")
	b := infertest.Marshal(t, infertest.Network(7, model.Emotion, model.Age))
	if err := os.WriteFile(in, b, 0o644); err != nil {
		t.Fatal(err)
	}
	mod, err := openEngine("portable", b, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close()
	fer, utk := answeredSets(t, review.AskModel(mod))
	var got []temperature
	said := mustMien(t, "temperature", in, "--data", "fer2013:"+fer, "--data", "utkface:"+utk, "--split", "train", "--out", out, "--json", "--engine", "portable")
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Head != "emotion" || got[1].Head != "age" {
		t.Fatalf("%+v", got)
	}
	if h := got[0].HeldOut; h == nil || h.N != 24 { // as published
		t.Errorf("emotion held out: %+v", h)
	}
	if h := got[1].HeldOut; h == nil || h.N < 12 || h.N > 36 { // a tenth
		t.Errorf("age held out: %+v", h)
	}
	for _, c := range got { // 1 by how the labels were drawn
		if c.N < 150 || c.Temperature < 0.7 || c.Temperature > 1.4 || c.Temperature == 1 {
			t.Errorf("%+v", c)
		}
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	g, err := flatfile.Unmarshal(file)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := flatfile.SpecOf(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Card.Temperature) != 2 || spec.Card.Temperature[0] != got[0].Temperature || spec.Card.Temperature[1] != got[1].Temperature {
		t.Errorf("the card says %v, found %+v", spec.Card.Temperature, got)
	}
	// Raw answers are the same, so finding the temperatures again gives the same.
	if again := mustMien(t, "temperature", out, "--data", "fer2013:"+fer, "--data", "utkface:"+utk, "--split", "train", "--json", "--engine", "portable"); again != said {
		t.Errorf("again:\n%s\nfirst:\n%s", again, said)
	}
	// A head without labels keeps what the card says.
	var kept []temperature
	if err := json.Unmarshal([]byte(mustMien(t, "temperature", out, "--data", "fer2013:"+fer, "--split", "train", "--json", "--engine", "portable")), &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 2 || kept[1].N != 0 || kept[1].Temperature != got[1].Temperature {
		t.Errorf("age had %v and no label, and became %+v", got[1].Temperature, kept)
	}
	if text := mustMien(t, "temperature", in, "--data", "fer2013:"+fer, "--split", "train", "--engine", "portable"); !strings.Contains(text, "emotion") || !strings.Contains(text, "age") {
		t.Errorf("printed %q", text)
	}
	// Labels that have nothing to do with the answers, and one face, tell none.
	random, _ := drawSet(t)
	refused(t, []string{"head emotion", "nothing to do with"}, "temperature", in, "--data", "fer2013:"+random, "--split", "all", "--out", filepath.Join(dir, "none.tflite"), "--engine", "portable")
	refused(t, []string{"head emotion", "20 or more"}, "temperature", in, "--data", "fer2013:"+random, "--split", "test", "--engine", "portable")
	if _, err := os.Stat(filepath.Join(dir, "none.tflite")); err == nil {
		t.Error("a temperature that there is not was written")
	}
	refused(t, []string{"nosuch"}, "temperature", "nosuch.tflite", "--data", "fer2013:"+fer)
	refused(t, []string{"split"}, "temperature", in, "--data", "fer2013:"+fer, "--split", "private")
}
