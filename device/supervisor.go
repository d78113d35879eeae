package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"mien/camera"
	"mien/device/signal"
)

// SupervisorOptions say how patient to be. Zero means the default.
type SupervisorOptions struct {
	FirstRetry, LastRetry time.Duration // waits between attempts to open the camera: 250 ms, doubling to 10 s
	Silence               time.Duration // a camera that gives no frame this long is closed and opened again (3 s)
	MaxRate               float64       // readings a second at most; 0 means as many as there are frames
	Once                  bool          // the source is a recording: its end ends Run, and a fault of it too; else it is opened again
	NeedConsent           bool          // blind until Consent(true)
	Note                  func(string)  // is told of what goes wrong with the camera, for the log; may be nil
}

func (o SupervisorOptions) defaults() SupervisorOptions {
	if o.FirstRetry <= 0 {
		o.FirstRetry = 250 * time.Millisecond
	}
	if o.LastRetry <= 0 {
		o.LastRetry = 10 * time.Second
	}
	if o.Silence <= 0 {
		o.Silence = 3 * time.Second
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	return o
}

// Supervisor keeps a camera running and its frames going through a pipeline.
// It owns restart and back-off: sources only ever return errors.
type Supervisor struct {
	o     SupervisorOptions
	open  func(context.Context) (camera.Source, error)
	out   *Outputs
	latch *camera.Latch

	turn     sync.Mutex // held while a frame is read
	pipeline *Pipeline

	mu       sync.Mutex // guards what follows
	trouble  string
	read     [32]time.Time // times of the last readings
	started  time.Time
	throttle string

	every    atomic.Int64 // least time between two readings, nanoseconds
	consent  atomic.Bool
	forget   atomic.Bool   // consent was taken back
	gone     atomic.Bool   // the camera was lost: frames from before are old news
	frames   atomic.Uint64 // from the camera
	readings atomic.Uint64
	restarts atomic.Uint64
	blind    atomic.Uint64 // frames thrown away unseen for want of consent
}

// NewSupervisor returns a supervisor of the camera that open opens.
func NewSupervisor(open func(context.Context) (camera.Source, error), p *Pipeline, out *Outputs, o SupervisorOptions) *Supervisor {
	s := &Supervisor{o: o.defaults(), open: open, out: out, latch: camera.NewLatch(), pipeline: p, started: time.Now(),
		trouble: "starting"}
	s.consent.Store(!o.NeedConsent)
	s.SetRate(o.MaxRate, "")
	return s
}

// SetRate bounds the readings a second and says why; 0 lifts the bound.
func (s *Supervisor) SetRate(rate float64, why string) {
	every := time.Duration(0)
	if rate > 0 {
		every = time.Duration(float64(time.Second) / rate)
	}
	s.every.Store(int64(every))
	s.mu.Lock()
	s.throttle = why
	s.mu.Unlock()
}

// Consent gives or takes consent. Without it frames are thrown away unseen.
func (s *Supervisor) Consent(given bool) {
	if s.o.NeedConsent && s.consent.Swap(given) != given && !given {
		s.forget.Store(true)
	}
}

// Replace calls change with the present pipeline between two frames, and puts
// the pipeline that it returns in its place. The tracks of the one before end.
func (s *Supervisor) Replace(change func(*Pipeline) (*Pipeline, error)) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	p, err := change(s.pipeline)
	if err != nil {
		return err
	}
	if p != s.pipeline {
		s.pipeline.Forget(time.Now())
		s.pipeline = p
	}
	return nil
}

// Frames returns how many frames the camera has given: a watchdog is fed
// while it grows.
func (s *Supervisor) Frames() uint64 { return s.frames.Load() }

// Health returns what the supervisor knows; the rest is for the caller to
// fill in.
func (s *Supervisor) Health() Health {
	h := Health{Started: s.started, Frames: s.readings.Load(), Dropped: s.latch.Dropped(), Restarts: s.restarts.Load(),
		Consent: "not needed"}
	if s.o.NeedConsent {
		h.Consent = "awaited"
		if s.consent.Load() {
			h.Consent = "given"
		}
	}
	s.mu.Lock()
	h.FrameRate, h.Throttled, h.Reason = s.rate(time.Now()), s.throttle, s.trouble
	s.mu.Unlock()
	if s.out != nil {
		var why string
		if h.Ready, why = s.out.Ready(); why != "" && h.Reason == "" {
			h.Reason = why
		}
	}
	if h.Reason == "" {
		h.Reason = "frames flow"
	}
	return h
}

