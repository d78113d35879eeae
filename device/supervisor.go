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
	Hang                  time.Duration // a stage that works on one thing this long hangs (10 s)
	MaxRate               float64       // readings a second at most; 0 means as many as there are frames
	Once                  bool          // the source is a recording: its end ends Run, and a fault of it too; else it is opened again
	NeedConsent           bool          // blind until Consent(true)
	// Unable says why there is no pipeline, if there is none: signal.NoModel or
	// signal.NoHead, and what is wrong in particular.
	Unable    signal.State
	UnableWhy string
	// Renew makes a pipeline with a model of its own, to take the place of one
	// that hangs. Nil: a hang ends Run.
	Renew func() (*Pipeline, error)
	Note  func(string) // is told of what goes wrong with the camera, for the log; may be nil
	Hung  func(string) // is told of a stage that hangs and is started again; may be nil
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
	if o.Hang <= 0 {
		o.Hang = 10 * time.Second
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Hung == nil {
		o.Hung = func(string) {}
	}
	return o
}

// ErrHung is what Run ends with when a stage hangs that starting it again did
// not mend: the process has to be started again.
var ErrHung = errors.New("a stage hangs for good: the process has to start again")

// mostHangs is how many hangs of a stage within hangWindow are answered by
// starting it again.
const (
	mostHangs  = 2
	hangWindow = 10 * time.Minute
	leave      = 3 * time.Second // how long Run waits at its end for what may hang
)

// Supervisor keeps a camera running and its frames going through a pipeline.
// It owns restart and back-off: sources only ever return errors. A stage that
// hangs is given up and started again: the camera, or the pipeline with its
// model. What it does about reading is a signal.State; Outputs has it.
type Supervisor struct {
	o     SupervisorOptions
	open  func(context.Context) (camera.Source, error)
	out   *Outputs
	latch *camera.Latch

	mu       sync.Mutex // guards what follows
	worker   *worker
	unable   State         // why there is no pipeline
	read     [32]time.Time // times of the last readings
	started  time.Time
	throttle string
	dropped  camera.Dropped // pictures that sources before the present one did not give
	source   camera.Dropper // the present one; nil where it drops none

	every    atomic.Int64 // least time between two readings, nanoseconds; below 0: none is made
	consent  atomic.Bool
	gone     atomic.Bool   // the camera was lost: frames from before are old news
	frames   atomic.Uint64 // from the camera
	readings atomic.Uint64
	done     atomic.Uint64 // frames dealt with: read, or thrown away unseen
	restarts atomic.Uint64
	renewals atomic.Uint64
	stuck    atomic.Int64 // since when the camera does not come back from a call; 0: it does
}

// worker reads frames, one at a time, until it is given up.
type worker struct {
	pipeline *Pipeline     // nil: there is nothing to read with
	turn     chan struct{} // holds a token while a frame is read, or the pipeline changed
	dead     chan struct{} // closed when given up
	forget   atomic.Bool   // what was seen is to be forgotten before the next frame
	since    atomic.Int64  // when the frame at hand was begun; 0 while there is none
	ended    chan error
}

func newWorker(p *Pipeline) *worker {
	return &worker{pipeline: p, turn: make(chan struct{}, 1), dead: make(chan struct{}), ended: make(chan error, 1)}
}

// lock takes the worker's turn; false when it has been given up.
func (w *worker) lock() bool {
	select {
	case <-w.dead:
		return false
	default:
	}
	select {
	case w.turn <- struct{}{}:
		return true
	case <-w.dead:
		return false
	}
}

func (w *worker) unlock() { <-w.turn }

// NewSupervisor returns a supervisor of the camera that open opens. Without a
// pipeline it is blind, as Unable says.
func NewSupervisor(open func(context.Context) (camera.Source, error), p *Pipeline, out *Outputs, o SupervisorOptions) *Supervisor {
	s := &Supervisor{o: o.defaults(), open: open, out: out, latch: camera.NewLatch(), worker: newWorker(p), started: time.Now(),
		unable: State{State: o.Unable, Reason: o.UnableWhy}}
	s.consent.Store(!o.NeedConsent)
	s.SetRate(o.MaxRate, "")
	return s
}

// SetRate bounds the readings a second and says why; 0 lifts the bound, below
// 0 nothing is read at all.
func (s *Supervisor) SetRate(rate float64, why string) {
	every := time.Duration(0)
	switch {
	case rate > 0:
		every = time.Duration(float64(time.Second) / rate)
	case rate < 0:
		every = -1
	}
	s.mu.Lock()
	s.throttle = why
	s.mu.Unlock()
	s.every.Store(int64(every))
	if why, ok := s.blind(); ok {
		s.silence(func(p *Pipeline) { p.Silence(time.Now(), true) })
		s.out.Blind(time.Now(), why.State, why.Reason)
	}
}

