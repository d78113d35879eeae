package display

import (
	"context"
	"sync"
	"time"

	"mien/device"
	"mien/device/internal/retry"
	"mien/device/signal"
)

// Part shows one reading. It serves one goroutine.
type Part interface {
	// Show shows a reading; nil means that nothing is being read.
	Show(*device.Reading) error
	Close() error // dark, and the bus given back
}

// Teller is a Part that can say why nothing is read. It is told before Show.
type Teller interface {
	Tell(device.State)
}

// Runner is a device.Observer that shows the newest reading on a part, on a
// goroutine of its own. It fails softly: a part that is not there, or goes
// away, is tried again every Retry while everything else goes on.
type Runner struct {
	Open  func() (Part, error)
	Note  func(error)   // is told of a failure, once until it works again; may be nil
	Works func()        // is told when it works again; may be nil
	Every time.Duration // least time between two pictures (100 ms)
	Retry time.Duration // 10 s
	Stale time.Duration // without a reading this long the last one is taken away (2 s)

	mu    sync.Mutex
	next  device.Reading
	state device.State
	fresh bool
	wake  chan struct{}
	once  sync.Once
}

func (r *Runner) signal() chan struct{} {
	r.once.Do(func() { r.wake = make(chan struct{}, 1) })
	return r.wake
}

// Reading implements device.Observer.
func (r *Runner) Reading(x *device.Reading) {
	r.mu.Lock()
	x.CopyInto(&r.next)
	r.fresh = true
	r.mu.Unlock()
	select {
	case r.signal() <- struct{}{}:
	default:
	}
}

// State implements device.StateObserver. What is not read any more is not
// shown any more, and nothing of it is kept.
func (r *Runner) State(s device.State) {
	r.mu.Lock()
	if r.state = s; !s.Ready {
		r.next, r.fresh = device.Reading{}, false
	}
	r.mu.Unlock()
	select {
	case r.signal() <- struct{}{}:
	default:
	}
}

// Track implements device.Observer.
func (r *Runner) Track(*device.Track) {}

// Transition implements device.Observer.
func (r *Runner) Transition(signal.Transition) {}

// Run shows readings until ctx ends, then leaves the part dark.
func (r *Runner) Run(ctx context.Context) {
	told := false
	works := func() {
		if told && r.Works != nil {
			r.Works()
		}
		told = false
	}
	for ctx.Err() == nil {
		part, err := r.Open()
		if err == nil {
			err = r.show(ctx, part, works)
			if e := part.Close(); err == nil {
				err = e
			}
		}
		if err != nil && !told && ctx.Err() == nil {
			told = true
			if r.Note != nil {
				r.Note(err)
			}
		}
		retry.Pause(ctx, or(r.Retry, 10*time.Second))
	}
}

// show calls works after each picture.
func (r *Runner) show(ctx context.Context, part Part, works func()) error {
	var mine device.Reading
	stale := time.NewTimer(0) // nothing is known at first
	defer stale.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-stale.C: // a lost camera must not leave an answer standing
			if err := part.Show(nil); err != nil {
				return err
			}
			works()
			continue
		case <-r.signal():
		}
		r.mu.Lock()
		fresh, state := r.fresh, r.state
		r.fresh = false
		if fresh {
			r.next.CopyInto(&mine)
		}
		r.mu.Unlock()
		if t, ok := part.(Teller); ok {
			t.Tell(state)
		}
		if !fresh && (state.Ready || state.State == "") {
			continue
		}
		if !fresh {
			mine = device.Reading{}
			if err := part.Show(nil); err != nil {
				return err
			}
			continue
		}
		if err := part.Show(&mine); err != nil {
			return err
		}
		works()
		stale.Reset(or(r.Stale, 2*time.Second))
		retry.Pause(ctx, or(r.Every, 100*time.Millisecond))
	}
}

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