// rate is the readings a second over those that are younger than five.
func (s *Supervisor) rate(now time.Time) float64 {
	n, oldest := 0, now
	for _, t := range s.read {
		if now.Sub(t) < 5*time.Second {
			n++
			if t.Before(oldest) {
				oldest = t
			}
		}
	}
	if n < 2 {
		return 0
	}
	return float64(n-1) / max(now.Sub(oldest).Seconds(), 1e-3)
}

// Run works until ctx ends, a recording ends (Options.Once), or the pipeline
// fails for good.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { s.capture(ctx) })
	err := s.process(ctx)
	cancel()
	wait.Wait()
	if s.out != nil {
		s.out.Fault(time.Now(), "stopped")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// process is the pipeline's goroutine.
func (s *Supervisor) process(ctx context.Context) error {
	var f camera.Frame
	pace := time.NewTimer(0)
	defer pace.Stop()
	for {
		start := time.Now()
		if err := s.latch.Take(ctx, &f); err != nil {
			return err
		}
		if err := s.one(&f); err != nil {
			if s.out != nil {
				s.out.Fault(time.Now(), "pipeline failed")
			}
			return err
		}
		if rest := time.Duration(s.every.Load()) - time.Since(start); rest > 0 {
			pace.Reset(rest)
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
		}
	}
}

// caught turns a panic into an error, so that the lines get to their safe
// level before the program ends.
func caught(err *error, doing string) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("device: %s: %v\n%s", doing, r, debug.Stack())
	}
}

// one reads one frame, or throws it away unseen.
func (s *Supervisor) one(f *camera.Frame) (err error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	defer caught(&err, "reading a frame")
	if s.gone.Load() {
		return nil
	}
	p := s.pipeline
	if s.forget.Swap(false) {
		p.Forget(time.Now())
	}
	if !s.consent.Load() {
		clear(f.Pix)
		s.blind.Add(1)
		if s.out != nil {
			s.out.Update(time.Now(), signal.Seen{})
		}
		return nil
	}
	if _, err := p.Process(f); err != nil {
		return err
	}
	n := s.readings.Add(1)
	s.mu.Lock()
	s.read[n%uint64(len(s.read))] = time.Now()
	s.mu.Unlock()
	return nil
}

// capture is the camera's goroutine: open, read, lose, wait, open.
func (s *Supervisor) capture(ctx context.Context) {
	wait := s.o.FirstRetry
	for ctx.Err() == nil {
		got, err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.o.Once { // a recording does not come back
			s.latch.Close(err)
			return
		}
		if got {
			wait = s.o.FirstRetry
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("the camera ended")
		}
		s.lost(fmt.Sprintf("%v; trying again in %v", err, wait))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, s.o.LastRetry)
		s.restarts.Add(1)
	}
}

func (s *Supervisor) lost(why string) {
	s.mu.Lock()
	s.trouble = why
	s.mu.Unlock()
	if s.out != nil {
		s.out.Fault(time.Now(), "camera lost")
	}
	// Nobody is in view of a camera that is not there: say so now, not when it
	// is back.
	s.gone.Store(true)
	s.turn.Lock()
	s.pipeline.Forget(time.Now())
	s.turn.Unlock()
	s.o.Note(why)
}

// session opens the camera and reads it until it is lost; got says whether
// there was a frame.
func (s *Supervisor) session(ctx context.Context) (got bool, err error) {
	defer caught(&err, "reading the camera")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A driver may hang without an error. Cancelling makes Next return.
	// The first frame may take longer: a sensor has to start.
	silent := time.AfterFunc(max(s.o.Silence, 10*time.Second), func() { cancel(fmt.Errorf("camera: no frame for too long")) })
	defer silent.Stop()
	src, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	var f camera.Frame
	for {
		if err := src.Next(ctx, &f); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return got, err
		}
		silent.Reset(s.o.Silence)
		if !got {
			got = true
			s.gone.Store(false)
			s.mu.Lock()
			s.trouble = ""
			s.mu.Unlock()
		}
		s.frames.Add(1)
		if s.out != nil {
			s.out.Frame(time.Now())
		}
		s.latch.Put(&f)
	}
}
