// Package fleet is a board's side of a fleet: it tells a hub what the board sees
// and how it is, and does what the holder of the fleet's key asks, as far as the
// configuration lets it. The hub is a NATS server with JetStream; what it has not
// acknowledged waits on the board's disk, in order. README.md beside this file
// lists subjects, guarantees and what fails how; the table in subjects.go is what
// everything else follows from.
package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mien/device"
	"mien/device/fleet/wire"
	"mien/device/internal/trouble"
	"mien/device/queue"
	"mien/device/signal"
)

// Options say where the hub is and what it is told. Servers, ID and Dir are
// needed.
type Options struct {
	Servers     []string // tls://host:4222 or nats://host:4222: any of them
	Credentials string   // file that mien fleet enrol wrote; empty for none
	CA          string   // file of PEM certificates that sign the hub's; empty for those of the system
	Certificate string   // file of the board's own certificate, for hubs that ask for one
	PrivateKey  string   // file of its key

	ID   ID
	Tags []string
	Key  string // public key of who may command; empty: nobody

	Dir      string // folder of the queue, this board's own
	MaxBytes int64  // of the queue (queue.Usual); at queue.Least or more

	// Readings is how many readings a second are sent at most; 0: none.
	Readings float64
	// Events are those that are sent beside states, counts and health: OfTrack,
	// OfTransition.
	Events []string
	// Every is how often health and counts are sent (a minute).
	Every time.Duration
	// Health says how the device is; nil to say nothing of it.
	Health func() device.Health
	// Version is the firmware's, Board what the board is.
	Version, Board string
	// Commands are those that may be asked for, by name.
	Commands map[string]Do
	// Updates take what is rolled out, by kind; none where nobody may.
	Updates map[string]Updater
	// Restart has the program started again, soon, for what was installed or left.
	Restart func()
	// Patience is how long a version may take to prove itself (two minutes).
	Patience time.Duration
	// Forget drops what an earlier run left in the queue: nobody has agreed to it
	// being sent.
	Forget bool
	// Report is called with what goes wrong and is tried again: once, and at
	// growing intervals while it goes on; from any goroutine. Nil for silence.
	Report func(error)
	// Audit is called with every command that was asked for, and with what becomes of
	// every order. Nil for silence.
	Audit func(Audit)
}

func (o Options) defaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = queue.Usual
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Restart == nil {
		o.Restart = func() {}
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if o.Audit == nil {
		o.Audit = func(Audit) {}
	}
	return o
}

func (o *Options) check() error {
	if len(o.Servers) == 0 {
		return errors.New("fleet: no hub is named")
	}
	for _, s := range o.Servers {
		if err := CheckServer(s); err != nil {
			return err
		}
	}
	if err := o.ID.Check(); err != nil {
		return err
	}
	for _, e := range o.Events {
		if err := CheckEvent(e); err != nil {
			return err
		}
	}
	if o.Dir == "" {
		return errors.New("fleet: the queue needs a folder")
	}
	if err := queue.CheckSize(o.MaxBytes); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	if o.Key != "" {
		return CheckKey(o.Key)
	}
	return nil
}

// Board is a device.Observer that tells the hub what it observes. Its methods
// return at once, whatever hub and disk do.
type Board struct {
	o     Options
	queue *queue.Queue
	feed  queue.Feed
	rep   trouble.Reporter

	life   string
	number uint64    // of the last message; of the feed alone
	next   time.Time // when the next reading may go; with the pipeline's turn only
	seen   bool      // the last reading had a face
	due    time.Time // when health and counts are; of the feed alone

	mu     sync.Mutex
	counts counting

	connected atomic.Bool
	tried     string    // id of the message that was sent last; of Run alone
	since     time.Time // when first
	sent      atomic.Uint64
	refused   atomic.Uint64
	word      word

	update     atomic.Pointer[Update]
	link       atomic.Pointer[wire.Conn] // nil while the hub is away
	linked     chan struct{}             // it is there again
	told       chan []byte               // the order that came last
	order      *Order                    // the present one; nil for none; of follow alone, as is what stands below
	refusal    string                    // why it is refused
	trialSince time.Time                 // when it was first seen on trial in this run of the program
}

// New checks the options and opens the queue; what is left in it from an earlier
// run is sent first. Nothing is connected before Run.
func New(o Options) (*Board, error) {
	o = o.defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	q, err := queue.Open(o.Dir, o.MaxBytes)
	if err != nil {
		return nil, err
	}
	if o.Forget {
		if err := q.Forget(); err != nil {
			return nil, errors.Join(err, q.Close())
		}
	}
	now := time.Now()
	b := &Board{o: o, queue: q, life: rand.Text()[:12], counts: newCounting(now), due: now, linked: make(chan struct{}, 1), told: make(chan []byte, 1)}
	b.rep.Tell = o.Report
	b.feed = queue.Feed{Queue: q, Encode: b.encode, Second: b.second, Report: b.rep.Once}
	b.feed.Begin()
	return b, nil
}

