package face

import (
	"image"
	"math"
	"slices"
	"testing"

	"mien/camera/replay/portrait"
)

// pattern is a smooth picture, so that sampling can be checked by formula.
func pattern(x, y float64) float64 { return 128 + 60*math.Sin(x/9) + 50*math.Cos(y/7+x/23) }

func patterned(r image.Rectangle) *image.Gray {
	img := image.NewGray(r)
	for y := range r.Dy() {
		for x := range r.Dx() {
			img.Pix[y*img.Stride+x] = uint8(pattern(float64(x), float64(y)) + 0.5)
		}
	}
	return img
}

func TestSampleIsTheMeanOfWhatItCovers(t *testing.T) {
	img := patterned(image.Rect(0, 0, 400, 300))
	for _, f := range []frame{{200, 150, 50, 0}, {180.3, 140.7, 120, 0}, {200, 150, 137, 9}, {210, 150, 33, -10}, {200, 150, 240, 4}} {
		dst := newFace()
		sample(dst, img, f)
		sin, cos := math.Sincos(f.turn * math.Pi / 180)
		k := f.side / 50
		var worst float64
		for y := range 50 {
			for x := range 50 {
				const n = 12
				var sum float64
				for i := range n {
					for j := range n {
						u := (float64(x) + (float64(i)+0.5)/n - 25) * k
						v := (float64(y) + (float64(j)+0.5)/n - 25) * k
						sum += pattern(f.x+cos*u-sin*v, f.y+sin*u+cos*v)
					}
				}
				worst = max(worst, math.Abs(sum/(n*n)-float64(dst.Pix[y*50+x])))
			}
		}
		if worst > 2.5 {
			t.Errorf("%+v: off by %.1f grey levels", f, worst)
		}
	}
}

func TestSampleIdentity(t *testing.T) {
	img := patterned(image.Rect(0, 0, 50, 50))
	dst := newFace()
	sample(dst, img, frame{24.5, 24.5, 50, 0})
	if !slices.Equal(dst.Pix, img.Pix) {
		t.Error("a picture sampled onto itself has changed")
	}
}

func TestSampleContinuesTheBorder(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 20, 20))
	for i := range img.Pix {
		img.Pix[i] = uint8(10 + 10*(i%20))
	}
	dst := newFace()
	sample(dst, img, frame{9.5, 9.5, 1000, 0})
	for y := range 50 {
		if l, r := dst.Pix[y*50], dst.Pix[y*50+49]; l != 10 || r != 200 {
			t.Fatalf("row %d: %d on the left, %d on the right, want 10 and 200", y, l, r)
		}
	}
	for _, f := range []frame{{-1e6, 5, 10, 3}, {5, 1e6, 10, 0}} {
		sample(dst, img, f)
	}
}

func TestAlignLevels(t *testing.T) {
	d, second := newDetector(t, Options{}), newDetector(t, Options{MinSize: 100})
	for _, c := range []struct{ tilt, want float64 }{{0, 0}, {6, 0}, {-7, 0}, {14, 14 + portraitTilt - MaxLevel}, {-18, -18 + portraitTilt + MaxLevel}} {
		img := scene(640, 480, 320, 220, 180, c.tilt)
		faces := d.Detect(img, nil)
		if len(faces) != 1 || !faces[0].Eyes {
			t.Errorf("tilt %g: %+v", c.tilt, faces)
			continue
		}
		// Align into a larger picture, with room around, and measure it again.
		f := frameOf(faces[0], image.Point{})
		f.side *= 2
		out := image.NewGray(image.Rect(0, 0, 300, 300))
		sample(out, img, f)
		again := second.Detect(out, nil)
		if len(again) != 1 || !again[0].Eyes {
			t.Errorf("tilt %g: levelled it is %+v", c.tilt, again)
			continue
		}
		if got := again[0].Tilt(); math.Abs(got-c.want) > 2.5 {
			t.Errorf("tilt %g: levelled to %.1f, want %.1f", c.tilt, got, c.want)
		}
	}
}

func TestAlignWithoutEyesDoesNotTurn(t *testing.T) {
	if f := frameOf(Face{Box: image.Rect(10, 10, 110, 110), Left: Point{20, 20}, Right: Point{90, 90}}, image.Point{}); f.turn != 0 {
		t.Errorf("turned by %g", f.turn)
	}
}

