package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be mien, for commands that start mien again.
func TestMain(m *testing.M) {
	if os.Getenv("MIEN_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// Three trials, one of which diverges, each in a process of its own.
func TestSweep(t *testing.T) {
	fer, _ := drawSet(t)
	t.Setenv("MIEN_TEST_MAIN", "1")
	out := filepath.Join(t.TempDir(), "sweep")
	args := []string{"sweep", "--data", "fer2013:" + fer, "--recipe", "edge", "--out", out, "--try", "lr=1e-3,3e-4,1e12",
		"--set", "batch=8", "--set", "validation=0.3", "--trials", "3", "--epochs", "2", "--keep", "2"}
	var stdout, stderr bytes.Buffer
	if err := run(context.Background(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	for _, want := range []string{"lr=1e12 | 0 |  | mien: train: ", "is not finite", "lr=1e-3 | 2 |", "lr=3e-4 | 2 |"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table does not hold %q:\n%s", want, stdout.String())
		}
	}
	for _, name := range []string{"sweep.md", "sweep.png", "sweep.json", "trial-001/best.safetensors"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	// An outage is nobody's fault: the sweep pauses, and goes on with the data.
	away := fer + " away"
	paused := append(args[:len(args):len(args)], "--seed", "2")
	paused[slices.Index(args, out)] = out + "2"
	if err := os.Rename(fer, away); err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), paused, &stdout, &stderr); err == nil || !strings.Contains(err.Error(), "pauses") || !strings.Contains(err.Error(), fer) {
		t.Errorf("the data are away: %v", err)
	}
	if err := os.Rename(away, fer); err != nil {
		t.Fatal(err)
	}
	stdout.Reset()
	if err := run(context.Background(), paused, &stdout, &stderr); err != nil || strings.Count(stdout.String(), "is not finite") != 1 {
		t.Errorf("the data are back: %v\n%s", err, stdout.String())
	}
	// Again, it has nothing left to train.
	stderr.Reset()
	if err := run(context.Background(), args, &stdout, &stderr); err != nil || strings.Contains(stderr.String(), "round") {
		t.Errorf("a finished sweep trained again: %v: %s", err, stderr.String())
	}
}