// Reading implements device.Observer.
func (b *Board) Reading(r *device.Reading) {
	b.mu.Lock()
	b.counts.add(r)
	b.mu.Unlock()
	if b.o.Readings <= 0 {
		return
	}
	// That the last face has gone does not wait for its turn: another reading may
	// not follow.
	pause, left := time.Duration(float64(time.Second)/b.o.Readings), b.seen && len(r.Faces) == 0
	if !left && r.Time.Before(b.next) && b.next.Sub(r.Time) <= pause {
		return
	}
	b.seen, b.next = len(r.Faces) > 0, r.Time.Add(pause)
	b.feed.Take(r.Clone())
}

// Track implements device.Observer.
func (b *Board) Track(t *device.Track) {
	if t.Kind == device.Begin {
		b.mu.Lock()
		b.counts.Begun++
		b.mu.Unlock()
	}
	if slices.Contains(b.o.Events, OfTrack) {
		b.feed.Take(t.Clone())
	}
}

// Transition implements device.Observer. The heartbeat's say nothing that the
// connection does not.
func (b *Board) Transition(t signal.Transition) {
	if t.Line != "heartbeat" && slices.Contains(b.o.Events, OfTransition) {
		b.feed.Take(t)
	}
}

// State implements device.StateObserver.
func (b *Board) State(s device.State) { b.feed.Take(s) }

// Forget implements device.Forgetter: what waits is not sent any more, and is
// gone from the disk. A message that is on its way cannot be called back.
func (b *Board) Forget() {
	b.mu.Lock()
	b.counts = newCounting(time.Now())
	b.mu.Unlock()
	b.feed.Forget()
}

// second adds health and counts when they are due.
func (b *Board) second() {
	now := time.Now()
	if now.Before(b.due) {
		return
	}
	b.due = now.Add(b.o.Every)
	b.mu.Lock()
	c := b.counts.end(now)
	b.counts = newCounting(now)
	b.mu.Unlock()
	for _, v := range []any{c, b.health(now)} {
		for _, m := range b.encode(v) {
			if err := b.queue.Put(m); err != nil {
				b.rep.Once("put", err)
			}
		}
	}
}

func (b *Board) health(now time.Time) Health {
	var h device.Health
	if b.o.Health != nil {
		h = b.o.Health()
	}
	return Health{Time: now.UTC().Round(time.Millisecond), Life: b.life, Version: b.o.Version, Board: b.o.Board, Tags: list(b.o.Tags), State: h.State, Ready: h.Ready,
		Reason: h.Reason, Started: h.Started, Engine: h.Engine, Model: h.Model, Heads: list(h.Heads), FrameRate: h.FrameRate, Dropped: h.Dropped,
		Restarts: h.Restarts, Consent: h.Consent, Throttled: h.Throttled, Celsius: h.Celsius, Parts: list(h.Parts), Queued: b.queue.Waiting(), Lost: b.feed.Lost(), Update: b.update.Load()}
}

// list is empty rather than null in JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// encode says what is kept of an event.
func (b *Board) encode(event any) []queue.Message {
	var name string
	switch event.(type) {
	case *device.Reading:
		name = OfReading
	case *device.Track:
		name = OfTrack
	case signal.Transition:
		name = OfTransition
	case device.State:
		name = OfState
	case Health:
		name = OfHealth
	case Counts:
		name = OfCounts
	case Audit:
		name = OfAudit
	}
	payload, err := body(event)
	if err != nil { // a NaN from a broken model
		b.rep.Once("encode", fmt.Errorf("fleet: %s: %w", name, err))
		return nil
	}
	b.number++
	return []queue.Message{{Topic: b.o.ID.Subject(name), ID: MessageID{b.life, b.number}.String(), Payload: payload}}
}

// Stats may be called at any time from any goroutine.
func (b *Board) Stats() queue.Stats {
	refused := b.refused.Load()
	return queue.Stats{Connected: b.connected.Load(), Queued: b.feed.Waiting(), Sent: b.sent.Load(), Lost: b.feed.Lost() + refused, Refused: refused}
}

// Run tells the hub until ctx ends, and closes the queue; the Board is of no use
// after that. It returns an error only when the queue fails: a hub that is away is
// waited for, and so are files that cannot be read.
func (b *Board) Run(ctx context.Context) error {
	go b.feed.Run(ctx)
	followed := make(chan struct{})
	go func() {
		b.follow(ctx)
		close(followed)
	}()
	b.connect(ctx)
	<-followed
	<-b.feed.Stored()
	return b.queue.Close()
}
