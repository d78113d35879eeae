// Package hook tells others of what happens: a web server by POST (Webhook), or a
// program of this machine (Command).
//
// Events wait in memory, Waiting of them at most; the newest is lost where there
// is no room, which is counted and told. Nothing here ever makes the pipeline
// wait. What waits when the device ends is lost: who must miss nothing takes MQTT
// or the fleet's hub, whose queues are on disk.
//
// An event is told as device.Line has it, with two members more:
//
//	{"device":"door","delivery":"5f0c...","event":"track","kind":"begin","time":"...","face":{...}}
package hook

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"mien/device"
	"mien/device/signal"
)

// What can be told.
const (
	OfTrack      = "track"      // a face begins, or ends
	OfTransition = "transition" // a line of the header changes, but for the heartbeat
)

// Waiting is how many events wait at most.
const Waiting = 256

// CheckEvent says what is wrong with the name of an event.
func CheckEvent(name string) error {
	if name != OfTrack && name != OfTransition {
		return fmt.Errorf("hook: %q is neither %s nor %s", name, OfTrack, OfTransition)
	}
	return nil
}

// Message is an event as it is told.
type Message struct {
	ID   string            // of the delivery; the same when it is tried again
	JSON []byte            // one object
	Vars map[string]string // what is most asked for of it: EVENT, KIND, FACE, LINE, ...
}

// Teller tells somebody. It returns when that is done or given up, at the latest
// when ctx ends.
type Teller interface {
	Tell(context.Context, *Message) error
}

// Options of a hook.
type Options struct {
	Device string   // this device's name
	Events []string // OfTrack, OfTransition
	To     Teller
	AtOnce int         // events that are told at the same time; with more than 1 they may overtake each other; 0 means 1
	Note   func(error) // told what is wrong when that changes, nil when all is well again; from any goroutine
}

// Hook is a device.Observer that tells others. Its methods return at once.
type Hook struct {
	o     Options
	queue chan event

	mu     sync.Mutex
	agreed context.Context // ends when consent is taken back
	forget context.CancelFunc
	lost   uint64 // events for which there was no room, since it was told
	wrong  string // what was noted last
}

// event is one that waits.
type event struct {
	context.Context // until it is to be forgotten
	what            any
}

// New returns a hook that tells nothing before Run.
func New(o Options) *Hook {
	h := &Hook{o: o, queue: make(chan event, Waiting)}
	h.agreed, h.forget = context.WithCancel(context.Background())
	return h
}

// Run tells what comes until ctx ends.
func (h *Hook) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	for range max(h.o.AtOnce, 1) {
		wait.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case e := <-h.queue:
					h.tell(ctx, e)
				}
			}
		})
	}
	wait.Wait()
	return nil
}

func (h *Hook) tell(ctx context.Context, e event) {
	if e.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e, cancel)()
	m, err := h.message(e.what)
	if err == nil {
		err = h.o.To.Tell(ctx, m)
	}
	if ctx.Err() == nil {
		h.note(err)
	}
}

// note tells what is wrong, once.
func (h *Hook) note(err error) {
	h.mu.Lock()
	if err == nil && h.lost > 0 { // while something else is wrong that is told
		err = fmt.Errorf("hook: %d events were lost: they come faster than they can be told", h.lost)
		h.lost = 0
	}
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	changed := wrong != h.wrong
	h.wrong = wrong
	h.mu.Unlock()
	if changed && h.o.Note != nil {
		h.o.Note(err)
	}
}

func (h *Hook) message(what any) (*Message, error) {
	line, err := device.Line(what)
	if err != nil {
		return nil, err
	}
	name, err := json.Marshal(h.o.Device)
	if err != nil {
		return nil, fmt.Errorf("hook: %w", err)
	}
	m := &Message{ID: hex.EncodeToString(random()), Vars: map[string]string{"DEVICE": h.o.Device}}
	m.JSON = fmt.Appendf(nil, `{"device":%s,"delivery":"%s",%s`, name, m.ID, strings.TrimSuffix(string(line[1:]), "\n"))
	switch x := what.(type) {
	case *device.Track:
		m.Vars["EVENT"], m.Vars["KIND"], m.Vars["TIME"] = OfTrack, string(x.Kind), x.Time.Format(time.RFC3339Nano)
		m.Vars["FACE"] = strconv.FormatUint(x.Face.ID, 10)
	case signal.Transition:
		m.Vars["EVENT"], m.Vars["TIME"] = OfTransition, x.Time.Format(time.RFC3339Nano)
		m.Vars["LINE"], m.Vars["PIN"], m.Vars["ACTIVE"], m.Vars["REASON"] = x.Line, x.Pin, strconv.FormatBool(x.Active), x.Reason
	}
	return m, nil
}

func random() []byte {
	b := make([]byte, 16)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

// put queues an event, or counts it as lost.
func (h *Hook) put(kind string, what func() any) {
	wanted := false
	for _, e := range h.o.Events {
		wanted = wanted || e == kind
	}
	if !wanted {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == cap(h.queue) {
		h.lost++
		return
	}
	select {
	case h.queue <- event{h.agreed, what()}:
	default:
		h.lost++
	}
}

// Reading implements device.Observer.
func (h *Hook) Reading(*device.Reading) {}

// Track implements device.Observer.
func (h *Hook) Track(t *device.Track) {
	if t.Kind != device.Update {
		h.put(OfTrack, func() any { return t.Clone() })
	}
}

// Transition implements device.Observer. The heartbeat's would run a program every
// moment and say nothing.
func (h *Hook) Transition(t signal.Transition) {
	if t.Line != "heartbeat" {
		h.put(OfTransition, func() any { return t })
	}
}

// Forget implements device.Forgetter: what waits, and what is being tried again,
// is told to nobody.
func (h *Hook) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	h.agreed, h.forget = context.WithCancel(context.Background())
}
