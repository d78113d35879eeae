package face

import (
	"image"
	"math"
	"slices"
	"testing"

	"mien/camera/replay/portrait"
	"mien/runtime/model"
)

// scene lays the portrait into a w by h picture: its face's box is about size
// wide, its eyes' middle at x, y, and it is turned clockwise by tilt degrees.
func scene(w, h int, x, y, size, tilt float64) *image.Gray {
	src := portrait.Gray()
	k := size / float64(portrait.Face.Dx()) // pixels of the scene per pixel of the portrait
	ex, ey := float64(portrait.LeftEye.X+portrait.RightEye.X)/2, float64(portrait.LeftEye.Y+portrait.RightEye.Y)/2
	// The frame of the portrait that becomes the scene: its middle is as far
	// from the eyes as the scene's middle is from x, y, turned back.
	dy, dx := turnOf(-tilt).by((float64(h-1)/2-y)/k, (float64(w-1)/2-x)/k)
	img := image.NewGray(image.Rect(0, 0, w, h))
	sample(img, src, frame{ex + dx, ey + dy, float64(w) / k, -tilt})
	return img
}

var portraitTilt = math.Atan2(float64(portrait.RightEye.Y-portrait.LeftEye.Y), float64(portrait.RightEye.X-portrait.LeftEye.X)) * 180 / math.Pi

