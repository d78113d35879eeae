// Package trouble says what goes wrong and goes on being wrong without filling the log.
package trouble

import (
	"fmt"
	"sync"
	"time"
)

// Reporter tells what goes wrong once, and what goes on being wrong at growing
// intervals, with how often it was.
type Reporter struct {
	Tell func(error)
	mu   sync.Mutex
	said map[string]*trouble
}

type trouble struct {
	times int // since it was told last
	next  time.Time
	pause time.Duration
}

// The first repetition is told after a minute, and then each after twice the
// time, until it is an hour. mostTroubles bounds what is remembered.
const (
	firstPause   = time.Minute
	longestPause = time.Hour
	mostTroubles = 64
)

// Once tells err unless it has been told of the same matter and its time has
// not come.
func (r *Reporter) Once(matter string, err error) {
	now := time.Now()
	r.mu.Lock()
	t := r.said[matter]
	if t == nil {
		if r.said == nil || len(r.said) >= mostTroubles {
			r.said = map[string]*trouble{}
		}
		t = &trouble{pause: firstPause / 2}
		r.said[matter] = t
	}
	t.times++
	if now.Before(t.next) {
		r.mu.Unlock()
		return
	}
	times := t.times
	t.times, t.pause = 0, min(2*t.pause, longestPause)
	t.next = now.Add(t.pause)
	r.mu.Unlock()
	if times > 1 {
		err = fmt.Errorf("%w (%d times since it was said last)", err, times)
	}
	r.Tell(err)
}
