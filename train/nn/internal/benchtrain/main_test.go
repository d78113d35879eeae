package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// fake writes a stand-in for Python: a shell script that gets the arguments
// and does what body says.
func fake(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRatio(t *testing.T) {
	var out strings.Builder
	python := fake(t, `test "$1 $2 $3 $4" = "peer.py bench 1 0.01" && echo 0.50`)
	if err := run([]string{"-threads", "1", "-seconds", "0.01", "-turns", "1", "-batch", "2", "-python", python, "-script", "peer.py"}, &out); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`mien bfloat16 [0-9.]+ images/s.*\nmien float32 ([0-9.]+) images/s\nPyTorch float32 0.5 images/s\nratio ([0-9.]+)\n$`).FindStringSubmatch(out.String())
	if got == nil {
		t.Fatalf("printed %q", out.String())
	}
	own, _ := strconv.ParseFloat(got[1], 64)
	ratio, _ := strconv.ParseFloat(got[2], 64)
	if own <= 0 || ratio < 2*own-0.2 || ratio > 2*own+0.2 {
		t.Errorf("%g images/s over 0.5 gives ratio %g", own, ratio)
	}
}

// TestNoTorch: the error says what to install.
func TestNoTorch(t *testing.T) {
	for name, python := range map[string]string{"no python": "/no/such/python3", "no torch": fake(t, "exit 1"), "no number": fake(t, "echo fast")} {
		err := run([]string{"-turns", "1", "-batch", "1", "-seconds", "0.01", "-python", python}, &strings.Builder{})
		if err == nil || !strings.Contains(fmt.Sprint(err), python) {
			t.Errorf("%s: error %v", name, err)
		}
		if name != "no number" && !strings.Contains(fmt.Sprint(err), "apt-get install python3-torch") {
			t.Errorf("%s: error %v does not say what to install", name, err)
		}
	}
}
