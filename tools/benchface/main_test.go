package main

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mien/camera/replay/portrait"
	"mien/runtime/face"
	"mien/runtime/face/facetest"
)

// The whole comparison with a peer that finds nothing: a shell script.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	args := []string{"-out", dir, "-frames", "6", "-scenes", "1", "-python", "/bin/sh", "-script", "testdata/blind.sh", "-network", "none",
		"-wild", photographs(t), "-landmarks", markedFaces(t)}
	if err := run(context.Background(), args, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`^composed frames of 640x480, crops of 80 to 300 pixels, tilts to 25 degrees: 9 pictures, 6 faces\n`,
		`mien, network +[56] +(0\.833|1\.000) +(0\.833|1\.000) +\d\.\d{3} +\d+\.\d\d +0 +[0-9.]+\n`,
		`OpenCV +0 +0\.000 +0\.000 +- +- +0 +4\.00\n`,
		`\nphotographs, the face in the middle: 1 pictures, 1 faces\n.*\n +mien, network +1 +1\.000 `,
		`\nfaces with marked eyes, enlarged to 320x320: 1 pictures, 1 faces\n.*\n +mien, network +1 +1\.000 +1\.000 +1\.000 +[0-4]\.`,
		`\nratio [0-9.]+ \(OpenCV's`, `\nno face in sight: 1 scenes .*\n.*\n *mien, network +0 +0\n`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.png")); len(names) != 3*9+1 {
		t.Errorf("%d pictures written", len(names))
	}
}

// photographs is a folder with one, the portrait cut so that the face is in its
// middle, and a row of one that is not there.
func photographs(t *testing.T) string {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "a.png"), portrait.Gray().SubImage(image.Rect(62, 0, 382, 240)))
	write(t, filepath.Join(dir, "ground_truth.json"), `[{"filename": "a.png"}, {"filename": "away.png"}]`)
	return dir
}

// markedFaces is a folder with the portrait's face.
func markedFaces(t *testing.T) string {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "a.png"), portrait.Gray().SubImage(image.Rect(145, 45, 305, 205)))
	write(t, filepath.Join(dir, "landmarks.csv"), "file,left_eye_x,left_eye_y,right_eye_x,right_eye_y\na.png,58,56,101,59\n")
	return dir
}

func save(t *testing.T, path string, img image.Image) {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.String())
}

func write(t *testing.T, path, s string) {
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	empty := t.TempDir()
	write(t, filepath.Join(empty, "ground_truth.json"), `[]`)
	write(t, filepath.Join(empty, "landmarks.csv"), "file\na.png\n")
	for _, c := range []struct{ args, want string }{
		{"-frames 1", "at least 2"}, {"-faces /nonexistent", "no .jpg"}, {"-script testdata/broken.sh -python /bin/sh", "out of order"},
		{"-python none -wild " + empty, "none of its pictures"}, {"-python none -landmarks " + empty, "no column left_eye_x"},
		{"-network /nonexistent", "/nonexistent"}, {"-steady nobody", `no finder "nobody"`},
	} {
		args := append([]string{"-out", t.TempDir(), "-network", "none", "-frames", "2", "-scenes", "0"}, strings.Fields(c.args)...)
		if err := run(context.Background(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestAdd(t *testing.T) {
	p := truth{is: laid(facetest.Placing{X: 200, Y: 150, Side: 100}), levelled: true, tilt: 3}
	var r result
	r.add(&p, []seen{{x: 200, y: 150, side: 100, eyes: true, tilt: 7}, {x: 350, y: 150, side: 100}}, 1) // there, and elsewhere
	r.add(&p, []seen{{x: 200, y: 150, side: 120, eyes: true, tilt: 9}}, 2)                              // not level
	r.add(&p, []seen{{x: 200, y: 150, side: 30}, {x: 200, y: 150, side: 200}}, 3)                       // too small, too large
	r.add(&p, nil, 4)
	r.add(&truth{}, []seen{{x: 40, y: 40, side: 80}}, 5) // where nobody is
	if r.faces != 4 || r.found != 2 || r.eyes != 2 || r.level != 1 || r.wrong != 4 || len(r.ms) != 5 || median(r.off) != 6 {
		t.Errorf("%+v", r)
	}
	if m := median([]float64{5, 1, 3}); math.Abs(m-3) > 0 {
		t.Errorf("median %g", m)
	}
}

// What the guest runs finds its face, with both finders.
func TestSteady(t *testing.T) {
	for _, finder := range []face.Finder{face.Network, face.Pigo} {
		if err := runSteady(string(finder), "", 12); err != nil {
			t.Errorf("%s: %v", finder, err)
		}
	}
}

// A photograph without its face keeps its surroundings, upside down.
func TestFaceless(t *testing.T) {
	img, dst := image.NewGray(image.Rect(0, 0, 64, 48)), image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range img.Pix {
		img.Pix[i] = 100
	}
	img.SetGray(1, 1, color.Gray{Y: 200})
	img.SetGray(32, 24, color.Gray{Y: 0})
	faceless(dst, img)
	if a, b := dst.GrayAt(625, 465).Y, dst.GrayAt(315, 235).Y; a != 200 || b < 95 {
		t.Errorf("the corner is %d, the middle %d", a, b)
	}
}
