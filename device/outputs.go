package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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

// Outputs drives the pins of a header as the contract says: what a wire
// carries follows what is wanted. A write that fails is tried again until it
// succeeds, and while a wire does not follow ready is not active. Its methods
// may be called from any goroutine; Run has to be running for lines to move
// between frames.
type Outputs struct {
	mu      sync.Mutex
	machine *signal.Machine
	header  Header
	wires   map[string]*wire // by pin
	to      func(signal.Transition)
	state   func(State)
	wake    chan struct{}
	lines   []signal.Line // scratch of retry

	busy  atomic.Int64  // when the work at hand began, Unix nanoseconds; 0 while there is none
	turns atomic.Uint64 // pieces of work done

	shown struct { // what others may look at while a write takes its time
		sync.Mutex
		lines []signal.Line
		state State
	}
}

// wire is a claimed pin and what it carries.
type wire struct {
	Pin
	level int  // written last; unknown after a write that failed
	told  bool // the state of which observers were told last
}

const unknown = -1

// again is how long after a failed write the next is tried at the latest, and
// beat how often Run shows that it is alive.
const (
	again = 50 * time.Millisecond
	beat  = time.Second
)

// NewOutputs claims the machine's pins, all at their safe level. to is told
// every transition after its pin was written; it may be nil.
func NewOutputs(m *signal.Machine, h Header, to func(signal.Transition)) (*Outputs, error) {
	o := &Outputs{machine: m, header: h, wires: map[string]*wire{}, to: to, state: func(State) {}, wake: make(chan struct{}, 1)}
	if o.to == nil {
		o.to = func(signal.Transition) {}
	}
	if err := o.claim(m.Snapshot(nil)); err != nil {
		return nil, errors.Join(err, o.release(nil))
	}
	o.show(time.Now())
	return o, nil
}

// Watch names who is told when the state changes, besides Health. It is for
// the time before Run.
func (o *Outputs) Watch(f func(State)) { o.state = f }

// claim opens the pins of lines that are not open yet.
func (o *Outputs) claim(lines []signal.Line) error {
	for _, l := range lines {
		if o.wires[l.Pin] != nil {
			continue
		}
		p, err := o.header.Open(l.Pin, l.Level)
		if err != nil {
			return fmt.Errorf("device: line %s: %w", l.Name, err)
		}
		o.wires[l.Pin] = &wire{Pin: p, level: l.Level, told: l.Active}
	}
	return nil
}

// release closes the pins that keep does not name.
func (o *Outputs) release(keep map[string]bool) error {
	var all []error
	for name, w := range o.wires {
		if !keep[name] {
			all = append(all, w.Close())
			delete(o.wires, name)
		}
	}
	return errors.Join(all...)
}

// Frame, Update, Fault and Blind tell the machine what happened; see
// signal.Machine.
func (o *Outputs) Frame(now time.Time) {
	o.do(now, func(m *signal.Machine) []signal.Transition { return m.Frame(now) })
}

// Update implements Lines.
func (o *Outputs) Update(now time.Time, s signal.Seen) {
	o.do(now, func(m *signal.Machine) []signal.Transition { return m.Update(now, s) })
}

// Fault drops ready because the camera is lost, and says why.
func (o *Outputs) Fault(now time.Time, why string) { o.Blind(now, signal.NoCamera, why) }

// Blind drops ready because nothing is read, and says why.
func (o *Outputs) Blind(now time.Time, s signal.State, why string) {
	o.do(now, func(m *signal.Machine) []signal.Transition { return m.Blind(now, s, why) })
}

// do is one piece of work: what did not reach its wire, then what is new.
func (o *Outputs) do(now time.Time, f func(*signal.Machine) []signal.Transition) {
	o.mu.Lock()
	before := o.machine.Next()
	o.work(now, f)
	next := o.machine.Next()
	o.mu.Unlock()
	if !next.Equal(before) {
		o.nudge()
	}
}

func (o *Outputs) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *Outputs) work(now time.Time, f func(*signal.Machine) []signal.Transition) {
	o.busy.Store(time.Now().UnixNano())
	o.retry()
	for ok := o.write(f(o.machine)); !ok; { // ready drops at once
		ok = o.write(o.machine.Tick(now))
	}
	o.show(now)
	o.busy.Store(0)
	o.turns.Add(1)
}

// write puts transitions on the pins, in order, and reports whether all got
// there. A pin that fails does not keep the others from their safe level, but
// nothing rises after it.
func (o *Outputs) write(ts []signal.Transition) (ok bool) {
	var failed error
	for _, t := range ts {
		switch w := o.wires[t.Pin]; {
		case w == nil:
		case failed != nil && t.Active:
			o.machine.Failed(t.Line, failed.Error())
		default:
			if err := o.put(w, t.Line, t.Level, t.Level); failed == nil {
				failed = err
			}
		}
	}
	if len(ts) > 0 {
		o.machine.Written(time.Now())
	}
	for _, t := range ts {
		w := o.wires[t.Pin]
		if w != nil && (w.level != t.Level || w.told == t.Active) {
			continue // it is told when the wire follows
		}
		if w != nil {
			w.told = t.Active
		}
		o.to(t)
	}
	return failed == nil
}

// put writes a level; wanted is the one that the line should have.
func (o *Outputs) put(w *wire, line string, level, wanted int) error {
	if err := w.Write(level); err != nil {
		w.level = unknown
		o.machine.Failed(line, err.Error())
		return err
	}
	if w.level = level; level == wanted {
		o.machine.Settled(line, time.Now())
	}
	return nil
}