// newDetector returns a detector, with pigo's finder unless o names another.
func newDetector(t testing.TB, o Options) *Detector {
	t.Helper()
	if o.Finder == "" {
		o.Finder = Pigo
	}
	d, err := NewDetector(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newFace() *image.Gray { return image.NewGray(image.Rect(0, 0, model.Side, model.Side)) }

func TestDetect(t *testing.T) {
	d := newDetector(t, Options{})
	for _, c := range []struct{ x, y, size, tilt float64 }{
		{320, 240, 120, 0}, {200, 150, 80, 0}, {400, 260, 200, 0}, {320, 200, 300, 0}, {300, 200, 150, 12}, {300, 240, 150, -14}, {150, 300, 100, 8},
	} {
		faces := d.Detect(scene(640, 480, c.x, c.y, c.size, c.tilt), nil)
		if len(faces) != 1 {
			t.Errorf("%+v: %d faces, want one: %+v", c, len(faces), faces)
			continue
		}
		f := faces[0]
		if !f.Eyes {
			t.Errorf("%+v: no eyes", c)
			continue
		}
		if f.Left.X >= f.Right.X {
			t.Errorf("%+v: left eye %v is not left of %v", c, f.Left, f.Right)
		}
		if dx, dy := (f.Left.X+f.Right.X)/2-c.x, (f.Left.Y+f.Right.Y)/2-c.y; math.Hypot(dx, dy) > 0.04*c.size {
			t.Errorf("%+v: the eyes are off by %.1f, %.1f", c, dx, dy)
		}
		if got, want := f.Tilt(), c.tilt+portraitTilt; math.Abs(got-want) > 3 {
			t.Errorf("%+v: tilt %.1f, want %.1f", c, got, want)
		}
		if r := float64(f.Box.Dx()) / c.size; r < 0.85 || r > 1.15 || f.Box.Dx() != f.Box.Dy() {
			t.Errorf("%+v: box %v is %.2f of the face", c, f.Box, r)
		}
	}
}

func TestDetectOrder(t *testing.T) {
	img := scene(640, 480, 160, 200, 90, 0)
	other := scene(320, 480, 150, 240, 180, 0)
	for y := range 480 {
		copy(img.Pix[y*img.Stride+320:][:320], other.Pix[y*other.Stride:])
	}
	before := []Face{{Score: -1}}
	faces := newDetector(t, Options{}).Detect(img, before)
	if len(faces) != 3 || faces[0].Score != -1 {
		t.Fatalf("%d faces, want one kept and two found", len(faces))
	}
	if faces[1].Box.Dx() <= faces[2].Box.Dx() || faces[1].Box.Min.X < 320 {
		t.Errorf("not the largest first: %v, %v", faces[1].Box, faces[2].Box)
	}
	if one := newDetector(t, Options{MaxFaces: 1}).Detect(img, nil); len(one) != 1 || one[0].Box != faces[1].Box {
		t.Errorf("at most one face: %v", one)
	}
}

// The same pixels give the same faces, wherever in memory they are.
func TestDetectSubImage(t *testing.T) {
	img := scene(480, 360, 240, 150, 130, 5)
	want := newDetector(t, Options{}).Detect(img, nil)
	if len(want) != 1 {
		t.Fatalf("%d faces", len(want))
	}
	d := newDetector(t, Options{})
	big := image.NewGray(image.Rect(-7, 11, 700, 500))
	off := image.Pt(30, 40)
	sub := big.SubImage(img.Rect.Add(off)).(*image.Gray)
	for y := range 360 {
		copy(sub.Pix[y*sub.Stride:][:480], img.Pix[y*img.Stride:])
	}
	for range 2 {
		got := d.Detect(sub, nil)
		if len(got) != 1 || got[0].Box != want[0].Box.Add(off) || got[0].Score != want[0].Score ||
			math.Abs(got[0].Left.X-want[0].Left.X-30) > 1e-9 || math.Abs(got[0].Right.Y-want[0].Right.Y-40) > 1e-9 {
			t.Fatalf("in a larger picture: %+v, want %+v moved by %v", got, want, off)
		}
		a, b := newFace(), newFace()
		Align(a, img, want[0])
		Align(b, sub, got[0])
		if !slices.Equal(a.Pix, b.Pix) {
			t.Error("the aligned faces differ")
		}
	}
}

func TestDetectAngles(t *testing.T) {
	upright, tilted := newDetector(t, Options{}), newDetector(t, Options{Angles: []float64{-30, 30}})
	for _, tilt := range []float64{-38, -30, 30, 38} {
		img := scene(640, 480, 320, 220, 140, tilt)
		if faces := upright.Detect(img, nil); len(faces) != 0 && tilt > 35 {
			t.Errorf("tilt %g: found without looking for it", tilt)
		}
		faces := tilted.Detect(img, nil)
		if len(faces) != 1 || !faces[0].Eyes {
			t.Errorf("tilt %g: %+v", tilt, faces)
			continue
		}
		if got := faces[0].Tilt(); math.Abs(got-tilt-portraitTilt) > 4 {
			t.Errorf("tilt %g: measured %.1f", tilt, got-portraitTilt)
		}
		if math.Abs(faces[0].Angle-tilt) > 10 {
			t.Errorf("tilt %g: the detector sees it at %.1f", tilt, faces[0].Angle)
		}
	}
}

func TestDetectOddPictures(t *testing.T) {
	d := newDetector(t, Options{Angles: []float64{20}})
	for _, r := range []image.Rectangle{{}, image.Rect(0, 0, 1, 1), image.Rect(0, 0, 59, 400), image.Rect(0, 0, 640, 60), image.Rect(0, 0, 61, 61), image.Rect(3, 4, 3, 90)} {
		if faces := d.Detect(image.NewGray(r), nil); len(faces) != 0 {
			t.Errorf("%v: %d faces in a black picture", r, len(faces))
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{MinSize: 10}, {MinSize: 100, MaxSize: 90}, {Grow: 1}, {Grow: math.NaN()}, {Step: 2}, {Step: -1}, {MaxFaces: -1}, {Angles: []float64{120}}, {Angles: []float64{math.NaN()}}} {
		if _, err := NewDetector(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestDetectAllocatesNothing(t *testing.T) {
	d := newDetector(t, Options{Angles: []float64{20}})
	img := scene(320, 240, 160, 100, 90, 0)
	dst := newFace()
	faces := d.Detect(img, nil)
	if len(faces) == 0 {
		t.Fatal("no face")
	}
	if n := testing.AllocsPerRun(10, func() {
		faces = d.Detect(img, faces[:0])
		Align(dst, img, faces[0])
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkDetect(b *testing.B) {
	d := newDetector(b, Options{})
	img := scene(640, 480, 320, 200, 150, 5)
	faces := d.Detect(img, nil)
	for b.Loop() {
		faces = d.Detect(img, faces[:0])
	}
	if len(faces) != 1 {
		b.Errorf("%d faces", len(faces))
	}
}

func BenchmarkAlign(b *testing.B) {
	img := scene(640, 480, 320, 200, 150, 5)
	faces := newDetector(b, Options{}).Detect(img, nil)
	dst := newFace()
	for b.Loop() {
		Align(dst, img, faces[0])
	}
}
