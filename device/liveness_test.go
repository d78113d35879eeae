package device_test

import (
	"context"
	"errors"
	"image"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/signal"
	"mien/runtime/model"
)

// stuck is a model that hangs after some answers, until it is freed.
type stuck struct {
	fakeModel
	left atomic.Int64
	free chan struct{}
}

func newStuck(m fakeModel, answers int64) *stuck {
	s := &stuck{fakeModel: m, free: make(chan struct{})}
	s.left.Store(answers)
	return s
}

func (s *stuck) Predict(g *image.Gray, out *model.Scores) error {
	if s.left.Add(-1) < 0 {
		<-s.free
	}
	return s.fakeModel.Predict(g, out)
}

func (r *rig) pipeline(t *testing.T, m *stuck) *device.Pipeline {
	t.Helper()
	p, err := device.NewPipeline(fakeFaces{}, m, r.out, &r.j, device.PipelineOptions{Heads: []string{"age", "emotion"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fed counts how often a watchdog would be fed that is looked after every 5 s.
func fed(s *device.Supervisor, looks int) (n int) {
	last := s.Liveness().Outputs
	for range looks {
		time.Sleep(5 * time.Second)
		l := s.Liveness()
		if l.Stuck == "" && l.Outputs != last {
			n++
		}
		last = l.Outputs
	}
	return n
}

// A model that hangs is opened anew: those in view are told to have gone, the
// new one reads on, and what the old one sees when it comes back is told to
// nobody.
func TestHungModelIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		first := newStuck(r.model, 50)
		renewed := 0
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil }, r.pipeline(t, first), r.out,
			device.SupervisorOptions{Renew: func() (*device.Pipeline, error) {
				renewed++
				return r.pipeline(t, newStuck(r.model, 1<<40)), nil
			}})
		r.start(t, s)
		time.Sleep(8 * time.Second)
		if h := s.Health(); h.Ready && s.Liveness().Readings > 60 {
			t.Errorf("6 s after the hang: %+v", h)
		}
		time.Sleep(10 * time.Second)
		if h := s.Health(); !h.Ready || renewed != 1 || h.Renewals != 1 || r.sim.Level("P_is_happy") != 1 {
			t.Errorf("renewed %d times, %+v", renewed, h)
		}
		n := r.j.read()
		close(first.free)
		if got := fed(s, 6); got != 6 {
			t.Errorf("fed %d times of 6 though all is well again", got)
		}
		ids, open := map[uint64]int{}, 0
		r.j.mu.Lock()
		for _, x := range r.j.tracks {
			switch x.Kind {
			case device.Begin:
				ids[x.Face.ID]++
				open++
			case device.End:
				open--
			}
		}
		if len(ids) != 2 || ids[1] != 1 || ids[2] != 1 || open != 1 {
			t.Errorf("tracks %v, %d open: want one before the hang, which ended, and one after", ids, open)
		}
		seq := uint64(0)
		for _, x := range r.j.readings[n:] {
			if x.Seq < seq {
				t.Errorf("frame %d after %d: the old model's answer was told", x.Seq, seq)
			}
			seq = x.Seq
		}
		r.j.mu.Unlock()
		r.stop()
	})
}

// A model that hangs however often it is opened ends the run with the lines
// safe, so that the process starts again; meanwhile no watchdog is fed.
func TestHungForGood(t *testing.T) {
	for name, renew := range map[string]bool{"renewed": true, "nobody renews": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var all []*stuck
				build := func() (*device.Pipeline, error) {
					m := newStuck(r.model, 50)
					all = append(all, m)
					return r.pipeline(t, m), nil
				}
				p, _ := build()
				o := device.SupervisorOptions{}
				if renew {
					o.Renew = build
				}
				s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil }, p, r.out, o)
				ctx, cancel := context.WithCancel(t.Context())
				lines := started(func() error { return r.out.Run(ctx) })
				ended := started(func() error { return s.Run(ctx) })
				if err := <-ended; !errors.Is(err, device.ErrHung) || !strings.Contains(err.Error(), "reading a frame takes longer than 10s") {
					t.Errorf("the run ends with %v", err)
				}
				time.Sleep(2 * time.Second)
				if r.sim.Level("P_ready") != 0 || r.sim.Level("P_face") != 1 || r.sim.Level("P_is_happy") != 0 {
					t.Errorf("lines %v", r.j.lines())
				}
				if want := map[bool]int{true: 3, false: 1}[renew]; len(all) != want {
					t.Errorf("the model was opened %d times, want %d", len(all), want)
				}
				cancel()
				if err := <-lines; err != nil {
					t.Error(err)
				}
				for _, m := range all {
					close(m.free)
				}
			})
		})
	}
}

func started(f func() error) chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

// deaf is a camera that hangs and does not hear that it is to stop.
type deaf struct {
	fakeCamera
	free chan struct{}
}

func (d *deaf) Next(ctx context.Context, f *camera.Frame) error {
	if d.left == 0 {
		<-d.free
		return errors.New("back")
	}
	return d.fakeCamera.Next(ctx, f)
}

