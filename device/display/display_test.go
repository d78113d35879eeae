package display

import (
	"context"
	"errors"
	"image"
	"image/color"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/devices/v3/ssd1306"

	"mien/device"
	"mien/device/signal"
)

// happy is a reading of one face.
func happy(p float32) *device.Reading {
	return &device.Reading{Width: 320, Height: 240, Subject: 1, Faces: []device.FaceReading{{ID: 1, Box: device.Box{X: 100, Y: 60, W: 120, H: 120},
		Eyes: &device.Eyes{{140, 100}, {180, 100}}, Problem: "fine",
		Heads: []device.HeadReading{{Name: "emotion", Label: "happy", Confidence: p,
			Probs: device.Probs{{Label: "happy", P: p}, {Label: "sad", P: 1 - p}}}}}}}
}

func uncertain() *device.Reading {
	r := happy(0.4)
	h := &r.Faces[0].Heads[0]
	h.Label, h.Uncertain = "", true
	return r
}

// count returns how many pixels of m within r have that colour.
func count(m image.Image, r image.Rectangle, c color.RGBA) (n int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if m.At(x, y) == color.Color(c) {
				n++
			}
		}
	}
	return n
}

func TestAnnotated(t *testing.T) {
	a, err := NewAnnotator()
	if err != nil {
		t.Fatal(err)
	}
	frame := image.NewGray(image.Rect(0, 0, 320, 240))
	side := image.Rect(pictureW, 0, pictureW+panelW, pictureH)
	foot := image.Rect(0, pictureH, pictureW+panelW, pictureH+footH)
	lines := []signal.Line{{Name: "ready", Pin: "GPIO17", Active: true}, {Name: "face", Pin: "GPIO22"}}
	sure := a.Draw(frame, happy(0.9), lines)
	// The frame is drawn three times as large: the box's corner is at 300, 180.
	if n := count(sure, image.Rect(298, 178, 372, 186), accent); n < 100 {
		t.Errorf("%d pixels of the box's corner", n)
	}
	if n := count(sure, image.Rect(408, 288, 432, 312), accent); n < 30 {
		t.Errorf("%d pixels of the left eye", n)
	}
	if n := count(sure, foot, live); n < 100 {
		t.Errorf("%d pixels of the lamp that is on", n)
	}
	// The bar grows with the probability, and is not the answer's colour while
	// there is none.
	less := a.Draw(frame, happy(0.6), lines)
	if m, n := count(sure, side, accent), count(less, side, accent); m < n+300 {
		t.Errorf("90 %% takes %d pixels, 60 %% takes %d", m, n)
	}
	if n := count(a.Draw(frame, uncertain(), nil), side, accent); n != 0 {
		t.Errorf("%d pixels of an answer that is not given", n)
	}
	// Odd frames and readings do no harm.
	for _, r := range []image.Rectangle{image.Rect(0, 0, 1, 1), image.Rect(0, 0, 50, 2000)} {
		x := happy(0.5)
		x.Faces[0].Box = device.Box{X: -50, Y: -9000, W: 20000, H: 1}
		a.Draw(image.NewGray(r), x, slices.Repeat(lines, 40))
		a.Draw(image.NewGray(r), &device.Reading{}, nil)
	}
}

func TestOLEDOnPeriphsDriver(t *testing.T) {
	var bus i2ctest.Record
	dev, err := ssd1306.NewI2C(&bus, &ssd1306.DefaultOpts)
	if err != nil {
		t.Fatal(err)
	}
	o := &OLED{Screen: dev}
	written := len(bus.Ops)
	for _, r := range []*device.Reading{happy(0.9), uncertain(), {}, nil} {
		before := len(bus.Ops)
		if err := o.Show(r); err != nil {
			t.Fatal(err)
		}
		if len(bus.Ops) == before {
			t.Error("nothing was written for a new picture")
		}
	}
	if err := o.Close(); err != nil || len(bus.Ops) <= written {
		t.Errorf("close: %v", err)
	}
	for _, op := range bus.Ops {
		if op.Addr != 0x3c {
			t.Errorf("written to address %#x", op.Addr)
		}
	}
}

