package face

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"mien/runtime/face/facetest"
)

func TestNetworkFindsFarAndTiltedFaces(t *testing.T) {
	d := newDetector(t, Options{Finder: Network})
	for _, c := range []struct{ x, y, size, tilt float64 }{
		{320, 240, 120, 0}, {200, 150, 60, 0}, {90, 400, 44, 0}, {320, 200, 300, 0}, {300, 240, 150, -25}, {300, 240, 150, 40}, {420, 240, 90, -40},
	} {
		faces := d.Detect(scene(640, 480, c.x, c.y, c.size, c.tilt), nil)
		if len(faces) != 1 {
			t.Errorf("%+v: %d faces, want one: %+v", c, len(faces), faces)
			continue
		}
		f := faces[0]
		if dx, dy := (f.Left.X+f.Right.X)/2-c.x, (f.Left.Y+f.Right.Y)/2-c.y; !f.Eyes || math.Hypot(dx, dy) > 0.06*c.size {
			t.Errorf("%+v: the eyes are off by %.1f, %.1f", c, dx, dy)
		}
		if got, want := f.Tilt(), c.tilt+portraitTilt; math.Abs(got-want) > 5 {
			t.Errorf("%+v: tilt %.1f, want %.1f", c, got, want)
		}
		if r := float64(f.Box.Dx()) / c.size; r < 0.8 || r > 1.2 {
			t.Errorf("%+v: box %v is %.2f of pigo's", c, f.Box, r)
		}
		if f.Score < SureScore && c.size >= small {
			t.Errorf("%+v: score %.2f, which is not sure", c, f.Score)
		}
	}
}

func TestNetworkKeepsToItsPicture(t *testing.T) {
	d := newDetector(t, Options{Finder: Network})
	whole := scene(640, 480, 300, 200, 120, 0)
	part := whole.SubImage(image.Rect(100, 40, 580, 440)).(*image.Gray)
	a, b := d.Detect(whole, nil), d.Detect(part, nil)
	if len(a) != 1 || len(b) != 1 || math.Hypot(a[0].Left.X-b[0].Left.X, a[0].Left.Y-b[0].Left.Y) > 4 {
		t.Errorf("in the picture %+v, in a part of it %+v", a, b)
	}
	if faces := d.Detect(image.NewGray(image.Rect(0, 0, 12, 480)), nil); len(faces) != 0 {
		t.Errorf("%d faces in a picture of 12 columns", len(faces))
	}
	for i := range 10 {
		img := image.NewGray(image.Rect(0, 0, 640, 480))
		facetest.Background(img, rand.New(rand.NewPCG(3, uint64(i))))
		if faces := d.Detect(img, nil); len(faces) != 0 {
			t.Errorf("background %d: %+v", i, faces)
		}
	}
}

func TestEveryPlaceIsInAView(t *testing.T) {
	const least = 40
	vs := views(640, 480, least, nil)
	for size := float64(least); size <= 300; size *= 1.2 {
		for y := size / 2; y <= 480-size/2; y += 10 {
			for x := size / 2; x <= 640-size/2; x += 10 {
				ok := false
				for _, v := range vs {
					ok = ok || size >= leastShare*v.side && math.Abs(x-v.x-0.5)+size/2 <= v.side/2+1 && math.Abs(y-v.y-0.5)+size/2 <= v.side/2+1
				}
				if !ok {
					t.Fatalf("a face of %.0f pixels at %.0f,%.0f is whole in no view that it is large enough for", size, x, y)
				}
			}
		}
	}
}

// live runs a detector over frames of a still scene, and returns in which of
// them a face was seen.
func live(d *Detector, img *image.Gray, frames int) (seen []bool, looked int) {
	for range frames {
		faces := d.Detect(img, nil)
		seen = append(seen, len(faces) == 1)
		if len(faces) > 0 && d.Looked(faces[0].Box) {
			looked++
		}
	}
	return seen, looked
}