// Consent gives or takes consent. Without it frames are thrown away unseen.
// When it returns after taking it nobody will be told of anything seen before,
// and observers have been told that nobody is there.
func (s *Supervisor) Consent(given bool) {
	if !s.o.NeedConsent || s.consent.Swap(given) == given || given {
		return
	}
	s.latch.Wipe()
	s.silence(func(p *Pipeline) { p.Withdraw(time.Now()) })
	why, _ := s.blind()
	s.out.Blind(time.Now(), why.State, why.Reason)
}

// silence has the present worker forget what was seen, before its next frame,
// and tells observers at once, by one of Pipeline's Silence and Withdraw.
func (s *Supervisor) silence(tell func(*Pipeline)) {
	s.mu.Lock()
	w := s.worker
	p := w.pipeline
	s.mu.Unlock()
	w.forget.Store(true)
	if p != nil {
		tell(p)
	}
}

func (s *Supervisor) present() *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.worker
}

// blind says why frames are thrown away unseen, if they are.
func (s *Supervisor) blind() (State, bool) {
	s.mu.Lock()
	unable, throttle := State{}, s.throttle
	if s.worker.pipeline == nil {
		if unable = s.unable; unable.State == "" {
			unable.State = signal.NoHead
		}
	}
	s.mu.Unlock()
	why := func(st signal.State, words string) (State, bool) {
		if words == "" {
			words = st.Meaning().Text
		}
		return State{State: st, Reason: words}, true
	}
	switch {
	case unable.State != "":
		return why(unable.State, unable.Reason)
	case !s.consent.Load():
		return why(signal.NoConsent, "")
	case s.every.Load() < 0:
		return why(signal.Held, throttle)
	}
	return State{}, false
}

