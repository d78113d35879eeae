package signal

import (
	"testing"
	"time"

	"mien/runtime/model"
)

// A slow camera is ready all the time once it is known how slow it is, and lost
// as promise 4 has it: the more slowly, the later.
func TestSlowCameras(t *testing.T) {
	for _, c := range []struct {
		gap  time.Duration
		lost time.Duration // after the last frame, at most
	}{
		{33 * time.Millisecond, time.Second}, {400 * time.Millisecond, time.Second}, {490 * time.Millisecond, time.Second},
		{600 * time.Millisecond, 1500 * time.Millisecond}, {850 * time.Millisecond, 2200 * time.Millisecond},
		{time.Second, 2500 * time.Millisecond}, {5 * time.Second, 12500 * time.Millisecond}, {9 * time.Second, 22500 * time.Millisecond},
	} {
		m, err := New([]model.Head{model.Emotion}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1000, 0)
		// until ticks as Outputs.Run does, and says how long ready was inactive.
		until := func(at time.Time) (down time.Duration) {
			for {
				next := m.Next()
				if next.IsZero() || next.After(at) {
					next = at
				}
				if on, _ := m.Ready(); !on {
					down += next.Sub(now)
				}
				if now = next; !now.Before(at) {
					return down
				}
				m.Tick(now)
			}
		}
		frame := func() {
			m.Frame(now)
			m.Update(now.Add(5*time.Millisecond), Seen{Face: true, Labels: []int{1}})
		}
		frame()
		for range 3 {
			until(now.Add(c.gap))
			frame()
		}
		for i := range 20 {
			// A tenth more or less now and then.
			gap := c.gap + time.Duration(i%3-1)*c.gap/10
			if down := until(now.Add(gap)); down > 0 {
				t.Errorf("a frame every %v: ready is inactive for %v before frame %d", c.gap, down, i)
			}
			frame()
		}
		last := now
		for on := true; on; on, _ = m.Ready() {
			now = m.Next()
			m.Tick(now)
		}
		if d := now.Sub(last); d > c.lost+c.lost/10 && c.lost > time.Second || c.lost == time.Second && d > c.lost {
			t.Errorf("a frame every %v: ready drops %v after the last, want %v", c.gap, d, c.lost)
		}
		// Back with many frames it is a fast camera again.
		for range 6 {
			until(now.Add(30 * time.Millisecond))
			frame()
		}
		last = now
		for on := true; on; on, _ = m.Ready() {
			now = m.Next()
			m.Tick(now)
		}
		if d := now.Sub(last); d > time.Second {
			t.Errorf("a camera that was slow: ready drops %v after the last frame", d)
		}
	}
}

// An outage is no slowness: neither one, nor one after the other.
func TestPace(t *testing.T) {
	var p Pace
	now := time.Unix(1000, 0)
	after := func(ms ...int) time.Duration {
		for _, d := range ms {
			now = now.Add(time.Duration(d) * time.Millisecond)
			p.Frame(now)
		}
		return p.Gap()
	}
	if g := after(0, 1000); g != 0 || p.Known() {
		t.Errorf("after two frames: %v, known %v", g, p.Known())
	}
	if g := after(1100); g != time.Second || !p.Known() {
		t.Errorf("after three frames: %v", g)
	}
	if g := after(40, 40, 40, 40, 5000, 5000, 5000); g != 0 {
		t.Errorf("three outages of a fast camera: %v", g)
	}
	if g := after(60000, 2000, 2000, 2000, 2000, 60000); g != 2*time.Second {
		t.Errorf("an outage of a slow camera: %v", g)
	}
}
