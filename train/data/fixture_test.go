package data

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drawn returns a picture of blobs that depends on seed: two seeds give
// pictures that are not alike.
func drawn(seed uint64, side int) *image.Gray {
	rng := rand.New(rand.NewPCG(seed, 7))
	img := image.NewGray(image.Rect(0, 0, side, side))
	const cells = 5
	var grey [cells][cells]uint8
	for y := range cells {
		for x := range cells {
			grey[y][x] = uint8(rng.IntN(256))
		}
	}
	for y := range side {
		for x := range side {
			img.Pix[y*img.Stride+x] = grey[y*cells/side][x*cells/side]
		}
	}
	return img
}

func jpegOf(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// putFace writes a drawn face.
func putFace(t testing.TB, seed uint64, side int, parts ...string) {
	t.Helper()
	put(t, filepath.Join(parts...), jpegOf(t, drawn(seed, side), 90))
}

func load(t testing.TB, spec string, o Options) *Set {
	t.Helper()
	s, err := Load(context.Background(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantError loads and wants an error with all the words.
func wantError(t *testing.T, spec string, words ...string) {
	t.Helper()
	_, err := Load(context.Background(), spec, Options{})
	if err == nil {
		t.Fatalf("%s was accepted, want an error with %q", spec, words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %q does not say %q", spec, err, w)
		}
	}
}
