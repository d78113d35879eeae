package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/camera/replay/portrait"
	"mien/tools/internal/picture"
	"mien/train/composed"
)

// portraits writes a UTKFace folder of one face in slightly different crops.
func portraits(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		x, y, side := 170+rng.IntN(5), 68+rng.IntN(5), 100+rng.IntN(8)
		var b bytes.Buffer
		if err := jpeg.Encode(&b, portrait.Gray().SubImage(image.Rect(x, y, x+side, y+side)), nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("36_1_0_2017%d.jpg", i)), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCameraTest(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, out := portraits(t, 6), t.TempDir()
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "face.jpg"), portrait.JPEG(), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	args := []string{"camera-test", "--data", "utkface:" + dir, "--split", "all", "--frames", "12", "--min-side", "110", "--max-side", "250",
		"--max-tilt", "9", "--angles=-15,15", "--empty", empty, "--write", out, "--json"}
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r composed.Report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	all := r.Groups[len(r.Groups)-1]
	if all.Frames != 12 || r.Groups[0].Frames != 12 || all.Found < 10 || all.Eyes < 10 || all.Median > 2 {
		t.Errorf("%+v", all)
	}
	// All are of one woman of 36 years.
	if len(r.Kin) != 3 || r.Kin[0].By != "gender" || r.Kin[0].Label != "female" || r.Kin[2].Label != "20-39" {
		t.Errorf("found by label: %+v", r.Kin)
	}
	for _, k := range r.Kin {
		if k.Frames != 12 || k.Found != all.Found {
			t.Errorf("found by label: %+v, of all %d", k, all.Found)
		}
	}
	// A picture of a face counts as a false one where none should be.
	if r.Empty != 1 || r.FalseIn != 1 || r.Bare != 12 {
		t.Errorf("%d false faces in %d pictures, %d bare frames", r.FalseIn, r.Empty, r.Bare)
	}
	truth, err := os.ReadFile(filepath.Join(out, "truth.jsonl"))
	if err != nil || bytes.Count(truth, []byte("\n")) != 12 {
		t.Errorf("truth.jsonl: %v, %d lines", err, bytes.Count(truth, []byte("\n")))
	}
	if _, err := picture.ReadGray(filepath.Join(out, "00011.png")); err != nil {
		t.Error(err)
	}
}

func TestCameraTestRefusals(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := portraits(t, 1)
	for _, c := range []struct{ arg, want string }{
		{"--frames=0", "more than 0"}, {"--min-side=400 --max-side=300", "sides of 20"}, {"--max-side=900", "480 or less"},
		{"--angles=100", "angle 100"}, {"--model=/nonexistent.tflite", "nonexistent"}, {"--split=val", "val"},
		{"--empty=/nonexistent --frames=1", "nonexistent"},
	} {
		var out bytes.Buffer
		args := append([]string{"camera-test", "--data", "utkface:" + dir, "--split", "all"}, strings.Fields(c.arg)...)
		if err := run(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.arg, err, c.want)
		}
	}
}
