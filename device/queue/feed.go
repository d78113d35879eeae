package queue

import (
	"context"
	"sync/atomic"
	"time"
)

// Inbox is how many events wait in memory for the queue's disk. It is
// there for the moments in which an SD card makes everybody wait.
const Inbox = 1024

// Farewell is how long the end of whoever empties a queue may take: what has been
// observed is sent as far as it goes in that time, and the rest waits for the next
// start.
const Farewell = 3 * time.Second

// Stats says how the other side, a broker or a hub, is told.
type Stats struct {
	Connected bool
	Queued    int    // messages waiting: on disk, and events on their way there
	Sent      uint64 // messages acknowledged since start
	Lost      uint64 // messages dropped since start: queue or memory full, or refused by the other side
	Refused   uint64 // of those, refused and set aside
}

// Feed stands between those who observe, who never wait, and a Queue, whose disk
// may make them. What it is given goes into the queue in order.
type Feed struct {
	Queue *Queue
	// Encode says what is to be kept of an event.
	Encode func(event any) []Message
	// Second is called once a second between events; nil for nothing.
	Second func()
	// Report is told what goes wrong, with a word for the matter.
	Report func(matter string, err error)

	inbox      chan any
	stored     chan struct{}
	lost       atomic.Uint64
	coming     atomic.Int64 // events that were taken and are not in the queue yet
	forgetting atomic.Int64 // marks in the inbox that Run has not come to
}

// Begin makes the feed ready for events; Run may come later.
func (f *Feed) Begin() {
	f.inbox, f.stored = make(chan any, Inbox), make(chan struct{})
}

// Take takes an event, at once. One for which there is no room is lost.
func (f *Feed) Take(event any) {
	f.coming.Add(1)
	select {
	case f.inbox <- event:
	default:
		f.coming.Add(-1)
		f.lost.Add(1)
	}
}

// Waiting is how many messages wait, with the events that are not in the queue yet:
// 0 says that nothing of what was taken is still to come.
func (f *Feed) Waiting() int {
	coming := f.coming.Load() // first: what goes on meanwhile is counted twice rather than never
	return int(coming) + f.Queue.Waiting()
}

// forget in the inbox stands between what is forgotten and what is not.
type forget struct{}

// Forget drops, soon, what waits in memory and on the disk.
func (f *Feed) Forget() {
	f.forgetting.Add(1)
	for {
		select {
		case v := <-f.inbox: // older, and so to be forgotten too
			if v == (forget{}) {
				f.forgetting.Add(-1)
			} else {
				f.coming.Add(-1)
			}
			continue
		default:
		}
		select {
		case f.inbox <- forget{}:
			return
		default:
		}
	}
}

// Forgetting reports whether what waits is about to go, and so is not to be sent.
func (f *Feed) Forgetting() bool { return f.forgetting.Load() > 0 }

// Lost is how many events were lost, before the queue and in it.
func (f *Feed) Lost() uint64 { return f.lost.Load() + f.Queue.Dropped() }

// Stored is closed when Run has ended: all that was observed is in the queue.
func (f *Feed) Stored() <-chan struct{} { return f.stored }

// Run moves events to the queue until ctx ends, and once a second has it written
// through to the disk. What was given before the end counts.
func (f *Feed) Run(ctx context.Context) {
	defer close(f.stored)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case v := <-f.inbox:
			f.store(v)
		case <-second.C:
			if err := f.Queue.Sync(); err != nil {
				f.Report("sync", err)
			}
			if f.Second != nil {
				f.Second()
			}
		case <-ctx.Done():
			for {
				select {
				case v := <-f.inbox:
					f.store(v)
				default:
					return
				}
			}
		}
	}
}

func (f *Feed) store(v any) {
	if v == (forget{}) {
		if err := f.Queue.Forget(); err != nil {
			f.Report("forget", err)
		}
		f.forgetting.Add(-1)
		select {
		case f.Queue.Wake <- struct{}{}:
		default:
		}
		return
	}
	defer f.coming.Add(-1)
	for _, m := range f.Encode(v) {
		if err := f.Queue.Put(m); err != nil {
			f.lost.Add(1)
			f.Report("put", err)
		}
	}
}
