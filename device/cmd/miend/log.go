package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// newLog returns the log: one line an event, without times where systemd adds
// its own, and trouble that repeats told at growing intervals.
func newLog(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{}
	if os.Getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(&sparing{Handler: slog.NewTextHandler(w, o), told: map[string]*trouble{}})
}

// The waits between two lines about one trouble, the first doubling to the
// last. Trouble of which nothing was heard for the last begins anew.
const (
	firstSilence = time.Minute
	lastSilence  = 6 * time.Hour
	maxTroubles  = 256 // remembered; of others every line is told
)

// sparing is a slog.Handler that tells a warning or an error once, and the
// same again only at growing intervals, with how often it has happened since.
// Two lines are the same when they differ in numbers only: attempts, waits and
// ports count up. What is told for the record, below a warning, always is, unless
// it is the end of trouble.
type sparing struct {
	slog.Handler
	mu   sync.Mutex
	told map[string]*trouble
}

type trouble struct {
	next    time.Time // not told before
	silence time.Duration
	heard   time.Time // the last time
	times   int       // since it was told
}

// answer marks a line that answers what somebody has just asked for, a reload
// for instance: it is told each time.
func answer(ctx context.Context) context.Context { return context.WithValue(ctx, answering{}, true) }

type answering struct{}

// relief marks a line that says that trouble is over: it comes as often as that,
// and is told as sparingly.
func relief(ctx context.Context) context.Context { return context.WithValue(ctx, relieving{}, true) }

type relieving struct{}

// Handle implements slog.Handler.
func (s *sparing) Handle(ctx context.Context, r slog.Record) error {
	if (r.Level >= slog.LevelWarn || ctx.Value(relieving{}) != nil) && ctx.Value(answering{}) == nil {
		times, tell := s.count(same(&r), r.Time)
		if !tell {
			return nil
		}
		if times > 1 {
			r = r.Clone()
			r.AddAttrs(slog.Int("times", times))
		}
	}
	return s.Handler.Handle(ctx, r)
}

// count adds one to a trouble, and reports whether to tell it and how often it
// has happened since it was told.
func (s *sparing) count(key string, now time.Time) (times int, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.told[key]
	if t == nil || now.Sub(t.heard) > lastSilence {
		for k, old := range s.told {
			if now.Sub(old.heard) > lastSilence {
				delete(s.told, k)
			}
		}
		if len(s.told) < maxTroubles {
			s.told[key] = &trouble{next: now.Add(firstSilence), silence: firstSilence, heard: now}
		}
		return 1, true
	}
	t.heard = now
	t.times++
	if now.Before(t.next) {
		return 0, false
	}
	times, t.times = t.times, 0
	t.silence = min(2*t.silence, lastSilence)
	t.next = now.Add(t.silence)
	return times, true
}

var number = regexp.MustCompile(`[0-9][0-9.,:]*(ns|µs|ms|s|m|h)?([0-9.]+s)?`)

// same is what lines that say the same have in common.
func same(r *slog.Record) string {
	var b strings.Builder
	b.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	})
	return number.ReplaceAllString(b.String(), "#")
}
