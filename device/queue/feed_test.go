package queue

import (
	"context"
	"testing"
)

// TestFeedWaiting: an event waits from the moment that it is taken until its message
// is acknowledged or forgotten, wherever it is meanwhile.
func TestFeedWaiting(t *testing.T) {
	q, err := Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	f := Feed{Queue: q, Report: func(matter string, err error) { t.Errorf("%s: %v", matter, err) },
		Encode: func(event any) []Message { return []Message{{Topic: event.(string)}} }}
	f.Begin()
	waits := func(when string, want int) {
		t.Helper()
		if n := f.Waiting(); n != want {
			t.Errorf("%s: %d wait, want %d", when, n, want)
		}
	}
	waits("at first", 0)
	for range Inbox {
		f.Take("a")
	}
	waits("taken", Inbox)
	if f.Take("b"); f.Lost() != 1 {
		t.Errorf("%d are lost where one had no room", f.Lost())
	}
	waits("one was lost", Inbox)
	f.Forget()
	f.Take("c")
	waits("forgotten but for one", 1)
	ended, end := context.WithCancel(t.Context())
	end()
	f.Run(ended) // what was given before the end counts
	waits("in the queue", 1)
	_, ticket, ok, err := q.Next()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	q.Ack(ticket)
	waits("acknowledged", 0)
}
