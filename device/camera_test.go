package device_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mien/camera"
	"mien/device"
)

// slowCamera gives a frame every gap, and drops a cut picture before each.
type slowCamera struct {
	camera.Tally
	fakeCamera
	gap time.Duration
}

func (c *slowCamera) Next(ctx context.Context, f *camera.Frame) error {
	c.Drop(camera.Bad(camera.Cut, "cut"))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.gap):
	}
	return c.fakeCamera.Next(ctx, f)
}

// A slow camera is neither lost nor opened again, and ready once it is known
// how slow it is. When it is gone that is noticed.
func TestSlowCamera(t *testing.T) {
	for _, gap := range []time.Duration{900 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		t.Run(gap.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var opened atomic.Int64
				open := func(context.Context) (camera.Source, error) {
					if opened.Add(1) > 1 {
						return nil, errors.New("no such device")
					}
					return &slowCamera{gap: gap, fakeCamera: fakeCamera{left: 20, seen: true, hang: true}}, nil
				}
				s := device.NewSupervisor(open, r.pipe, r.out, device.SupervisorOptions{})
				r.start(t, s)
				begin := time.Now()
				time.Sleep(4 * gap)
				for time.Since(begin) < 20*gap {
					time.Sleep(100 * time.Millisecond)
					if h := s.Health(); !h.Ready || opened.Load() != 1 {
						t.Fatalf("%v after the start: opened %d times, %s: %s", time.Since(begin), opened.Load(), h.State, h.Reason)
					}
				}
				time.Sleep(5 * gap) // the camera is gone
				if h := s.Health(); h.Ready || opened.Load() < 2 || !strings.Contains(h.Reason, "no such device") {
					t.Errorf("opened %d times, %s: %s", opened.Load(), h.State, h.Reason)
				}
				r.stop()
			})
		})
	}
}

// What a camera dropped is counted by kind over all of its sessions, and said
// when no frame is left.
func TestBadPicturesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var notes []string
		open := func(context.Context) (camera.Source, error) {
			return &slowCamera{gap: 10 * time.Millisecond, fakeCamera: fakeCamera{left: 5, hang: true}}, nil
		}
		s := device.NewSupervisor(open, r.pipe, r.out, device.SupervisorOptions{Silence: time.Second, Note: func(n string) { notes = append(notes, n) }})
		r.start(t, s)
		time.Sleep(time.Second)
		if b := s.Health().Bad; b != (device.BadPictures{Cut: 6, Last: "cut"}) {
			t.Errorf("in the first session: %+v", b)
		}
		time.Sleep(time.Second)
		if b := s.Health().Bad; b.Cut < 7 {
			t.Errorf("in the second session: %+v", b)
		}
		r.stop()
		if len(notes) == 0 || !strings.Contains(notes[0], "no good frame for 1s; dropped since it was opened: 6 cut") {
			t.Errorf("notes %q", notes)
		}
	})
}
