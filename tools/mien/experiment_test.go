package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mien/train"
	"mien/train/experiment"
	"mien/train/report"
)

// RESULTS.md has the command of each experiment, with the data sets that it needs
// and no other.
func TestExperimentCommands(t *testing.T) {
	results, err := os.ReadFile("../../train/RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../train/experiments/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("experiments: %q, %v", files, err)
	}
	for _, file := range files {
		x, err := experiment.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := x.Chain(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		_, command, found := strings.Cut(string(results), "    mien experiment train/experiments/"+filepath.Base(file)+" ")
		if !found {
			t.Errorf("RESULTS.md has no command of %s", file)
			continue
		}
		command, _, _ = strings.Cut(command, "\n")
		var specs []string
		for _, spec := range strings.Split(command, "--data ")[1:] {
			specs = append(specs, strings.Fields(spec)[0])
		}
		if _, err := byKind(file, specs, chain.Kinds()); err != nil {
			t.Errorf("the command in RESULTS.md: %v", err)
		}
	}
}

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
  - {name: after, recipe: edge, set: [epochs=1, batch=8, validation=0.3, losses.race=0], data: [fer2013, utkface], from: single}
compare:
  - {run: after, against: single, head: emotion, data: fer2013}
paper: {after: "0.6791"}
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
	if n := strings.Count(string(table), "0.6791"); n != 2 || strings.Contains(string(table), "race") {
		t.Errorf("the paper's figure stands %d times, want at emotion of two seeds, and no head that was not taught:\n%s", n, table)
	}
	single, err := os.ReadFile(filepath.Join(out, "single-1", report.ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(single), "## Table 3")
	loss := regexp.MustCompile(`\| emotion \| fer2013 \| test \| \d+ (\| \d\.\d{4} \|)`).FindStringSubmatch(own)
	if loss == nil || !regexp.MustCompile(`\| single \| 1 \| .*\] `+regexp.QuoteMeta(loss[1])).Match(table) {
		t.Errorf("the run's own report has the loss %q, this one\n%s", loss, table)
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
	elsewhere := filepath.Join(dir, "elsewhere")
	for _, run := range []string{"single-1", "after-1", "single-2", "after-2"} {
		for _, name := range []string{train.LogFile, experiment.AnswersFile, report.ReportFile} {
			b, err := os.ReadFile(filepath.Join(out, run, name))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(elsewhere, run, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	args[len(args)-3] = elsewhere
	carried := mustMien(t, args...)
	if strings.Contains(carried, "step ") || !strings.Contains(carried, strings.SplitAfter(rows, "report:")[0]) {
		t.Errorf("with the small files of its runs alone it says\n%s", carried)
	}
	refused(t, []string{"needs --data utkface:DIR"}, "experiment", file, "--data", "fer2013:"+fer, "--out", out)
}
