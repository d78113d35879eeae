package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLabel: a set of emotions gets the genders and ages that a model says, and
// a network learns from the table.
func TestLabel(t *testing.T) {
	fer, utk := drawSet(t)
	out := t.TempDir()
	teacher := []string{"train", "--recipe", "edge", "--set", "batch=8", "--set", "validation=0.3", "--epochs", "1", "--data", "fer2013:" + fer, "--data", "utkface:" + utk, "--out", filepath.Join(out, "teacher")}
	mustMien(t, teacher...)
	best, table := filepath.Join(out, "teacher", "best.safetensors"), filepath.Join(fer, "labelled.csv")
	said := mustMien(t, "label", "--model", best, "--data", "fer2013:"+fer, "--head", "gender", "--head", "age", "--out", table)
	if !strings.Contains(said, "gender: ") || !strings.Contains(said, " 0 were there") || !strings.Contains(said, " 0 left empty") {
		t.Errorf("it says %s", said)
	}
	b, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "path,split,emotion,gender,gender_p,race,age,age_p\n") || strings.Contains(string(b), ",,0.") {
		t.Errorf("the table begins %.200s", b)
	}
	mustMien(t, "train", "--recipe", "edge", "--set", "batch=8", "--set", "validation=0.3", "--epochs", "1", "--data", "manifest:"+table, "--out", filepath.Join(out, "student"))
	refused(t, []string{"no head \"mood\""}, "label", "--model", best, "--data", "fer2013:"+fer, "--head", "mood", "--out", table)
	refused(t, []string{"does not lie in"}, "label", "--model", best, "--data", "fer2013:"+fer, "--out", filepath.Join(out, "x.csv"))
}
