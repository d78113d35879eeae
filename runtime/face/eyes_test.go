package face

import (
	"image"
	"math"
	"strings"
	"testing"

	"mien/runtime/zoo"
)

// The eye net finds the portrait's eyes in windows that are off, and is less
// sure where there is nothing.
func TestEyeNet(t *testing.T) {
	n, err := newEyeNet(eyeFile)
	if err != nil {
		t.Fatal(err)
	}
	const size = 140
	var most float64
	for _, tilt := range []float64{0, -12, 25} {
		img := scene(640, 480, 300, 220, size, tilt)
		for _, off := range []struct{ dx, dy, grow float64 }{{0, 0, 1}, {8, 0, 1}, {-8, 6, 1.1}, {0, -8, 0.9}} {
			w := window{col: 300 + off.dx, row: 220 + windowRise*size + off.dy, size: size * off.grow, angle: tilt}
			left, right, doubt := n.look(img, w)
			got := math.Atan2(right.Y-left.Y, right.X-left.X) * 180 / math.Pi
			if mx, my := (left.X+right.X)/2-300, (left.Y+right.Y)/2-220; math.Hypot(mx, my) > 0.06*size || math.Abs(got-tilt-portraitTilt) > 4 {
				t.Errorf("tilt %g, %+v: eyes off by %.1f, %.1f and %.1f degrees", tilt, off, mx, my, got-tilt-portraitTilt)
			}
			most = max(most, doubt)
		}
	}
	if most > 6 {
		t.Errorf("the portrait's tilt is doubted by %.1f degrees", most)
	}
	if _, _, doubt := n.look(image.NewGray(image.Rect(0, 0, 640, 480)), window{col: 300, row: 220, size: size}); doubt < most {
		t.Errorf("in the dark the doubt is %.1f degrees, on the portrait %.1f", doubt, most)
	}
}

// The doubt decides whether a face is levelled beyond the cap.
func TestLevelByDoubt(t *testing.T) {
	f := Face{Left: Point{10, 10}, Right: Point{20, 20}, Eyes: true}
	for doubt, want := range map[float64]float64{0: MaxLevel, sureTilt - 1: 45, sureTilt: MaxLevel, 30: MaxLevel} {
		f.Doubt = doubt
		if got := f.level(); got != want {
			t.Errorf("doubt %g: turned by %g, want %g", doubt, got, want)
		}
	}
	f.Eyes, f.Doubt = false, 1
	if f.level() != 0 {
		t.Errorf("a face without eyes is turned by %g", f.level())
	}
}

func TestEyeNetRefusesOthers(t *testing.T) {
	if _, err := newEyeNet(zoo.Default()); err == nil || !strings.Contains(err.Error(), "left_x") {
		t.Errorf("a model of other heads: %v", err)
	}
	if _, err := newEyeNet([]byte("no model")); err == nil || !strings.Contains(err.Error(), "eye net") {
		t.Errorf("no model: %v", err)
	}
}

func TestEyeSquare(t *testing.T) {
	whole := image.Rect(0, 0, 80, 80)
	r := EyeSquare(Point{33, 40}, Point{48, 40}, whole)
	if r.Dx() != r.Dy() || r.Dx() != 41 || r.Min.X != 21 || !r.In(whole) {
		t.Errorf("%v", r)
	}
	for _, p := range []Point{{0, 0}, {70, 70}} {
		if r := EyeSquare(p, Point{p.X + 30, p.Y}, whole); !r.In(whole) || r.Dx() != r.Dy() || r.Empty() {
			t.Errorf("eyes at %v: %v", p, r)
		}
	}
}
