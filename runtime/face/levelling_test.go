package face

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mien/camera/replay/portrait"
)

// TestLevellings: another way than boards' turns the same face otherwise, and a
// picture in which no face is found not at all.
func TestLevellings(t *testing.T) {
	img := portrait.Gray().SubImage(portrait.Face.Inset(-30)).(*image.Gray)
	crop := &image.Gray{Pix: img.Pix, Stride: img.Stride, Rect: image.Rect(0, 0, img.Rect.Dx(), img.Rect.Dy())}
	c, err := NewCropper()
	if err != nil {
		t.Fatal(err)
	}
	own := newFace()
	c.FromCrop(own, crop, Loose)
	c.Levelling = Unlevelled
	none := newFace()
	if !c.FromCrop(none, crop, Loose) || slices.Equal(none.Pix, own.Pix) {
		t.Error("a face is levelled though it should not be, or not found")
	}
	for _, l := range append(Levellings(), AsBoards) {
		if err := l.Check(); err != nil {
			t.Error(err)
		}
	}
	if Levelling("roll").Check() == nil {
		t.Error("a levelling that there is not was taken")
	}
}

// TestHaarTurn: as many pictures are left unturned and turned badly as were
// measured, and the same picture always by the same.
func TestHaarTurn(t *testing.T) {
	const n, tilt = 4000, 5.0
	f := Face{Eyes: true, Left: Point{0, 0}, Right: Point{100, 100 * math.Tan(tilt*math.Pi/180)}}
	rng := rand.New(rand.NewPCG(1, 2))
	img := image.NewGray(image.Rect(0, 0, 9, 9))
	blind, bad := 0, 0
	for range n {
		for i := range img.Pix {
			img.Pix[i] = uint8(rng.Uint32())
		}
		turn := HaarEyes.turn(&f, img)
		if turn != HaarEyes.turn(&f, img) {
			t.Fatal("another turn of the same picture")
		}
		if capped := HaarEyesCapped.turn(&f, img); math.Abs(capped) > MaxLevel || math.Abs(turn) <= MaxLevel && capped != turn {
			t.Fatalf("capped %g for %g", capped, turn)
		}
		switch {
		case turn == 0:
			blind++
		case math.Abs(turn-tilt) > 10:
			bad++
		}
	}
	if p := float64(blind) / n; math.Abs(p-haarBlind) > 0.02 {
		t.Errorf("%.3f are not turned, want %.3f", p, haarBlind)
	}
	if p, want := float64(bad)/n, 0.4*(1-haarBlind); math.Abs(p-want) > 0.03 {
		t.Errorf("%.3f are turned badly, want %.3f", p, want)
	}
}
