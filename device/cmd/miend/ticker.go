package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"mien/device"
	"mien/device/signal"
)

// ticker is a device.Observer that writes what happens for people to read:
// one line for each transition and each change of an answer. On a terminal it
// is in colour.
type ticker struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	start  time.Time
	last   string // answers told last
	told   time.Time
	lines  int // transitions told
}

func newTicker(w io.Writer, colour bool) *ticker { return &ticker{w: w, colour: colour} }

// Colours of a terminal with dark or light ground.
const (
	bold, dim, green, yellow, grey = "1", "2", "32", "33", "90"
)

func (t *ticker) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// at writes the time since the first event.
func (t *ticker) at(now time.Time) string {
	if t.start.IsZero() {
		t.start = now
	}
	return t.paint(grey, fmt.Sprintf("%7.2f s", now.Sub(t.start).Seconds()))
}

// Transition implements device.Observer.
func (t *ticker) Transition(x signal.Transition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines++
	at := t.at(x.Time)
	mark, name := t.paint(grey, "▽"), t.paint(dim, fmt.Sprintf("%-10s", x.Line))
	if x.Active {
		mark, name = t.paint(green, "▲"), t.paint(bold, fmt.Sprintf("%-10s", x.Line))
	}
	fmt.Fprintf(t.w, "%s  %s %s %-7s %s  %s\n", at, mark, name, x.Pin, t.paint(grey, fmt.Sprint(x.Level)), t.paint(grey, x.Reason))
}

// State implements device.StateObserver.
func (t *ticker) State(s device.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Ready || s.State == signal.Starting {
		return // the line ready says so
	}
	fmt.Fprintf(t.w, "%s  %s %s  %s\n", t.at(s.Time), t.paint(yellow, "■"), t.paint(bold, s.State.Meaning().Title), t.paint(grey, s.Reason))
}

// Track implements device.Observer.
func (t *ticker) Track(*device.Track) {}

// Reading implements device.Observer: it tells readings when an answer
// changed, and once a second.
func (t *ticker) Reading(r *device.Reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var answers, words strings.Builder
	for i := range r.Faces {
		t.face(&answers, &words, &r.Faces[i])
	}
	now := time.Now()
	if answers.String() == t.last && (len(r.Faces) == 0 || now.Sub(t.told) < time.Second) {
		return
	}
	if len(r.Faces) == 0 {
		words.WriteString(t.paint(grey, "nobody there"))
	}
	t.last, t.told = answers.String(), now
	fmt.Fprintf(t.w, "%s  %s %s  %s\n", t.at(now), t.paint(yellow, "●"), words.String(),
		t.paint(grey, fmt.Sprintf("%.1f ms", float64((r.Latency.Total-r.Latency.Wait).Microseconds())/1000)))
}

// face writes one face twice: what decides whether it is news, and the words.
func (t *ticker) face(answers, words *strings.Builder, f *device.FaceReading) {
	fmt.Fprintf(answers, "|%d", f.ID)
	fmt.Fprintf(words, "face %-3d", f.ID)
	for i := range f.Heads {
		h := &f.Heads[i]
		if h.Unit == "" { // a number changes with every reading
			fmt.Fprintf(answers, ",%s", h.Label)
		}
		if h.Uncertain {
			fmt.Fprintf(words, "%s  ", t.paint(grey, fmt.Sprintf("%-8s  ?  ", h.Name)))
			continue
		}
		fmt.Fprintf(words, "%s %s  ", t.paint(bold, fmt.Sprintf("%-8s", h.Label)), t.paint(grey, fmt.Sprintf("%3.0f%%", 100*h.Confidence)))
	}
	words.WriteString(t.paint(grey, f.Flaw()))
}
