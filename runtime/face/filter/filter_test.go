package filter

import (
	"image"
	"image/png"
	"os"
	"slices"
	"testing"

	"mien/runtime/model"
)

func read(t testing.TB, name string) *image.Gray {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img.(*image.Gray)
}

// TestReference holds each filter against OpenCV and scikit-image; see
// testdata/reference.py.
func TestReference(t *testing.T) {
	most := map[model.Filter]int{model.Gabor: 1, model.HOG: 1, model.LBP: 0, model.SIFT: 2} // levels; OpenCV's directions are of 0.3 degrees
	for _, name := range model.Filters() {
		f, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, picture := range []string{"face", "noise"} {
			got, want := f.Of(read(t, picture)), read(t, string(name)+"-"+picture)
			worst, off := 0, 0
			for i, v := range want.Pix {
				d := max(int(v), int(got.Pix[i])) - min(int(v), int(got.Pix[i]))
				if worst = max(worst, d); d > most[name] {
					off++
				}
			}
			if off > 0 {
				t.Errorf("%s of %s: %d of %d pixels are off by more than %d levels, the worst by %d", name, picture, off, len(want.Pix), most[name], worst)
			}
		}
	}
}

// TestEvenGrey: in a picture of one grey nothing is seen, and lbp sees that no
// neighbour is darker.
func TestEvenGrey(t *testing.T) {
	even := image.NewGray(image.Rect(0, 0, side, side))
	for i := range even.Pix {
		even.Pix[i] = 200
	}
	for _, name := range model.Filters() {
		f, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		var want uint8
		if name == model.LBP {
			want = 255
		}
		if got := f.Of(even).Pix; slices.ContainsFunc(got, func(v uint8) bool { return v != want }) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSameEitherWay: trainer and board get the same levels, whatever the
// picture's stride, and without a filter the picture itself.
func TestSameEitherWay(t *testing.T) {
	wide := image.NewGray(image.Rect(0, 0, side+9, side+5))
	face := read(t, "face")
	part := wide.SubImage(image.Rect(7, 3, 7+side, 3+side)).(*image.Gray)
	x := make([]float32, pixels)
	for y := range side {
		copy(part.Pix[y*part.Stride:], face.Pix[y*side:][:side])
	}
	for _, name := range append(model.Filters(), model.NoFilter) {
		f, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range face.Pix {
			x[i] = float32(v) / 255
		}
		f.Values(x)
		got := f.Of(part)
		for i, v := range x {
			if float32(got.Pix[i/side*got.Stride+i%side])/255 != v {
				t.Fatalf("%s: pixel %d is %v for the trainer, %d for the board", name, i, v, got.Pix[i/side*got.Stride+i%side])
			}
		}
		if n := testing.AllocsPerRun(2, func() { f.Of(part); f.Values(x) }); n != 0 {
			t.Errorf("%s allocates %g times", name, n)
		}
	}
}

// TestWhole: each filter that files can name is computed, and no other.
func TestWhole(t *testing.T) {
	if len(makers) != len(model.Filters()) {
		t.Errorf("%d filters are computed, %d have names", len(makers), len(model.Filters()))
	}
	for _, name := range model.Filters() {
		if makers[name] == nil {
			t.Errorf("%s is not computed", name)
		}
	}
	if _, err := New("sobel"); err == nil {
		t.Error("a filter that there is not was made")
	}
}

func BenchmarkFilter(b *testing.B) {
	face := read(b, "face")
	for _, name := range model.Filters() {
		f, err := New(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(name), func(b *testing.B) {
			for b.Loop() {
				f.Of(face)
			}
		})
	}
}
