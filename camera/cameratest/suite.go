// Package cameratest holds the suite that every camera.Source passes, and a
// source for the tests of those that read from one.
package cameratest

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"testing"
	"time"

	"mien/camera"
)

// Camera is a source under test.
type Camera struct {
	// Open returns the source, new from its first picture. It is called
	// several times.
	Open func(t *testing.T) camera.Source
	// Size of the pictures; 0,0 when they differ.
	Size image.Point
	// Frames until io.EOF; 0 for a source that does not end by itself. At least
	// 3 are needed.
	Frames int
	// Want is what picture seq shows. Pictures may differ from it by Off grey
	// levels. nil: any picture will do.
	Want func(seq uint64) *image.Gray
	Off  int
	// Lossy is set for live cameras: pictures may be missing between two.
	Lossy bool
	// Allocs allowed for a picture once the first ones are through.
	Allocs float64
	// Stall makes the source stop giving pictures without ending. nil where
	// that cannot be.
	Stall func(camera.Source)
}

// patience is how long a picture may take on a slow machine.
const patience = 30 * time.Second

// Run tests c.
func Run(t *testing.T, c Camera) {
	t.Run("pictures", c.pictures)
	t.Run("memory", c.memory)
	t.Run("cancel", c.cancel)
	t.Run("close", c.close)
	t.Run("allocations", c.allocations)
	if c.Stall != nil {
		t.Run("stall", c.stall)
	}
}

func (c *Camera) count() int {
	if c.Frames > 0 {
		return c.Frames
	}
	return 8
}

func (c *Camera) pictures(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := c.Open(t)
	defer s.Close()
	var f camera.Frame
	var last camera.Frame
	for i := range c.count() {
		if err := s.Next(ctx, &f); err != nil {
			t.Fatalf("picture %d: %v", i+1, err)
		}
		if err := c.check(&f); err != nil {
			t.Fatalf("picture %d: %v", i+1, err)
		}
		if f.Seq <= last.Seq || !c.Lossy && f.Seq != last.Seq+1 {
			t.Errorf("picture %d has number %d after %d", i+1, f.Seq, last.Seq)
		}
		if f.Time.Before(last.Time) || f.Time.IsZero() {
			t.Errorf("picture %d was taken at %v, the one before at %v", i+1, f.Time, last.Time)
		}
		last.Seq, last.Time = f.Seq, f.Time
	}
	for range 2 {
		if c.Frames == 0 {
			break
		}
		if err := s.Next(ctx, &f); err != io.EOF {
			t.Errorf("after the last picture: %v, want io.EOF", err)
		}
	}
}

func (c *Camera) check(f *camera.Frame) error {
	w, h := f.Rect.Dx(), f.Rect.Dy()
	if f.Rect.Min != (image.Point{}) || w < 1 || h < 1 {
		return fmt.Errorf("its bounds are %v, want them to begin at 0,0", f.Rect)
	}
	if c.Size != (image.Point{}) && c.Size != image.Pt(w, h) {
		return fmt.Errorf("it has %dx%d pixels, want %v", w, h, c.Size)
	}
	if f.Stride < w || len(f.Pix) < (h-1)*f.Stride+w {
		return fmt.Errorf("%d bytes in rows of %d do not hold %dx%d pixels", len(f.Pix), f.Stride, w, h)
	}
	if c.Want == nil {
		return nil
	}
	want := c.Want(f.Seq)
	for y := range h {
		for x := range w {
			a, b := int(f.Pix[y*f.Stride+x]), int(want.GrayAt(want.Rect.Min.X+x, want.Rect.Min.Y+y).Y)
			if a-b > c.Off || b-a > c.Off {
				return fmt.Errorf("pixel %d,%d is %d, want %d", x, y, a, b)
			}
		}
	}
	return nil
}

// A frame's memory is its caller's: a source uses it where it is enough, and
// does not touch a frame that it filled before.
func (c *Camera) memory(t *testing.T) {
	s := c.Open(t)
	defer s.Close()
	var big camera.Frame
	big.Resize(4096, 2160)
	memory := &big.Pix[0]
	if err := next(t, s, &big); err != nil {
		t.Fatal(err)
	}
	if &big.Pix[0] != memory {
		t.Error("the source did not use the memory it was given")
	}
	held := append([]byte{}, big.Pix...)
	var other camera.Frame
	for range 2 {
		if err := next(t, s, &other); err != nil {
			t.Fatal(err)
		}
	}
	if &other.Pix[0] == memory {
		t.Error("two frames share memory")
	}
	for i := range held {
		if big.Pix[i] != held[i] {
			t.Fatal("the source wrote into a frame that it was not given")
		}
	}
}

func next(t *testing.T, s camera.Source, f *camera.Frame) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return s.Next(ctx, f)
}

func (c *Camera) cancel(t *testing.T) {
	s := c.Open(t)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var f camera.Frame
	if err := s.Next(ctx, &f); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled beforehand: %v, want context.Canceled", err)
	}
}

func (c *Camera) stall(t *testing.T) {
	s := c.Open(t)
	defer s.Close()
	var f camera.Frame
	if err := next(t, s, &f); err != nil {
		t.Fatal(err)
	}
	c.Stall(s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for {
			if err := s.Next(ctx, &f); err != nil {
				done <- err
				return
			}
		}
	}()
	time.AfterFunc(50*time.Millisecond, cancel)
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v, want context.Canceled", err)
		}
	case <-time.After(patience):
		t.Fatal("Next does not notice that its context is cancelled")
	}
}

func (c *Camera) close(t *testing.T) {
	s := c.Open(t)
	var f camera.Frame
	if err := next(t, s, &f); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := next(t, s, &f); err == nil {
		t.Error("a picture after Close")
	}
	_ = s.Close() // must not panic
}

func (c *Camera) allocations(t *testing.T) {
	s := c.Open(t)
	defer s.Close()
	var f camera.Frame
	ctx := t.Context()
	n := c.count()/2 - 1
	for range c.count() - n - 1 {
		if err := s.Next(ctx, &f); err != nil {
			t.Fatal(err)
		}
	}
	// AllocsPerRun makes one more run than it is asked for.
	got := testing.AllocsPerRun(n, func() {
		if err := s.Next(ctx, &f); err != nil {
			t.Fatal(err)
		}
	})
	if got > c.Allocs {
		t.Errorf("%v allocations a picture, want at most %v", got, c.Allocs)
	}
}