// A driver that does not come back is left behind and the camera opened
// again; the third time the process has to start again.
func TestHungDriver(t *testing.T) {
	for name, last := range map[string]bool{"opened again": false, "for good": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				free, opened := make(chan struct{}), 0
				open := func(context.Context) (camera.Source, error) {
					if opened++; opened < 3 || last {
						return &deaf{fakeCamera{left: 50, seen: true}, free}, nil
					}
					return &fakeCamera{left: -1, seen: true}, nil
				}
				s := device.NewSupervisor(open, r.pipe, r.out, device.SupervisorOptions{})
				ctx, cancel := context.WithCancel(t.Context())
				lines := started(func() error { return r.out.Run(ctx) })
				ended := started(func() error { return s.Run(ctx) })
				if last {
					if err := <-ended; !errors.Is(err, device.ErrHung) || opened != 3 {
						t.Errorf("the run ends with %v after %d openings", err, opened)
					}
				} else {
					time.Sleep(2 * time.Minute)
					if h := s.Health(); !h.Ready || opened != 3 || s.Liveness().Stuck != "" {
						t.Errorf("opened %d times, %+v", opened, h)
					}
					close(free)
					time.Sleep(time.Second)
				}
				cancel()
				if !last {
					if err := <-ended; err != nil {
						t.Error(err)
					}
				} else {
					close(free)
				}
				if err := <-lines; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// While a write hangs the watchdogs hear that it does, and nobody who asks how
// the device is has to wait. It takes real time: a bubble's stands still while
// somebody waits for a lock.
func TestHungOutput(t *testing.T) {
	h := newBrittle()
	free, hung := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.fails = func(pin string, _ int) bool {
		if pin == "P_ready" {
			once.Do(func() { close(hung) })
			<-free
		}
		return false
	}
	out, err := device.NewOutputs(contract(t), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	p, err := device.NewPipeline(fakeFaces{}, &r.model, out, nil, device.PipelineOptions{Heads: []string{"emotion", "age"}})
	if err != nil {
		t.Fatal(err)
	}
	s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil }, p, out,
		device.SupervisorOptions{Hang: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	lines := started(func() error { return out.Run(ctx) })
	ended := started(func() error { return s.Run(ctx) })
	<-hung
	for s.Liveness().Stuck != "outputs" {
		time.Sleep(10 * time.Millisecond)
	}
	before := s.Liveness().Outputs
	if s.Health().Ready || len(out.Lines()) != len(allWires()) || s.Liveness().Outputs != before {
		t.Errorf("%+v, %d lines, %+v", s.Health(), len(out.Lines()), s.Liveness())
	}
	close(free)
	for s.Liveness().Stuck != "" || s.Liveness().Outputs <= before || !s.Health().Ready {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := errors.Join(<-ended, <-lines); err != nil {
		t.Error(err)
	}
}

// A camera that is away is no hang: the watchdogs are fed, for ten minutes and
// more, and the state says what is wrong.
func TestCameraAwayIsNoHang(t *testing.T) {
	for name, open := range map[string]func(context.Context) (camera.Source, error){
		"not there": func(context.Context) (camera.Source, error) { return nil, errors.New("no such device") },
		"silent":    func(context.Context) (camera.Source, error) { return &fakeCamera{hang: true}, nil },
		"ends":      func(context.Context) (camera.Source, error) { return &fakeCamera{left: 3, err: io.EOF}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				s := device.NewSupervisor(open, r.pipe, r.out, device.SupervisorOptions{})
				r.start(t, s)
				if n := fed(s, 120); n != 120 {
					t.Errorf("fed %d times of 120", n)
				}
				if h := s.Health(); name != "ends" && (h.State != signal.NoCamera || h.Ready) {
					t.Errorf("%+v", h)
				}
				r.stop()
			})
		})
	}
}

// A pipeline that takes the place of another follows the same faces: no track
// ends or begins, no line moves.
func TestReplaceKeepsTracks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil }, r.pipe, r.out, device.SupervisorOptions{})
		r.start(t, s)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		lines, tracks := len(r.j.lines()), len(r.j.tracks)
		reload := func(heads ...string) {
			t.Helper()
			err := s.Replace(func(old *device.Pipeline) (*device.Pipeline, error) {
				if err := r.out.Replace(contract(t)); err != nil {
					return nil, err
				}
				return device.NewPipeline(fakeFaces{}, &r.model, r.out, &r.j, device.PipelineOptions{Heads: heads, After: old.Last()})
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
		}
		for range 20 {
			reload("age", "emotion")
		}
		if got := r.j.lines()[lines:]; len(got) != 0 || len(r.j.tracks) != tracks {
			t.Errorf("reloads that change nothing: lines %v, tracks %+v", got, r.j.tracks[tracks:])
		}
		reload("emotion")
		time.Sleep(time.Second)
		synctest.Wait()
		last := r.j.readings[len(r.j.readings)-1]
		if f := last.SubjectFace(); len(r.j.lines()) != lines || f == nil || f.ID != 1 || f.Head("emotion").Label != "happy" || f.Head("age") != nil {
			t.Errorf("a head fewer: lines %v, face %+v", r.j.lines()[lines:], f)
		}
		reload("emotion", "age")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		last = r.j.readings[len(r.j.readings)-1]
		if f := last.SubjectFace(); len(r.j.lines()) != lines || f == nil || f.ID != 1 || f.Head("age").Uncertain {
			t.Errorf("a head more: lines %v, face %+v", r.j.lines()[lines:], f)
		}
		for _, x := range r.j.tracks[tracks:] {
			if x.Kind != device.Update {
				t.Errorf("track %s of %d", x.Kind, x.Face.ID)
			}
		}
		r.stop()
	})
}