func TestOLEDPicture(t *testing.T) {
	b := image.Rect(0, 0, 128, 64)
	lit := func(o *OLED, r *device.Reading, in image.Rectangle) (n int) {
		m := o.picture(r, b)
		for y := in.Min.Y; y < in.Max.Y; y++ {
			for x := in.Min.X; x < in.Max.X; x++ {
				if m.GrayAt(x, y).Y > 127 {
					n++
				}
			}
		}
		return n
	}
	bar := image.Rect(0, 25, 128, 27)
	if n := lit(&OLED{}, happy(0.75), bar); n != 2*96 {
		t.Errorf("the bar of 75 %% has %d dots, want 192", n)
	}
	last := image.Rect(0, 51, 128, 64)
	if off, on := lit(&OLED{}, happy(1), last), lit(&OLED{Preview: true}, happy(1), last); off != 0 || on == 0 {
		t.Errorf("notice of the preview: %d dots without, %d with", off, on)
	}
}

type strip struct {
	rgb []byte
	err error
}

func (s *strip) Write(b []byte) (int, error) { s.rgb = slices.Clone(b); return len(b), s.err }
func (s *strip) Halt() error                 { s.rgb = nil; return nil }

func TestLEDs(t *testing.T) {
	s := &strip{}
	l := &LEDs{Head: "emotion", Strip: s, Count: 4, Dim: 128, Colours: map[string]color.RGBA{"happy": {255, 200, 0, 255}, "uncertain": {10, 10, 10, 255}}}
	for _, c := range []struct {
		r    *device.Reading
		want []byte
	}{
		{happy(0.5), []byte{128, 100, 0, 128, 100, 0, 0, 0, 0, 0, 0, 0}},
		{happy(0.01), []byte{128, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{uncertain(), slices.Repeat([]byte{5}, 12)},
		{&device.Reading{}, make([]byte, 12)},
		{nil, make([]byte, 12)},
	} {
		if err := l.Show(c.r); err != nil || !slices.Equal(s.rgb, c.want) {
			t.Errorf("%v, %v; want %v", s.rgb, err, c.want)
		}
	}
	s.err = errors.New("no bus")
	if err := l.Show(happy(1)); !errors.Is(err, s.err) {
		t.Error(err)
	}
}

// flaky is a part that is missing at first and breaks in between.
type flaky struct {
	mu     sync.Mutex
	opened int
	shown  []string
	closed int
}

func (f *flaky) open() (Part, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened++; f.opened == 1 {
		return nil, errors.New("nobody answers")
	}
	return f, nil
}

func (f *flaky) Show(r *device.Reading) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r == nil {
		f.shown = append(f.shown, "nothing")
		return nil
	}
	if len(f.shown) == 3 && f.closed == 0 {
		return errors.New("cable off")
	}
	f.shown = append(f.shown, r.Faces[0].Heads[0].Label)
	return nil
}

func (f *flaky) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func TestRunnerFailsSoftly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		var notes []string
		worked := 0
		r := &Runner{Open: f.open, Note: func(err error) { notes = append(notes, err.Error()) }, Works: func() { worked++ }}
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() { r.Run(ctx) })
		for range 1000 { // 40 s of readings, none of which waits
			r.Reading(happy(0.9))
			time.Sleep(40 * time.Millisecond)
		}
		cancel()
		done.Wait()
		if !slices.Equal(notes, []string{"nobody answers", "cable off"}) || worked != 2 {
			t.Errorf("notes %q, works again %d times", notes, worked)
		}
		if f.opened != 3 || f.closed != 2 {
			t.Errorf("opened %d, closed %d times", f.opened, f.closed)
		}
		// Ten a second at most, over the 20 s in which the part worked, and a blank
		// one each time that it was opened.
		if n := len(f.shown); n < 100 || n > 204 {
			t.Errorf("%d pictures shown", n)
		}
	})
}

// An answer does not stand when readings cease: the camera may be lost, or
// consent taken back.
func TestRunnerTakesStaleAnswersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{opened: 1, closed: 1}
		r := &Runner{Open: f.open}
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() { r.Run(ctx) })
		time.Sleep(time.Second)
		for range 2 {
			r.Reading(happy(0.9))
			time.Sleep(time.Minute)
		}
		cancel()
		done.Wait()
		if want := []string{"nothing", "happy", "nothing", "happy", "nothing"}; !slices.Equal(f.shown, want) {
			t.Errorf("shown %q, want %q", f.shown, want)
		}
	})
}