// A camera's face, and the same face as a crop of either data set, come out
// alike.
func TestOneGeometry(t *testing.T) {
	c, err := NewCropper()
	if err != nil {
		t.Fatal(err)
	}
	img := scene(640, 480, 320, 220, 200, 4)
	faces := newDetector(t, Options{}).Detect(img, nil)
	if len(faces) != 1 {
		t.Fatalf("%d faces", len(faces))
	}
	camera := newFace()
	Align(camera, img, faces[0])
	box := faces[0].Box
	size := float64(box.Dx())
	mid := Point{float64(box.Min.X) + size/2, float64(box.Min.Y) + size/2}
	for _, s := range []struct {
		name        string
		kind        Crop
		side        int
		box, cx, cy float64 // of a box, as shares of the crop
	}{{"FER-2013", Fer, 48, ferBox, ferX, ferY}, {"UTKFace", Loose, 100, utkBox, utkX, utkY}} {
		crop := image.NewGray(image.Rect(0, 0, s.side, s.side))
		of := size / s.box
		sample(crop, img, frame{mid.X + (0.5-s.cx)*of, mid.Y + (0.5-s.cy)*of, of, 0})
		got := newFace()
		if !c.FromCrop(got, crop, s.kind) {
			t.Errorf("%s: no face found", s.name)
		}
		if r := correlation(camera, got, 6); r < 0.8 {
			t.Errorf("%s: correlates with the camera's face by %.3f only", s.name, r)
		}
		// A fifth wider is another geometry.
		f := frameOf(faces[0], image.Point{})
		f.side *= 1.2
		sample(got, img, f)
		if r := correlation(camera, got, 6); r > 0.75 {
			t.Errorf("%s: a wider frame correlates by %.3f: this test sees nothing", s.name, r)
		}
	}
}

// correlation of two pictures, without so many rows at the top.
func correlation(a, b *image.Gray, skip int) float64 {
	var n, sa, sb, saa, sbb, sab float64
	for i := skip * a.Stride; i < len(a.Pix); i++ {
		x, y := float64(a.Pix[i]), float64(b.Pix[i])
		n, sa, sb, saa, sbb, sab = n+1, sa+x, sb+y, saa+x*x, sbb+y*y, sab+x*y
	}
	return (sab - sa*sb/n) / math.Sqrt((saa-sa*sa/n)*(sbb-sb*sb/n))
}

// A picture without a face gives the middle of what its framing says.
func TestFromCropWithoutFace(t *testing.T) {
	c, err := NewCropper()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []Crop{Fer, Loose} {
		img := patterned(image.Rect(5, 5, 85, 85))
		a, b := newFace(), newFace()
		if c.FromCrop(a, img, kind) {
			t.Errorf("kind %d: a face in a pattern", kind)
		}
		c.FromCrop(b, img, kind)
		if !slices.Equal(a.Pix, b.Pix) {
			t.Errorf("kind %d: not the same twice", kind)
		}
	}
	got, want := newFace(), newFace()
	img := patterned(image.Rect(0, 0, 48, 48))
	c.FromCrop(got, img, Fer)
	sample(want, img, frame{23.5, 24.5, 44, 0})
	if !slices.Equal(got.Pix, want.Pix) {
		t.Error("a FER-2013 picture without a face is not its middle 44 rows")
	}
	c.FromCrop(got, image.NewGray(image.Rect(0, 0, 1, 1)), Loose)
	c.FromCrop(got, image.NewGray(image.Rect(0, 0, 300, 2)), Fer)
}

func TestFromCropAllocatesNothing(t *testing.T) {
	c, err := NewCropper()
	if err != nil {
		t.Fatal(err)
	}
	crop := portrait.Gray().SubImage(image.Rect(160, 40, 290, 170)).(*image.Gray)
	dst := newFace()
	if !c.FromCrop(dst, crop, Loose) {
		t.Fatal("no face")
	}
	if n := testing.AllocsPerRun(5, func() { c.FromCrop(dst, crop, Loose) }); n != 0 {
		t.Errorf("%v allocations a crop", n)
	}
}
