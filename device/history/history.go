// Package history counts by the hour how many faces came and what they were
// read as, for as many days as somebody asks for. It keeps no picture, no face,
// no number of one and no time but the hour.
//
// The store is one JSON file of at most MaxDays × 24 small records, replaced
// whole: all of it fits into a few pages, a power cut leaves the old or the new
// one, and a person can read what is kept. bbolt was looked at: it is for more
// than is kept here, keeps what was deleted in its free pages, and a file that
// is forgotten here is gone.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"mien/device"
	"mien/device/signal"
	"mien/runtime/atomicfile"
	"mien/runtime/plainfile"
)

// MaxDays is how long counts can be kept, and maxFile how large their file is
// at most, in bytes.
const (
	MaxDays = 31
	maxFile = 1 << 20
)

// maxAnswers bounds the answers of an hour: a head has that many labels.
const maxAnswers = 64

// saveEvery is how often counts are written: flash wears, and a power cut may
// cost as much.
const saveEvery = 10 * time.Minute

// Hour is what happened in an hour.
type Hour struct {
	Hour    time.Time      `json:"hour"`    // when it began
	Faces   int            `json:"faces"`   // that came into view
	Answers map[string]int `json:"answers"` // faces by each label that they were read as, for long enough to be an answer
}

// Log counts. It is a device.Observer, whose methods return at once.
type Log struct {
	path string
	days int
	lead func() string // the head whose answers are counted
	now  func() time.Time

	mu    sync.Mutex
	hours []Hour                     // the oldest first
	seen  map[uint64]map[string]bool // what each face in view was counted as
	blind bool
	dirty bool
	gone  chan struct{} // something was forgotten, which the file has to follow at once
}

// Open reads what was counted. A file that cannot be read is an error, beside a
// log that begins anew.
func Open(path string, days int, lead func() string) (*Log, error) {
	l := &Log{path: path, days: min(days, MaxDays), lead: lead, now: time.Now, seen: map[uint64]map[string]bool{}, gone: make(chan struct{}, 1)}
	err := l.load()
	l.prune()
	return l, err
}

func (l *Log) load() error {
	data, err := plainfile.Read(l.path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	var hours []Hour
	if err := json.Unmarshal(data, &hours); err != nil {
		return fmt.Errorf("history: %s: %w: it begins anew", l.path, err)
	}
	if !slices.IsSortedFunc(hours, func(a, b Hour) int { return a.Hour.Compare(b.Hour) }) {
		return fmt.Errorf("history: %s: its hours are out of order: it begins anew", l.path)
	}
	l.hours = hours
	return nil
}

// Remove takes away what was counted, where nothing is to be kept any more.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// ahead is how far the clock may be set back before what was counted in hours that
// have not come yet is known to be in the wrong place.
const ahead = 2 * time.Hour

// prune forgets what is older than the days that are kept, and what a clock that was
// ahead has counted in hours to come: nobody knows when that was.
func (l *Log) prune() {
	now, n := l.now(), len(l.hours)
	first := now.Add(-time.Duration(l.days) * 24 * time.Hour)
	l.hours = slices.DeleteFunc(l.hours, func(h Hour) bool { return h.Hour.Before(first) || h.Hour.After(now.Add(ahead)) })
	l.dirty = l.dirty || len(l.hours) < n
}

// hour returns the present one. A clock that goes back a little counts into the last.
func (l *Log) hour() *Hour {
	at := l.now().Truncate(time.Hour)
	l.prune()
	if n := len(l.hours); n == 0 || l.hours[n-1].Hour.Before(at) {
		l.hours = append(l.hours, Hour{Hour: at, Answers: map[string]int{}})
	}
	h := &l.hours[len(l.hours)-1]
	if h.Answers == nil {
		h.Answers = map[string]int{}
	}
	return h
}

// Track implements device.Observer.
func (l *Log) Track(t *device.Track) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := t.Face.ID
	if t.Kind == device.End {
		delete(l.seen, id)
		return
	}
	if l.blind {
		return
	}
	l.dirty = true
	counted, known := l.seen[id]
	if !known {
		counted = map[string]bool{}
		l.seen[id] = counted
		l.hour().Faces++
	}
	h := t.Face.Head(l.lead())
	if h == nil || h.Uncertain || h.Unit != "" || counted[h.Label] {
		return
	}
	counted[h.Label] = true
	if hour := l.hour(); len(hour.Answers) < maxAnswers || hour.Answers[h.Label] > 0 {
		hour.Answers[h.Label]++
	}
}

// Reading implements device.Observer.
func (l *Log) Reading(*device.Reading) {}

// Transition implements device.Observer.
func (l *Log) Transition(signal.Transition) {}

// State implements device.StateObserver: without consent nothing is counted.
func (l *Log) State(s device.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blind = s.State == signal.NoConsent
}

// Forget implements device.Forgetter: with consent goes all that was counted. What
// was counted by consent that was taken back before is gone already, and when the one
// that ends now was given nobody may know any more, for it may have outlived a start.
func (l *Log) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.seen)
	l.hours = nil
	l.dirty = true
	select {
	case l.gone <- struct{}{}:
	default:
	}
}

// Hours returns what was counted, the oldest first. Hours without anybody are
// left out.
func (l *Log) Hours() []Hour {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune()
	out := make([]Hour, len(l.hours))
	for i, h := range l.hours {
		out[i] = Hour{h.Hour, h.Faces, map[string]int{}}
		for label, n := range h.Answers {
			out[i].Answers[label] = n
		}
	}
	return out
}

// Run writes the counts now and then until ctx ends, and once more.
func (l *Log) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return l.save()
		case <-time.After(saveEvery):
		case <-l.gone:
		}
		if err := l.save(); err != nil {
			return err
		}
	}
}

func (l *Log) save() error {
	l.mu.Lock()
	l.prune()
	dirty := l.dirty
	l.dirty = false
	data, err := json.Marshal(l.hours)
	l.mu.Unlock()
	if !dirty || err != nil {
		return err
	}
	if err := atomicfile.Write(l.path, data); err != nil {
		l.mu.Lock()
		l.dirty = true
		l.mu.Unlock()
		return fmt.Errorf("history: %w", err)
	}
	return nil
}