func TestLiveSharesTheWork(t *testing.T) {
	d := newDetector(t, Options{Finder: Network, Live: true})
	img := scene(640, 480, 320, 240, 150, 0)
	seen, looked := live(d, img, 60)
	n, first := 0, -1
	for i, s := range seen {
		if s {
			n++
			if first < 0 {
				first = i
			}
		}
	}
	if first < 0 || first > 5 {
		t.Errorf("first seen in frame %d, want one of the first six", first)
	}
	if n < 20 || n > 32 || looked != n {
		t.Errorf("seen in %d of 60 frames, looked for in %d: want 20 to 32, and both alike", n, looked)
	}
	if d.Looked(image.Rect(0, 0, 60, 60)) {
		t.Error("it says that it looked for a face in the corner")
	}
	empty := image.NewGray(img.Rect)
	seen, _ = live(d, empty, 20)
	for i, s := range seen {
		if s {
			t.Errorf("frame %d has nobody in it, and a face was seen", i)
		}
	}
	if len(d.places) != 0 {
		t.Errorf("%d places are remembered of a face that is gone", len(d.places))
	}
}

// Where nothing changes the network rests, but for a look now and then for who is
// there and for who was missed; of frames that come seldom it looks at each.
func TestLiveRests(t *testing.T) {
	runs := func(d *Detector, img *image.Gray, frames int) int {
		before := d.spread.runs
		for range frames {
			d.Detect(img, nil)
		}
		return d.spread.runs - before
	}
	d := newDetector(t, Options{Finder: Network, Live: true})
	img, empty := scene(640, 480, 320, 240, 150, 0), image.NewGray(image.Rect(0, 0, 640, 480))
	runs(d, img, 100)
	if n := runs(d, img, 40); n < 12 || n > 20 {
		t.Errorf("%d runs in 40 frames of a face that is no news, want 12 to 20", n)
	}
	runs(d, empty, 60)
	if n := runs(d, empty, 40); n < 3 || n > 5 || len(d.places) != 0 {
		t.Errorf("%d runs in 40 frames without a face, want about 4; %d places", n, len(d.places))
	}
	now := time.Unix(0, 0)
	before := d.spread.runs
	for range 10 {
		now = now.Add(time.Second)
		d.At(now)
		d.Detect(empty, nil)
	}
	if n := d.spread.runs - before; n < 9 {
		t.Errorf("%d runs in 10 frames a second apart, want one in each", n)
	}
}

// Who comes is seen within six frames, a fifth of a second, also where somebody
// is known and the network rests: near, far, and with a camera's noise.
func TestLiveSeesWhoComes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noisy := func(img *image.Gray) *image.Gray {
		out := image.NewGray(img.Rect)
		for i, v := range img.Pix {
			out.Pix[i] = uint8(min(max(int(v)+rng.IntN(13)-6, 0), 255))
		}
		return out
	}
	for _, known := range []bool{false, true} {
		for _, c := range []struct{ x, y, size float64 }{{480, 240, 180}, {460, 160, 110}, {520, 330, 80}, {440, 120, 60}} {
			d := newDetector(t, Options{Finder: Network, Live: true})
			who := image.NewGray(image.Rect(0, 0, 640, 480))
			if known {
				who = scene(640, 480, 160, 240, 150, 0)
			}
			for range 90 {
				d.Detect(noisy(who), nil)
			}
			other := scene(320, 480, c.x-320, c.y, c.size, 0)
			for y := range 480 {
				copy(who.Pix[y*who.Stride+320:][:320], other.Pix[y*other.Stride:])
			}
			seen := -1
			for i := range 12 {
				for _, f := range d.Detect(noisy(who), nil) {
					if seen < 0 && f.Box.Min.X > 300 {
						seen = i
					}
				}
			}
			if seen < 0 || seen > 5 {
				t.Errorf("%+v with somebody known %v: seen in frame %d, want one of the first six", c, known, seen)
			}
		}
	}
}

