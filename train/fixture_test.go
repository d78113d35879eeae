package train

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/data"
)

// tiny is a network that learns the drawn faces in moments.
func tiny() arch.Net {
	return arch.Net{Name: "tiny", Heads: model.Heads(), Body: []arch.Layer{
		{Op: arch.Conv, Name: "conv1", Out: 4, Kernel: 5, Stride: 5},
		{Op: arch.ELU, Name: "elu1"},
		{Op: arch.BatchNorm, Name: "bn1"},
		{Op: arch.MaxPool, Name: "pool1", Kernel: 2, Stride: 2},
		{Op: arch.Dropout, Name: "drop1", Rate: 0.1},
		{Op: arch.Flatten, Name: "flatten"},
		{Op: arch.Dense, Name: "dense", Out: 16},
		{Op: arch.ELU, Name: "elu2"},
		{Op: arch.BatchNorm, Name: "bn2"},
	}}
}

// emotionNames go in the order of the labels.
var emotionNames = model.Emotion.Labels

// drawFaces writes n faces of each of three emotions, which differ in where
// the picture is bright, as FER-2013 folders.
func drawFaces(t testing.TB, dir string, n int) {
	t.Helper()
	for e := range 3 {
		sub := filepath.Join(dir, emotionNames[e])
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			rng := rand.New(rand.NewPCG(uint64(e), uint64(i)))
			img := image.NewGray(image.Rect(0, 0, 48, 48))
			for k := range img.Pix {
				img.Pix[k] = uint8(rng.IntN(120))
				if k/img.Stride/16 == e {
					img.Pix[k] += 100
				}
			}
			f, err := os.Create(filepath.Join(sub, fmt.Sprintf("%03d.png", i)))
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, img); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func loadFaces(t testing.TB, dir string, r Recipe) []*data.Set {
	t.Helper()
	s, err := data.Load(context.Background(), "fer2013:"+dir, data.Options{Seed: r.Seed, Validation: r.Validation})
	if err != nil {
		t.Fatal(err)
	}
	return []*data.Set{s}
}

// testKeys use everything that has state: averaged weights, a schedule with
// memory, augmentation, mixup, dropout.
var testKeys = []string{
	"losses.age=0", "losses.race=0", "losses.gender=0", "validation=0.3", "batch=8", "epochs=3", "lr=0.01", "seed=5",
	"augment.flip=0.5", "augment.shift=2", "augment.erase=0.2", "mixup=0.2", "ema=0.9", "schedule.patience=1", "balance=0.5", "smoothing=0.1",
}

func testRecipe(t testing.TB, set ...string) Recipe {
	t.Helper()
	r, err := LoadRecipe("paper", append(slices.Clone(testKeys), set...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testOptions(t testing.TB, faces string, set ...string) Options {
	t.Helper()
	r := testRecipe(t, set...)
	return Options{Recipe: r, Sets: loadFaces(t, faces, r), Out: t.TempDir(), Threads: 2, Net: tiny()}
}