// retry writes again what did not reach its wire. While ready is inactive a
// line that should be active goes to its safe level instead, for nothing
// rises without ready.
func (o *Outputs) retry() {
	ready, _ := o.machine.Ready()
	o.lines = o.machine.Snapshot(o.lines[:0])
	for i := range o.lines {
		l := &o.lines[i]
		w := o.wires[l.Pin]
		level := l.Level
		if l.Active && !ready {
			level = 1 - level
		}
		if w == nil || w.level == l.Level || w.level == level || o.put(w, l.Name, level, l.Level) != nil {
			continue
		}
		if level == l.Level && w.told != l.Active {
			w.told = l.Active
			o.to(signal.Transition{Time: time.Now(), Line: l.Name, Pin: l.Pin, Active: l.Active, Level: l.Level, Reason: "the wire follows again"})
		}
	}
}

// astray reports whether a wire does not carry what it should.
func (o *Outputs) astray() bool {
	o.lines = o.machine.Snapshot(o.lines[:0])
	for i := range o.lines {
		if o.lines[i].Fault != "" {
			return true
		}
	}
	return false
}

// show keeps what others may look at, and tells of a new state.
func (o *Outputs) show(now time.Time) {
	o.shown.Lock()
	o.shown.lines = o.machine.Snapshot(o.shown.lines[:0])
	was, v := o.shown.state, &o.shown.state
	v.State, v.Reason = o.machine.State()
	changed := v.State != was.State
	if changed {
		v.Time = now
	}
	v.Ready = v.State == signal.Reading
	is := *v
	o.shown.Unlock()
	if changed {
		o.state(is)
	}
}

// Run moves the lines that are due between frames, until ctx ends. Then it
// takes every line to its safe level in the contract's order, as far as that
// takes no longer than two seconds, and gives the pins back.
func (o *Outputs) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(o.tick())
		select {
		case <-ctx.Done():
			return o.end()
		case <-o.wake:
		case <-timer.C:
		}
	}
}

// tick does what is due, and returns how long the next may wait.
func (o *Outputs) tick() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.work(now, func(m *signal.Machine) []signal.Transition { return m.Tick(now) })
	wait := beat
	if next := o.machine.Next(); !next.IsZero() {
		wait = min(wait, time.Until(next))
	}
	if o.astray() {
		wait = min(wait, again)
	}
	return wait
}

// end is Run's last act.
func (o *Outputs) end() error {
	limit := time.Now().Add(2 * time.Second)
	now := time.Now()
	o.do(now, func(m *signal.Machine) []signal.Transition { return m.Close(now) })
	for {
		o.mu.Lock()
		safe, next := o.machine.Safe() && !o.astray(), o.machine.Next()
		if o.astray() {
			next = time.Now().Add(again)
		}
		o.mu.Unlock()
		if safe || next.IsZero() || next.After(limit) {
			break
		}
		time.Sleep(time.Until(next))
		o.tick()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []error
	for _, l := range o.machine.Snapshot(nil) { // what two seconds were too short for
		level := l.Level
		if l.Active {
			level = 1 - level
		}
		if w := o.wires[l.Pin]; w.level != level {
			all = append(all, w.Write(level))
		}
	}
	return errors.Join(errors.Join(all...), o.release(nil))
}

// Replace puts another machine in the place of the present one: it takes over
// the state, so that lines which both have do not move. When a pin cannot be
// had nothing changes; a write that fails is no reason to refuse, it is tried
// again like any other.
func (o *Outputs) Replace(m *signal.Machine) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	m.Adopt(o.machine)
	after := m.Snapshot(nil)
	keep, had := map[string]bool{}, map[string]bool{}
	for name := range o.wires {
		had[name] = true
	}
	for _, l := range after {
		keep[l.Pin] = true
	}
	if err := o.claim(after); err != nil {
		return errors.Join(err, o.release(had))
	}
	for _, l := range o.machine.Snapshot(nil) { // lines that go: to their safe level first
		if w := o.wires[l.Pin]; !keep[l.Pin] && (l.Active || l.Fault != "") {
			level := l.Level
			if l.Active {
				level = 1 - level
			}
			_ = w.Write(level) // what fails here is the chip's own affair from now on
		}
	}
	o.machine = m
	for _, l := range after {
		if w := o.wires[l.Pin]; w.level != l.Level {
			o.put(w, l.Name, l.Level, l.Level)
		}
		o.wires[l.Pin].told = l.Active
	}
	_ = o.release(keep) // the lines that are left are what counts
	o.show(time.Now())
	o.nudge()
	return nil
}

// Ready reports whether the device reads and its lines say so, and what is
// wrong while it does not.
func (o *Outputs) Ready() (bool, string) {
	if s := o.State(); !s.Ready {
		return false, s.Reason
	}
	return true, ""
}

// State returns the present state; it never waits for a wire.
func (o *Outputs) State() State {
	o.shown.Lock()
	defer o.shown.Unlock()
	return o.shown.state
}

// Lines returns the wired lines as they stand; it never waits for a wire.
func (o *Outputs) Lines() []signal.Line {
	o.shown.Lock()
	defer o.shown.Unlock()
	return slices.Clone(o.shown.lines)
}

// Turns returns how many pieces of work have been done, and since when one
// has not come to its end; the zero time if there is none.
func (o *Outputs) Turns() (n uint64, since time.Time) {
	if at := o.busy.Load(); at != 0 {
		since = time.Unix(0, at)
	}
	return o.turns.Load(), since
}
