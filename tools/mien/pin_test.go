package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mien/camera/replay/portrait"
)

// A folder of two classes becomes a pin that rises: train, quantise, run the
// firmware on it.
func TestFolderToPin(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, out := t.TempDir(), t.TempDir()
	whole := portrait.Gray()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 48 {
		// The portrait's face, framed a little otherwise each time, against its negative.
		grow, dx, dy := 30+rng.IntN(12), rng.IntN(9)-4, rng.IntN(9)-4
		face := whole.SubImage(portrait.Face.Inset(-grow).Add(image.Pt(dx, dy))).(*image.Gray)
		label := "yes"
		if i%2 == 1 {
			label = "no"
			face = negative(face)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, face); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, label, fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, file := "folders:"+dir, filepath.Join(out, "smile.tflite")
	mustMien(t, "train", "--head", "smile=yes,no", "--recipe", "edge", "--data", data, "--out", filepath.Join(out, "run"),
		"--set", "batch=8", "--set", "validation=0.3", "--epochs", "6")
	mustMien(t, "quantize", "--checkpoint", filepath.Join(out, "run", "best.safetensors"), "--calibrate", data, "--faces", "24", "--measure", "0", "--out", file)

	miend := filepath.Join(out, "miend")
	if b, err := exec.Command("go", "build", "-o", miend, "mien/device/cmd/miend").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := exec.Command(miend, "demo", "--model", file, "--engine", "portable", "--out", filepath.Join(out, "demo")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if text := string(b); !strings.Contains(text, "▲ is_yes     GPIO23  1  answer") || strings.Contains(text, "▲ is_no ") {
		t.Errorf("the pin of the answer does not rise alone:\n%s", text)
	}
}

func negative(src *image.Gray) *image.Gray {
	out := image.NewGray(src.Rect)
	for y := src.Rect.Min.Y; y < src.Rect.Max.Y; y++ {
		for x := src.Rect.Min.X; x < src.Rect.Max.X; x++ {
			c := src.GrayAt(x, y)
			c.Y = 255 - c.Y
			out.SetGray(x, y, c)
		}
	}
	return out
}
