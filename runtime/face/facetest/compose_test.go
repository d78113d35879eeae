package facetest

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mien/camera/replay/portrait"
	"mien/runtime/face"
)

func frame(seed uint64) (*image.Gray, *rand.Rand) {
	rng := rand.New(rand.NewPCG(seed, 0))
	img := image.NewGray(image.Rect(0, 0, 640, 480))
	Background(img, rng)
	return img, rng
}

// No background has a face, so what is found in composed frames is what was
// put there. It also is a test against false faces.
func TestBackgroundsHaveNoFaces(t *testing.T) {
	d, err := face.NewDetector(face.Options{Finder: face.Pigo, Angles: []float64{-25, 25}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for seed := range uint64(25) {
		img, _ := frame(seed)
		n += len(d.Detect(img, nil))
	}
	if n > 0 {
		t.Errorf("%d faces in 25 backgrounds", n)
	}
}

func TestSeeded(t *testing.T) {
	a, ra := frame(7)
	b, rb := frame(7)
	c, _ := frame(8)
	if !slices.Equal(a.Pix, b.Pix) || slices.Equal(a.Pix, c.Pix) {
		t.Error("a background is not its seed's")
	}
	if (Range{}).Random(ra, 640, 480) != (Range{}).Random(rb, 640, 480) {
		t.Error("a placing is not its seed's")
	}
}

// What has no face in it is its seed's, has something in it, and fills pictures
// of any size.
func TestEmpty(t *testing.T) {
	for seed := range uint64(20) {
		paint := func(w, h int) *image.Gray {
			img := image.NewGray(image.Rect(0, 0, w, h))
			Empty(img, rand.New(rand.NewPCG(seed, 0)))
			return img
		}
		a, b := paint(160, 120), paint(160, 120)
		if !slices.Equal(a.Pix, b.Pix) {
			t.Errorf("seed %d paints two pictures", seed)
		}
		if slices.Max(a.Pix)-slices.Min(a.Pix) < 10 {
			t.Errorf("seed %d paints one grey", seed)
		}
		paint(33, 57)
	}
}

func TestRandomStaysInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	tilted := 0
	for range 2000 {
		p := Range{}.Random(rng, 640, 480)
		sin, cos := math.Sincos(math.Abs(p.Tilt) * math.Pi / 180)
		half := p.Side / 2 * (sin + cos)
		if p.X < half-1 || p.Y < half-1 || p.X > 641-half || p.Y > 481-half || p.Side < 60 || p.Side > 300 || math.Abs(p.Tilt) > 25 {
			t.Fatalf("%+v", p)
		}
		if math.Abs(p.Tilt) > 10 {
			tilted++
		}
	}
	if tilted < 1000 {
		t.Errorf("%d of 2000 are tilted by more than 10 degrees", tilted)
	}
}

// A face is found where it was put, as large and tilted as it was put there.
func TestPlace(t *testing.T) {
	d, err := face.NewDetector(face.Options{Finder: face.Pigo, Angles: []float64{-20, 20}})
	if err != nil {
		t.Fatal(err)
	}
	// The square around the portrait's face that UTKFace would cut out.
	crop := portrait.Gray().SubImage(image.Rect(172, 70, 276, 174)).(*image.Gray)
	crop = &image.Gray{Pix: crop.Pix, Stride: crop.Stride, Rect: image.Rect(0, 0, 104, 104)}
	for seed := range uint64(12) {
		img, rng := frame(seed)
		p := Range{MinSide: 90}.Random(rng, 640, 480)
		Place(img, crop, p)
		faces := d.Detect(img, nil)
		if len(faces) != 1 {
			t.Errorf("%+v: %d faces", p, len(faces))
			continue
		}
		box := faces[0].Box
		x, y := float64(box.Min.X+box.Max.X)/2, float64(box.Min.Y+box.Max.Y)/2
		if math.Hypot(x-p.X, y-p.Y) > 0.2*p.Side || math.Abs(float64(box.Dx())/p.Side-1.08) > 0.25 {
			t.Errorf("%+v: found at %v", p, box)
		}
		if faces[0].Eyes && math.Abs(faces[0].Tilt()-p.Tilt-4) > 5 {
			t.Errorf("%+v: tilt %.1f", p, faces[0].Tilt())
		}
	}
}
