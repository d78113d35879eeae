package composed

import (
	"bytes"
	"context"
	"errors"
	"image"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/face"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/runtime/portable"
	"mien/train/data"
)

// drawn is a grey square: no face, so nothing is found.
func drawn(string) (*image.Gray, error) {
	img := image.NewGray(image.Rect(0, 0, 48, 48))
	for i := range img.Pix {
		img.Pix[i] = 128
	}
	return img, nil
}

func samples() []data.Sample {
	return []data.Sample{{Path: "a", Labels: []int8{1}}, {Path: "b", Labels: []int8{0}}}
}

func TestRun(t *testing.T) {
	mod, err := portable.Open(infertest.Marshal(t, infertest.Network(1, model.Gender)), portable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close()
	done := 0
	r, err := Run(t.Context(), []model.Head{model.Gender}, samples(), Options{Frames: 5, MinSide: 60, MaxSide: 200, Seed: 3, Model: mod, Read: drawn,
		Progress: func(n int) { done = n }})
	if err != nil {
		t.Fatal(err)
	}
	all := r.Groups[len(r.Groups)-1]
	if done != 5 || all.Frames != 5 || all.Found != 0 || len(all.Accuracy) != 0 || r.Bare != 5 {
		t.Errorf("%d done, %+v, %d bare", done, all, r.Bare)
	}
	var b bytes.Buffer
	if err := r.Print(&b); err != nil || !strings.Contains(b.String(), "below 100 px") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// What the way through the camera costs is counted on the same faces.
func TestAccuracies(t *testing.T) {
	heads := []model.Head{model.Gender, model.Age}
	in := []*frame{
		{labels: []int8{0, 1}, crop: []int{0, 1}, camera: []int{0, 0}},
		{labels: []int8{1, 2}, crop: []int{1, 2}, camera: []int{0, 2}},
		{labels: []int8{1, data.NoLabel}, crop: []int{0, 0}, camera: []int{1, 0}},
		{labels: []int8{0, 3}, crop: []int{0, -1}, camera: []int{1, -1}}, // the model has no age
	}
	got := accuracies(heads, in)
	for _, h := range got {
		h.Low, h.High = 0, 0
	}
	want := map[string]*Head{"gender": {N: 4, Crop: 0.75, Camera: 0.5, Lost: 25}, "age": {N: 2, Crop: 1, Camera: 0.5, Lost: 50}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A frame's place decides which face found is the one that was laid in.
func TestMatch(t *testing.T) {
	x := &frame{}
	x.At.X, x.At.Y, x.At.Side = 100, 100, 100
	tt := &test{faces: []face.Face{{Box: image.Rect(400, 0, 500, 100)}, {Box: image.Rect(50, 50, 150, 150)}, {Box: image.Rect(55, 55, 155, 155)}}}
	if f, ok := tt.match(x); !ok || f.Box.Min.X != 50 || x.False != 2 {
		t.Errorf("%v, %v, %d false", f.Box, ok, x.False)
	}
}

func TestRefusals(t *testing.T) {
	good := Options{Frames: 1, MinSide: 60, MaxSide: 200, Read: drawn}
	for want, change := range map[string]func(*Options){
		"at least one": func(o *Options) { o.Frames = 0 },
		"sides of 20":  func(o *Options) { o.MaxSide = 900 },
		"angle 100":    func(o *Options) { o.Angles = []float64{100} },
	} {
		o := good
		change(&o)
		if _, err := Run(t.Context(), nil, samples(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := Run(t.Context(), nil, nil, good); err == nil {
		t.Error("no samples are taken")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(gone, nil, samples(), good); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}