// Noise, a light that is dimmed and the camera's own exposure are no news; a
// thing that comes is, where it is and nowhere else, and by and by too.
func TestWatch(t *testing.T) {
	var w watch
	squares := []frame{{x: 120, y: 239.5, side: 200}, {x: 500, y: 239.5, side: 200}}
	w.begin(image.Pt(640, 480), len(squares))
	rng := rand.New(rand.NewPCG(1, 2))
	img := image.NewGray(image.Rect(0, 0, 640, 480))
	now := time.Duration(0)
	see := func(f func(x, y int) float64) (news [2]int) {
		for i := range w.looked {
			w.looked[i] = now
		}
		now += usual
		for y := range 480 {
			for x := range 640 {
				img.Pix[y*img.Stride+x] = uint8(min(max(f(x, y)+6*rng.NormFloat64(), 0), 255))
			}
		}
		w.see(img, now, nil)
		for i, s := range squares {
			news[i] = w.since(w.cells(s), w.looked[i])
		}
		return news
	}
	wall := func(x, y int) float64 { return 100 + float64(x)/20 }
	if n := see(wall); n[0] < 100 || n[1] < 100 {
		t.Errorf("a first picture changes %v cells", n)
	}
	if n := see(wall); n[0] > 2 || n[1] > 2 {
		t.Errorf("noise changes %v cells", n)
	}
	if n := see(func(x, y int) float64 { return wall(x, y) + 25 }); n[0] > 2 || n[1] > 2 {
		t.Errorf("light changes %v cells", n)
	}
	thing := 0.0
	comes := func(x, y int) float64 {
		if x > 480 && x < 560 && y > 200 && y < 280 {
			return wall(x, y) + thing
		}
		return wall(x, y)
	}
	thing = 30
	if n := see(comes); n[0] > 2 || n[1] < 16 {
		t.Errorf("a thing in the second square changes %v cells", n)
	}
	most := 0
	for range 15 {
		thing -= 2
		most = max(most, see(comes)[1])
	}
	if most < 6 {
		t.Errorf("a thing that goes by and by changes %d cells at most", most)
	}
}

func TestNetworkAllocatesNothing(t *testing.T) {
	img := scene(640, 480, 320, 240, 150, 0)
	for _, l := range []bool{false, true} {
		d := newDetector(t, Options{Finder: Network, Live: l, MinSize: 100})
		faces := make([]Face, 0, 16)
		for range 8 {
			faces = d.Detect(img, faces[:0])
		}
		if n := testing.AllocsPerRun(4, func() { faces = d.Detect(img, faces[:0]) }); n != 0 {
			t.Errorf("live %v: %v allocations a picture", l, n)
		}
	}
}

func TestOptionsNameTheFinder(t *testing.T) {
	if err := (Options{Finder: "haar"}).Check(); err == nil {
		t.Error("a finder that there is not is taken")
	}
	for _, name := range Finders() {
		d := newDetector(t, Options{Finder: Finder(name)})
		if got := d.Finder(); got == Auto || name != string(Auto) && got != Finder(name) {
			t.Errorf("finder %s is %s", name, got)
		}
	}
	if _, err := newNetwork([]byte("no network")); err == nil {
		t.Error("nonsense is a network")
	}
}

// A detector that has to forget knows of no place afterwards.
func TestForget(t *testing.T) {
	d := newDetector(t, Options{Finder: Network, Live: true})
	img := scene(640, 480, 300, 200, 120, 0)
	for range 60 {
		d.Detect(img, nil)
	}
	if len(d.places) == 0 {
		t.Fatal("no place is known after 60 frames of a face")
	}
	d.Forget()
	if len(d.places) != 0 || d.spread != (spread{}) {
		t.Errorf("%v is known still", d.places)
	}
	for _, p := range d.places[:cap(d.places)] {
		if p != (place{}) {
			t.Errorf("%v lies in memory still", p)
		}
	}
}
