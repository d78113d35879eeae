package main

import (
	"bytes"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mien/runtime/face/facetest"
)

// The whole comparison with a peer that finds nothing: a shell script.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	err := run([]string{"-out", dir, "-frames", "16", "-rounds", "1", "-python", "/bin/sh", "-script", "testdata/blind.sh"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`^24 frames of 640x480, 16 with a face`, `mien +([89]|1[0-6]) +([89]|1[0-6]) +[01] +[0-9.]+\n`, `OpenCV +0 +0 +0 +4\.00\n`, `\nratio [0-9.]+ `} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.png")); len(names) != 24 {
		t.Errorf("%d frames written", len(names))
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-frames 1", "at least 2"}, {"-faces /nonexistent", "no .jpg"}, {"-script testdata/broken.sh -python /bin/sh -frames 2", "out of order"},
	} {
		args := append([]string{"-out", t.TempDir()}, strings.Fields(c.args)...)
		if err := run(args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestAdd(t *testing.T) {
	f := frame{at: facetest.Placing{X: 200, Y: 150, Side: 100}}
	var r result
	for _, a := range []answer{
		{Box: []int{150, 100, 100}, Eyes: true}, {Box: []int{140, 90, 120}}, // found
		{Box: []int{300, 100, 100}, Eyes: true}, {Box: []int{185, 135, 30}}, {Box: []int{100, 50, 200}}, // elsewhere, too small, too large
		{}, // nothing
	} {
		r.add(f, a)
	}
	if r.found != 2 || r.eyes != 1 || r.wrong != 3 || len(r.ms) != 6 {
		t.Errorf("%+v", r)
	}
	r = result{}
	r.add(frame{}, answer{Box: []int{0, 0, 80}})
	if r.wrong != 1 {
		t.Error("a face in a frame without one is not wrong")
	}
	if m := median([]float64{5, 1, 3}); math.Abs(m-3) > 0 {
		t.Errorf("median %g", m)
	}
}
