package track

import (
	"image"
	"math"
	"testing"
)

// checker is a picture with much detail: squares of side n in two greys.
func checker(n int, dark, light byte) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, 50, 50))
	for y := range 50 {
		for x := range 50 {
			v := dark
			if (x/n+y/n)%2 == 0 {
				v = light
			}
			m.Pix[y*m.Stride+x] = v
		}
	}
	return m
}

// soften is a 5 x 5 mean, borders left as they are.
func soften(m *image.Gray) *image.Gray {
	out := image.NewGray(m.Rect)
	copy(out.Pix, m.Pix)
	for y := 2; y < 48; y++ {
		for x := 2; x < 48; x++ {
			sum := 0
			for dy := -2; dy <= 2; dy++ {
				for dx := -2; dx <= 2; dx++ {
					sum += int(m.Pix[(y+dy)*m.Stride+x+dx])
				}
			}
			out.Pix[y*out.Stride+x] = byte(sum / 25)
		}
	}
	return out
}

func TestMeasure(t *testing.T) {
	f := Found{Box: image.Rect(100, 100, 200, 220), Left: Point{130, 140}, Right: Point{170, 160}, Eyes: true}
	q := Measure(f, checker(5, 60, 180))
	if q.Size != 100 || q.Brightness != 120 || math.Abs(q.Contrast-60) > 1e-9 {
		t.Errorf("size %v, brightness %v, contrast %v; want 100, 120, 60", q.Size, q.Brightness, q.Contrast)
	}
	if want := math.Atan2(20, 40) * 180 / math.Pi; math.Abs(q.Tilt-want) > 1e-9 || q.Turn != 0 {
		t.Errorf("tilt %v, turn %v; want %v and 0", q.Tilt, q.Turn, want)
	}
	soft := Measure(f, soften(soften(checker(5, 60, 180))))
	if soft.Sharpness > q.Sharpness/10 {
		t.Errorf("blur took sharpness from %.0f to %.0f only", q.Sharpness, soft.Sharpness)
	}
	for _, m := range []*image.Gray{{}, image.NewGray(image.Rect(0, 0, 2, 2))} {
		if q := Measure(Found{}, m); q.Sharpness != 0 || q.Turn != 0 {
			t.Errorf("a picture of %v gives %+v", m.Rect, q)
		}
	}
}

// A pixel of 4 in a field of 0 has Laplacian -16 and four neighbours of 4.
func TestSharpnessByHand(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 5, 5))
	m.Pix[2*m.Stride+2] = 4
	_, _, got := texture(m)
	if want := (16.*16 + 4*4*4) / 9; math.Abs(got-want) > 1e-9 {
		t.Errorf("sharpness %v, want %v", got, want)
	}
}

func TestGates(t *testing.T) {
	fine := Quality{Size: 80, Sharpness: 300, Brightness: 120, Contrast: 40, Eyes: true}
	change := func(f func(*Quality)) Quality { q := fine; f(&q); return q }
	for want, q := range map[Problem]Quality{
		Fine:      fine,
		TooSmall:  change(func(q *Quality) { q.Size = 20 }),
		TooDark:   change(func(q *Quality) { q.Brightness = 10 }),
		TooBright: change(func(q *Quality) { q.Brightness = 250 }),
		Flat:      change(func(q *Quality) { q.Contrast = 3 }),
		Blurred:   change(func(q *Quality) { q.Sharpness = 5 }),
		NoEyes:    change(func(q *Quality) { q.Eyes = false }),
		Tilted:    change(func(q *Quality) { q.Tilt = -40 }),
		Turned:    change(func(q *Quality) { q.Turn = .5 }),
	} {
		g := Gates{NeedEyes: true}.defaults()
		if got := g.check(q); got != want {
			t.Errorf("%+v: %v, want %v", q, got, want)
		}
		off := Gates{-1, -1, -1, -1, -1, -1, -1, false}.defaults()
		if got := off.check(q); got != Fine {
			t.Errorf("%+v with all gates off: %v", q, got)
		}
	}
}