// horn is a pin that remembers when it sounded.
type horn struct {
	mu    sync.Mutex
	start time.Time
	log   []string
}

func (h *horn) Write(level int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, time.Since(h.start).String()+map[int]string{0: " low", 1: " high"}[level])
	return nil
}

func (h *horn) Close() error { return nil }

func TestBuzzer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &horn{start: time.Now()}
		b := NewBuzzer(h, true, []string{"begin", "happy"}, 80*time.Millisecond, nil)
		b.Head = "emotion"
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() { b.Run(ctx) })
		face := happy(0.9).Faces[0]
		b.Track(&device.Track{Kind: device.End, Face: face}) // not asked for
		b.Track(&device.Track{Kind: device.Begin, Face: face})
		time.Sleep(time.Second)
		b.Track(&device.Track{Kind: device.Update, Face: face})
		time.Sleep(40 * time.Millisecond)
		cancel()
		done.Wait()
		want := []string{"0s low", "80ms high", "1s low", "1.04s high", "1.04s high"}
		if !slices.Equal(h.log, want) {
			t.Errorf("the pin went %q, want %q", h.log, want)
		}
	})
}

// With several people in view everything shows the reading's subject, which
// need not be the first.
func TestShowsTheSubject(t *testing.T) {
	r := happy(0.9)
	two := happy(0.9)
	two.Faces = append(uncertain().Faces, two.Faces[0])
	two.Faces[1].ID, two.Subject = 2, 2
	o := &OLED{}
	b := image.Rect(0, 0, 128, 64)
	if !slices.Equal(o.picture(r, b).Pix, o.picture(two, b).Pix) {
		t.Error("the OLED shows somebody else")
	}
	s := &strip{}
	l := &LEDs{Head: "emotion", Strip: s, Count: 4, Dim: 255, Colours: map[string]color.RGBA{"happy": {255, 200, 0, 255}, "uncertain": {10, 10, 10, 255}}}
	if err := l.Show(two); err != nil || s.rgb[0] != 255 {
		t.Errorf("the LEDs show %v, %v", s.rgb, err)
	}
	a, err := NewAnnotator()
	if err != nil {
		t.Fatal(err)
	}
	frame, side := image.NewGray(image.Rect(0, 0, 320, 240)), image.Rect(pictureW, 60, pictureW+panelW, pictureH)
	if one, many := a.Draw(frame, r, nil).SubImage(side).(*image.RGBA), a.Draw(frame, two, nil).SubImage(side).(*image.RGBA); count(one, side, accent) != count(many, side, accent) {
		t.Error("the annotated picture's bars are somebody else's")
	}
}

// No label is off the edge, however long: what does not fit large is small,
// and what does not fit small ends in dots.
func TestOLEDTextFits(t *testing.T) {
	b := image.Rect(0, 0, 128, 64)
	for _, label := range []string{"happy", "surprise", "African-American", "somewhat-bewildered", strings.Repeat("W", 40), "überraschtüberraschtüberrascht"} {
		r := happy(0)
		r.Faces[0].Heads[0].Label = label
		o := &OLED{}
		got := o.picture(r, b)
		wide := image.NewGray(image.Rect(0, 0, 1024, 64)) // the same with room enough
		scale := 2
		if 14*len([]rune(label)) > 128 {
			scale = 1
		}
		if 7*len([]rune(label)) <= 128 {
			letters(wide, 0, 0, scale, label)
			for y := range 13 * scale {
				if !slices.Equal(got.Pix[y*128:(y+1)*128], wide.Pix[y*1024:y*1024+128]) || slices.Max(wide.Pix[y*1024+128:(y+1)*1024]) != 0 {
					t.Errorf("%s is cut in row %d", label, y)
				}
			}
			continue
		}
		letters(wide, 0, 0, 1, string([]rune(label)[:16])+"..")
		for y := range 13 {
			if !slices.Equal(got.Pix[y*128:(y+1)*128], wide.Pix[y*1024:y*1024+128]) {
				t.Errorf("%s does not end in dots", label)
				break
			}
		}
	}
}
