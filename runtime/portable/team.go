package portable

import (
	"runtime"
	"sync/atomic"
	"time"
)

// team is the step that the workers of a session share. Its parts are taken
// one by one, by whoever is free: nobody waits for a worker that the system
// keeps from running, as the others do its work.
type team struct {
	step  step
	parts int
	// open is the number of the step, counted from the first on, above the
	// number of its parts that nobody has taken. A worker that looks at an old
	// step cannot take a part of the next by mistake, as the number differs.
	open atomic.Uint64
	busy atomic.Int64 // parts that are not finished
}

// Bits of team.open that hold parts, and the most that they hold.
const (
	partBits = 16
	maxParts = 1<<partBits - 1
)

// take returns a part that nobody else has.
func (t *team) take() (part int, ok bool) {
	for {
		v := t.open.Load()
		if v&maxParts == 0 {
			return 0, false
		}
		if t.open.CompareAndSwap(v, v-1) {
			return int(v&maxParts) - 1, true
		}
	}
}

// help does one part, if there is one.
func (w *worker) help() bool {
	t := &w.team
	part, ok := t.take()
	if ok {
		t.step.run(w, part, t.parts)
		t.busy.Add(-1)
	}
	return ok
}

// share runs a step on all workers.
func (s *Session) share(step step, parts int) {
	t := &s.team
	t.step, t.parts = step, parts
	t.busy.Store(int64(parts))
	t.open.Store((t.open.Load()>>partBits+1)<<partBits | uint64(parts))
	s.rouse()
	for s.workers[0].help() {
	}
	for i := 0; t.busy.Load() > 0; i++ {
		if i > 1000 {
			runtime.Gosched() // perhaps to the worker that is waited for
		}
	}
}

// rouse wakes the workers that sleep.
func (s *Session) rouse() {
	for _, w := range s.workers[1:] {
		w.sleeper.rouse()
	}
}

// patience is how long a worker looks for the next step before it sleeps:
// longer than the steps that are not shared take, and than being woken does.
const patience = 100 * time.Microsecond

// serve is the life of a worker other than the caller's goroutine.
func (w *worker) serve() {
	crowded := w.net.threads > runtime.GOMAXPROCS(0) // looking would keep others from working
	for w.sleeper.sleep(&w.team) {
		since := time.Now()
		for i := 1; !crowded || i == 1; i++ {
			if w.help() {
				since, i = time.Now(), 0
			} else if i%64 == 0 && time.Since(since) > patience {
				break
			}
		}
	}
}

// sleeper is where a worker sleeps until there is work.
type sleeper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// sleep returns when there is work, or false when there will be none.
func (s *sleeper) sleep(t *team) bool {
	s.asleep.Store(true)
	if t.open.Load()&maxParts > 0 && s.asleep.CompareAndSwap(true, false) {
		return true // it came just now, and nobody was told
	}
	_, ok := <-s.wake
	return ok
}

func (s *sleeper) rouse() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.wake <- struct{}{} // has room: the one before was taken out
	}
}
