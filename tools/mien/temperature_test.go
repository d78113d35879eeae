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
)

// The temperatures are found, reported, and travel in the written file; the
// model itself stays as it is.
func TestTemperature(t *testing.T) {
	fer, utk := drawSet(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.tflite"), filepath.Join(dir, "out.tflite")
	if err := os.WriteFile(in, infertest.Marshal(t, infertest.Network(7, model.Emotion, model.Age)), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []temperature
	said := mustMien(t, "temperature", in, "--data", "fer2013:"+fer, "--data", "utkface:"+utk, "--split", "train", "--out", out, "--json", "--engine", "portable")
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Head != "emotion" || got[1].Head != "age" {
		t.Fatalf("%+v", got)
	}
	for i, n := range []int{9, 1} { // published, and a tenth of the others
		if h := got[i].HeldOut; h == nil || h.N != n {
			t.Errorf("%s held out: %+v, want %d images", got[i].Head, h, n)
		}
	}
	for _, c := range got {
		if c.N == 0 || c.Temperature <= 0 || c.Temperature == 1 {
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
	refused(t, []string{"nosuch"}, "temperature", "nosuch.tflite", "--data", "fer2013:"+fer)
	refused(t, []string{"split"}, "temperature", in, "--data", "fer2013:"+fer, "--split", "private")
}
