package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mien/device/signal"
)

// Pin is one line of a GPIO chip, claimed as an output.
type Pin interface {
	Write(level int) error
	Close() error // gives the line back
}

// Header is where pins come from: package pins has a real one and a simulated
// one.
type Header interface {
	// Open claims a line by name as an output that carries level from its
	// first moment on, without a glitch.
	Open(name string, level int) (Pin, error)
}

// Outputs drives the pins of a header as the contract says. Its methods may
// be called from any goroutine; Run has to be running for lines to move
// between frames.
type Outputs struct {
	mu      sync.Mutex
	machine *signal.Machine
	header  Header
	pins    map[string]Pin
	to      func(signal.Transition)
	wake    chan struct{}
	err     error  // the last failure to write, nil once that pin has been written again
	broken  string // the pin of err
}

// NewOutputs claims the machine's pins, all at their safe level. to is told
// every transition after its pin was written; it may be nil.
func NewOutputs(m *signal.Machine, h Header, to func(signal.Transition)) (*Outputs, error) {
	o := &Outputs{machine: m, header: h, pins: map[string]Pin{}, to: to, wake: make(chan struct{}, 1)}
	if o.to == nil {
		o.to = func(signal.Transition) {}
	}
	if err := o.claim(m.Snapshot(nil)); err != nil {
		return nil, errors.Join(err, o.release(nil))
	}
	return o, nil
}

// claim opens the pins of lines that are not open yet.
func (o *Outputs) claim(lines []signal.Line) error {
	for _, l := range lines {
		if o.pins[l.Pin] != nil {
			continue
		}
		p, err := o.header.Open(l.Pin, l.Level)
		if err != nil {
			return fmt.Errorf("device: line %s: %w", l.Name, err)
		}
		o.pins[l.Pin] = p
	}
	return nil
}

// release closes the pins that keep does not name.
func (o *Outputs) release(keep map[string]bool) error {
	var all []error
	for name, p := range o.pins {
		if !keep[name] {
			all = append(all, p.Close())
			delete(o.pins, name)
		}
	}
	return errors.Join(all...)
}

// Frame, Update and Fault tell the machine what happened; see signal.Machine.
func (o *Outputs) Frame(now time.Time) {
	o.do(func(m *signal.Machine) []signal.Transition { return m.Frame(now) })
}

// Update implements Lines.
func (o *Outputs) Update(now time.Time, s signal.Seen) {
	o.do(func(m *signal.Machine) []signal.Transition { return m.Update(now, s) })
}

// Fault drops ready, and says why.
func (o *Outputs) Fault(now time.Time, why string) {
	o.do(func(m *signal.Machine) []signal.Transition { return m.Fault(now, why) })
}

func (o *Outputs) do(f func(*signal.Machine) []signal.Transition) {
	o.mu.Lock()
	before := o.machine.Next()
	o.write(f(o.machine))
	next := o.machine.Next()
	o.mu.Unlock()
	if !next.Equal(before) {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// write puts transitions on the pins, in order. A pin that fails does not
// keep the others from their level.
func (o *Outputs) write(ts []signal.Transition) {
	for _, t := range ts {
		if p := o.pins[t.Pin]; p != nil {
			if err := p.Write(t.Level); err != nil {
				o.err, o.broken = err, t.Pin
			} else if o.broken == t.Pin {
				o.err, o.broken = nil, ""
			}
		}
	}
	if len(ts) > 0 {
		o.machine.Written(time.Now())
	}
	for _, t := range ts {
		o.to(t)
	}
}

// Run moves the lines that are due between frames, until ctx ends. Then it
// takes every line to its safe level in the contract's order, as far as that
// takes no longer than two seconds, and gives the pins back.
func (o *Outputs) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		o.tick(timer)
		select {
		case <-ctx.Done():
			return o.end()
		case <-o.wake:
		case <-timer.C:
		}
	}
}

func (o *Outputs) tick(timer *time.Timer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.write(o.machine.Tick(time.Now()))
	if next := o.machine.Next(); !next.IsZero() {
		timer.Reset(time.Until(next))
	} else {
		timer.Reset(time.Hour)
	}
}

// end is Run's last act.
func (o *Outputs) end() error {
	limit := time.Now().Add(2 * time.Second)
	o.do(func(m *signal.Machine) []signal.Transition { return m.Close(time.Now()) })
	for {
		o.mu.Lock()
		safe, next := o.machine.Safe(), o.machine.Next()
		o.mu.Unlock()
		if safe || next.IsZero() || next.After(limit) {
			break
		}
		time.Sleep(time.Until(next))
		o.do(func(m *signal.Machine) []signal.Transition { return m.Tick(time.Now()) })
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.machine.Snapshot(nil) { // what two seconds were too short for
		if p := o.pins[l.Pin]; l.Active && p != nil {
			o.err = p.Write(1 - l.Level)
		}
	}
	return errors.Join(o.err, o.release(nil))
}

// Replace puts another machine in the place of the present one: it takes over
// the state, so that lines which both have do not move. When a pin cannot be
// had nothing changes.
func (o *Outputs) Replace(m *signal.Machine) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	m.Adopt(o.machine)
	after := m.Snapshot(nil)
	keep, had := map[string]bool{}, map[string]bool{}
	for name := range o.pins {
		had[name] = true
	}
	for _, l := range after {
		keep[l.Pin] = true
	}
	if err := o.claim(after); err != nil {
		return errors.Join(err, o.release(had))
	}
	for _, l := range o.machine.Snapshot(nil) { // lines that go: to their safe level first
		if p := o.pins[l.Pin]; !keep[l.Pin] && l.Active {
			o.err = p.Write(1 - l.Level)
		}
	}
	for _, l := range after {
		o.err = errors.Join(o.err, o.pins[l.Pin].Write(l.Level))
	}
	o.machine = m
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return errors.Join(o.err, o.release(keep))
}

// Ready reports the line ready, and what is wrong while it is not active.
func (o *Outputs) Ready() (bool, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	on, why := o.machine.Ready()
	if o.err != nil {
		return on, o.err.Error()
	}
	return on, why
}

// Lines returns the wired lines as they stand.
func (o *Outputs) Lines() []signal.Line {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.machine.Snapshot(nil)
}
