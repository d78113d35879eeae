package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mien/device"
	"mien/device/signal"
)

// part is something that the firmware can do without: the page, the broker, a
// display. One that cannot be opened, or fails, is out of order, which log,
// page and metrics say; it is tried again while everything else goes on.
type part struct {
	name string // as the page and the metrics call it
	log  *slog.Logger

	mu      sync.Mutex
	problem string
}

// note says that the part is out of order, or with nil that it works.
func (p *part) note(err error) {
	p.mu.Lock()
	was := p.problem
	p.problem = ""
	if err != nil {
		p.problem = err.Error()
	}
	p.mu.Unlock()
	switch {
	case err != nil:
		p.log.Warn(p.name+" is out of order; the rest goes on", "error", err)
	case was != "":
		p.log.InfoContext(relief(context.Background()), p.name+" works again")
	}
}

func (p *part) health() device.PartHealth {
	p.mu.Lock()
	defer p.mu.Unlock()
	return device.PartHealth{Name: p.name, Problem: p.problem}
}

// running is what an opened part does until ctx ends. It gives back what was
// opened, also when ctx has ended before it begins.
type running func(ctx context.Context) error

// The waits between two attempts to open a part, the first doubling to the
// last.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// keep runs a part until ctx ends, and opens it again whenever it has failed.
// run is the part as it was opened first, nil when that has failed.
func (p *part) keep(ctx context.Context, run running, open func() (running, error)) {
	wait := firstRetry
	for ctx.Err() == nil {
		if run != nil {
			p.note(nil)
			begun := time.Now()
			err := run(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("it ended by itself")
			}
			p.note(err)
			if time.Since(begun) > lastRetry {
				wait = firstRetry
			}
		}
		if !every(ctx, wait) {
			return
		}
		wait = min(2*wait, lastRetry)
		var err error
		if run, err = open(); err != nil {
			run = nil
			p.note(err)
		}
	}
	if run != nil {
		_ = run(ctx) // which has ended: only gives back
	}
}

// late is an observer that is there from the start, for one that may come
// later. What happens before is not kept.
type late struct {
	to atomic.Pointer[device.Observer]
}

func (l *late) set(o device.Observer) { l.to.Store(&o) }

// Reading implements device.Observer.
func (l *late) Reading(r *device.Reading) {
	if o := l.to.Load(); o != nil {
		(*o).Reading(r)
	}
}

// Track implements device.Observer.
func (l *late) Track(t *device.Track) {
	if o := l.to.Load(); o != nil {
		(*o).Track(t)
	}
}

// State implements device.StateObserver.
func (l *late) State(s device.State) {
	if o := l.to.Load(); o != nil {
		if x, ok := (*o).(device.StateObserver); ok {
			x.State(s)
		}
	}
}

// Forget implements device.Forgetter.
func (l *late) Forget() {
	if o := l.to.Load(); o != nil {
		if f, ok := (*o).(device.Forgetter); ok {
			f.Forget()
		}
	}
}

// Transition implements device.Observer.
func (l *late) Transition(t signal.Transition) {
	if o := l.to.Load(); o != nil {
		(*o).Transition(t)
	}
}