// Replace calls change with the present pipeline between two frames, and puts
// the pipeline that it returns in its place, which takes over the faces that
// the one before follows.
func (s *Supervisor) Replace(change func(*Pipeline) (*Pipeline, error)) error {
	w := s.present()
	for !w.lock() {
		w = s.present()
	}
	defer w.unlock()
	p, err := change(w.pipeline)
	if err != nil {
		return err
	}
	if p == w.pipeline {
		return nil
	}
	if p == nil {
		w.pipeline.Forget(time.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil && w.pipeline != nil {
		p.Adopt(w.pipeline)
	}
	w.pipeline = p
	return nil
}

// Unable says why there is no pipeline, for the time after Replace has taken
// it away.
func (s *Supervisor) Unable(why State) {
	s.mu.Lock()
	s.unable = why
	s.mu.Unlock()
}

// Frames returns how many frames the camera has given.
func (s *Supervisor) Frames() uint64 { return s.frames.Load() }

// Idle reports whether the model is not at work, so that it can be closed.
func (s *Supervisor) Idle() bool { return s == nil || s.present().since.Load() == 0 }

// Liveness says how far frames get: each count grows while its stage works.
// Stages come in the order of the way of a frame.
type Liveness struct {
	Frames   uint64 // given by the camera
	Readings uint64 // dealt with: read, or thrown away unseen
	Outputs  uint64 // pieces of work done on the lines; these grow without a camera too
	Stuck    string // the stage that hangs: "frames", "readings" or "outputs"; empty while none does
}

// Liveness is for watchdogs: feed them while Outputs, the last stage, grows
// and nothing is stuck. A camera that is away is no hang.
func (s *Supervisor) Liveness() Liveness {
	n, busy := s.out.Turns()
	l := Liveness{Frames: s.frames.Load(), Readings: s.done.Load(), Outputs: n}
	now := time.Now()
	long := func(at int64) bool { return at != 0 && now.Sub(time.Unix(0, at)) >= s.o.Hang }
	switch {
	case !busy.IsZero() && now.Sub(busy) >= s.o.Hang:
		l.Stuck = "outputs"
	case long(s.present().since.Load()):
		l.Stuck = "readings"
	case s.stuck.Load() != 0:
		l.Stuck = "frames"
	}
	return l
}

// Health returns what the supervisor knows; the rest is for the caller to
// fill in.
func (s *Supervisor) Health() Health {
	h := Health{Started: s.started, Frames: s.readings.Load(), Captured: s.frames.Load(), Dropped: s.latch.Dropped(), Restarts: s.restarts.Load(),
		Renewals: s.renewals.Load(), Consent: "not needed"}
	if s.o.NeedConsent {
		h.Consent = "awaited"
		if s.consent.Load() {
			h.Consent = "given"
		}
	}
	s.mu.Lock()
	h.FrameRate, h.Throttled = s.rate(time.Now()), s.throttle
	bad := s.dropped
	if s.source != nil {
		bad.Merge(s.source.Dropped())
	}
	s.mu.Unlock()
	is := s.out.State()
	h.Bad = badPictures(bad)
	h.State, h.Ready, h.Reason = is.State, is.Ready, is.Reason
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

// Run works until ctx ends, a recording ends (Options.Once), the pipeline
// fails for good, or a stage hangs for good. It does not wait for what hangs.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := make(chan error, 1)
	go func() { seen <- s.capture(ctx) }()
	err := s.supervise(ctx, seen)
	cancel()
	s.out.Blind(time.Now(), signal.Stopped, "stopped")
	patience := time.After(leave)
	for _, c := range []chan error{s.present().ended, seen} {
		select {
		case <-c:
		case <-patience:
			patience = time.After(0)
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// supervise starts the worker, and again when it hangs.
func (s *Supervisor) supervise(ctx context.Context, camera chan error) error {
	w := s.present()
	start := func(w *worker) { go func() { w.ended <- s.process(ctx, w) }() }
	start(w)
	look := time.NewTicker(max(s.o.Hang/10, 10*time.Millisecond))
	defer look.Stop()
	var hangs []time.Time
	for {
		select {
		case err := <-w.ended:
			w.ended <- err // for Run, which waits for it
			return err
		case err := <-camera:
			camera <- err
			if err != nil {
				return err
			}
			camera = nil // a recording has ended: the worker reads its last frame
			continue
		case now := <-look.C:
			at := w.since.Load()
			if at == 0 || now.Sub(time.Unix(0, at)) < s.o.Hang {
				continue
			}
			if hangs = append(hangs, now); s.o.Renew == nil || len(hangs) > mostHangs && now.Sub(hangs[len(hangs)-1-mostHangs]) < hangWindow {
				s.out.Blind(now, signal.Hung, "reading a frame takes too long")
				return fmt.Errorf("device: reading a frame takes longer than %v: %w", s.o.Hang, ErrHung)
			}
		}
		next, err := s.renew(w)
		if err != nil {
			return err
		}
		w = next
		start(w)
	}
}

// renew gives a worker up and returns the one that takes its place.
func (s *Supervisor) renew(w *worker) (*worker, error) {
	s.o.Hung(fmt.Sprintf("reading a frame takes longer than %v: the model is opened anew", s.o.Hang))
	s.out.Blind(time.Now(), signal.Hung, "reading a frame takes too long; the model is opened anew")
	close(w.dead)
	s.silence(func(p *Pipeline) { p.Silence(time.Now(), false) })
	type made struct {
		p   *Pipeline
		err error
	}
	c := make(chan made, 1)
	go func() {
		p, err := s.o.Renew()
		c <- made{p, err}
	}()
	select {
	case m := <-c:
		if m.err != nil {
			return nil, fmt.Errorf("device: open the model anew: %w", m.err)
		}
		next := newWorker(m.p)
		s.mu.Lock()
		m.p.o.After = w.pipeline.given() // ids are never used twice
		s.worker = next
		s.mu.Unlock()
		s.renewals.Add(1)
		return next, nil
	case <-time.After(s.o.Hang):
		return nil, fmt.Errorf("device: opening the model anew takes longer than %v: %w", s.o.Hang, ErrHung)
	}
}

// process is a worker's goroutine.
func (s *Supervisor) process(ctx context.Context, w *worker) error {
	var f camera.Frame
	defer func() { clear(f.Pix[:cap(f.Pix)]) }()
	pace := time.NewTimer(0)
	defer pace.Stop()
	for {
		start := time.Now()
		if err := s.latch.Take(ctx, &f); err != nil {
			return err
		}
		err := s.one(w, &f)
		select {
		case <-w.dead:
			return nil
		default:
		}
		if err != nil {
			s.out.Blind(time.Now(), signal.Stopped, "pipeline failed")
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

// one reads one frame, or throws it away unseen. Where consent is needed no
// picture outlives its reading.
func (s *Supervisor) one(w *worker, f *camera.Frame) (err error) {
	w.since.Store(time.Now().UnixNano())
	if !w.lock() {
		return nil
	}
	defer w.unlock()
	defer caught(&err, "reading a frame")
	defer w.since.Store(0)
	defer s.done.Add(1)
	if s.o.NeedConsent {
		defer func() { clear(f.Pix[:cap(f.Pix)]) }()
	}
	if s.gone.Load() {
		return nil
	}
	p := w.pipeline
	turn := uint64(0)
	if p != nil {
		turn = p.turn.Load()
		if w.forget.Swap(false) {
			p.Forget(time.Now())
			turn = p.turn.Load()
		}
	}
	if why, ok := s.blind(); ok {
		clear(f.Pix)
		s.out.Blind(time.Now(), why.State, why.Reason)
		return nil
	}
	if _, err := p.process(f, turn); err != nil {
		if errors.Is(err, errSilenced) {
			return nil
		}
		return err
	}
	n := s.readings.Add(1)
	s.mu.Lock()
	s.read[n%uint64(len(s.read))] = time.Now()
	s.mu.Unlock()
	return nil
}

// capture is the camera's goroutine: open, read, lose, wait, open.
func (s *Supervisor) capture(ctx context.Context) error {
	wait := s.o.FirstRetry
	var hangs []time.Time
	for ctx.Err() == nil {
		got, err := s.attempt(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.o.Once { // a recording does not come back
			s.latch.Close(err)
			return nil
		}
		if got {
			wait = s.o.FirstRetry
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("the camera ended")
		}
		if errors.Is(err, errStuck) {
			if hangs = append(hangs, time.Now()); len(hangs) > mostHangs && time.Since(hangs[len(hangs)-1-mostHangs]) < hangWindow {
				s.stuck.CompareAndSwap(0, time.Now().UnixNano())
				return fmt.Errorf("%w: %w", err, ErrHung)
			}
			s.o.Hung(err.Error())
		}
		s.lost(fmt.Sprintf("%v; trying again in %v", err, wait))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, s.o.LastRetry)
		s.restarts.Add(1)
	}
	return nil
}

// lost says that the camera is lost. Nobody is in view of a camera that is not
// there: observers hear so now, not when it is back.
func (s *Supervisor) lost(why string) {
	s.out.Fault(time.Now(), why)
	s.gone.Store(true)
	s.silence(func(p *Pipeline) { p.Silence(time.Now(), false) })
	s.o.Note(why)
}

// errSilent is why a session ends whose camera gives no frame.
var errSilent = errors.New("no frame for too long")

// watch has Health count what src drops beside what sources before it have
// dropped. The function that it returns is for the end of src.
func (s *Supervisor) watch(src camera.Source) (end func()) {
	d, ok := src.(camera.Dropper)
	if !ok {
		return func() {}
	}
	s.mu.Lock()
	s.source = d
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropped.Merge(d.Dropped())
		s.source = nil
	}
}

var errStuck = errors.New("the camera's driver does not come back")

// attempt is one session with the camera, on a goroutine of its own: one that
// does not end though it was told to is left behind.
func (s *Supervisor) attempt(ctx context.Context) (got bool, err error) {
	x := &session{s: s, over: make(chan struct{}), stuck: make(chan struct{})}
	go func() {
		defer close(x.over)
		x.got, x.err = x.run(ctx)
	}()
	select {
	case <-x.over:
	case <-x.stuck:
		return false, errStuck
	}
	return x.got, x.err
}

// session is one opening of the camera.
type session struct {
	s           *Supervisor
	over, stuck chan struct{}
	got         bool
	err         error
}

// dead reports whether the session was left behind.
func (x *session) dead() bool {
	select {
	case <-x.stuck:
		return true
	default:
		return false
	}
}

// run opens the camera and reads it until it is lost; got says whether there
// was a frame.
func (x *session) run(ctx context.Context) (got bool, err error) {
	s := x.s
	defer caught(&err, "reading the camera")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A driver may hang without an error. Cancelling makes Next return; and if
	// it does not, Hang later, the session is left behind. The first frame may
	// take longer: a sensor has to start; and the next ones, until it is known
	// how fast the camera is.
	var pace signal.Pace
	limit := max(s.o.Silence, 10*time.Second)
	silent := time.AfterFunc(limit, func() { cancel(errSilent) })
	defer silent.Stop()
	give := context.AfterFunc(ctx, func() {
		select {
		case <-x.over:
		case <-time.After(s.o.Hang):
			close(x.stuck)
		}
	})
	defer give()
	src, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	defer s.watch(src)()
	var f camera.Frame
	defer func() { clear(f.Pix[:cap(f.Pix)]) }()
	for {
		if err := src.Next(ctx, &f); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			if err == errSilent {
				err = camera.Silent(src, limit)
			}
			return got, err
		}
		if x.dead() {
			return got, errStuck
		}
		pace.Frame(time.Now())
		if limit = 4 * s.o.Silence; pace.Known() {
			limit = max(s.o.Silence, 3*pace.Gap())
		}
		silent.Reset(limit)
		got = true
		s.gone.Store(false)
		s.frames.Add(1)
		s.out.Frame(time.Now())
		if !s.consent.Load() {
			clear(f.Pix)
		}
		s.latch.Put(&f)
		if s.o.NeedConsent {
			clear(f.Pix[:cap(f.Pix)]) // a frame that nobody took comes back
		}
	}
}
