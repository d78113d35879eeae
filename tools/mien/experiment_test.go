package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/train/experiment"
	"mien/train/report"
)

// TestExperiment: two runs with two seeds are trained, measured and compared;
// the same command again trains nothing, measures what is not measured, and says
// the same.
func TestExperiment(t *testing.T) {
	fer, utk := drawSet(t)
	dir := t.TempDir()
	file, out := filepath.Join(dir, "two.yaml"), filepath.Join(dir, "out")
	const text = `about: Does what came before help?
seeds: [1, 2]
runs:
  - {name: single, recipe: edge, set: [epochs=1, batch=8, validation=0.3, monitor=emotion, losses.age=0, losses.gender=0, losses.race=0], data: [fer2013]}
  - {name: after, recipe: edge, set: [epochs=1, batch=8, validation=0.3], data: [fer2013, utkface], from: single}
compare:
  - {run: after, against: single, head: emotion, data: fer2013}
paper: {single: "0.6791"}
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"experiment", file, "--data", "fer2013:" + fer, "--data", "utkface:" + utk, "--out", out, "--threads", "1"}
	first := mustMien(t, args...)
	if !strings.Contains(first, "step 4 of 4, after-2") || !strings.Contains(first, "| after | single | emotion | fer2013 |") {
		t.Errorf("it says\n%s", first)
	}
	table, err := os.ReadFile(filepath.Join(out, report.ExperimentTable))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# two", "| single | 2 | 1 | 1 | fer2013 | emotion |", "| after | 1 | 1 | 1 | utkface | gender |", "0.6791"} {
		if !strings.Contains(string(table), want) {
			t.Errorf("the report has no %q:\n%s", want, table)
		}
	}
	if _, err := os.Stat(filepath.Join(out, report.ExperimentPlot)); err != nil {
		t.Error(err)
	}
	remove(t, filepath.Join(out, "single-1", experiment.AnswersFile))
	again := mustMien(t, args...)
	_, rows, _ := strings.Cut(first, "| run |")
	if strings.Contains(again, "step ") || !strings.Contains(again, rows) {
		t.Errorf("again it says\n%s", again)
	}
	refused(t, []string{"needs --data utkface:DIR"}, "experiment", file, "--data", "fer2013:"+fer, "--out", out)
}
