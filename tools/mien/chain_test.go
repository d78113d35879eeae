package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/train"
	"mien/train/report"
)

// chainFile is a teacher and a student of the drawn sets.
func chainFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chain.yaml")
	const text = `steps:
  - name: teacher
    recipe: edge
    set: [epochs=2, batch=8, validation=0.3]
    data: [fer2013, utkface]
  - name: student
    recipe: edge-distill
    set: [epochs=2, batch=8, validation=0.3, views=1]
    data: [fer2013, utkface]
    from: teacher
    teachers: [teacher]
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestChain: a chain that was cut within a step, and one whose answers are gone,
// go on to the bytes of one that never was cut; what is done is not done again.
func TestChain(t *testing.T) {
	fer, utk := drawSet(t)
	file, whole, cut := chainFile(t), t.TempDir(), t.TempDir()
	args := func(out string) []string {
		return []string{"train", "--chain", file, "--data", "fer2013:" + fer, "--data", "utkface:" + utk, "--out", out, "--threads", "1"}
	}
	said := mustMien(t, args(whole)...)
	for _, want := range []string{"step 1 of 2, teacher, time left not known", "step 2 of 2, student, about", "left of the chain", "all 2 steps are done"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	best := func(out, step string) []byte {
		b, err := os.ReadFile(filepath.Join(out, step, train.BestFile))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// As a kill leaves it: the first of two epochs is done, and no report written.
	mustMien(t, "train", "--recipe", "edge", "--set", "epochs=2", "--set", "batch=8", "--set", "validation=0.3", "--stop-after", "1",
		"--data", "fer2013:"+fer, "--data", "utkface:"+utk, "--out", filepath.Join(cut, "teacher"), "--threads", "1")
	remove(t, filepath.Join(cut, "teacher", report.ReportFile))
	mustMien(t, args(cut)...)
	remove(t, filepath.Join(cut, "student", report.ReportFile))
	if err := os.RemoveAll(filepath.Join(cut, "answers")); err != nil {
		t.Fatal(err)
	}
	said = mustMien(t, args(cut)...)
	if strings.Contains(said, "step 1 of 2") || !strings.Contains(said, "step 2 of 2") {
		t.Errorf("it did other steps than what was left:\n%s", said)
	}
	for _, step := range []string{"teacher", "student"} {
		if !bytes.Equal(best(whole, step), best(cut, step)) {
			t.Errorf("%s differs from that of the chain that was not cut", step)
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// TestChainArguments: what the file says is not said again, and its sets are all
// there.
func TestChainArguments(t *testing.T) {
	file := chainFile(t)
	for want, more := range map[string][]string{
		"the file's":        {"--data", "fer2013:x", "--data", "utkface:y", "--set", "lr=1"},
		"needs --data utkf": {"--data", "fer2013:x"},
		"one set of a kind": {"--data", "fer2013:x", "--data", "fer2013:y", "--data", "utkface:y"},
		"alone":             {"--data", "fer2013:x", "--data", "utkface:y", "--data", "rafdb:z"},
	} {
		if _, err := callMien(t, append([]string{"train", "--chain", file, "--out", t.TempDir()}, more...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
