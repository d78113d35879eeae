package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/lockfile"
)

func open(t testing.TB, dir string, maximum int64) *Queue {
	t.Helper()
	q, err := Open(dir, maximum)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// crash is the end of the queue's process: the files stay as they are, nothing
// is closed but what the system closes.
func crash(t testing.TB, q *Queue) {
	t.Helper()
	if err := q.lock.Release(); err != nil {
		t.Fatal(err)
	}
}

// miend started by hand beside the service must not touch the service's queue.
func TestQueueHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, 16<<20)
	put(t, q, 0)
	take(t, q, 0) // now the segment is empty, and a second owner would delete it
	_, err := Open(dir, 16<<20)
	var held *lockfile.HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second owner: %v", err)
	}
	for i := range 5000 {
		put(t, q, i)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, dir, 16<<20)
	for i := range 5000 {
		take(t, q, i)
	}
}

func put(t testing.TB, q *Queue, i int) {
	t.Helper()
	if err := q.Put(Message{Topic: fmt.Sprint("t/", i), Retain: i%3 == 0, Payload: bytes.Repeat([]byte{byte(i)}, i%40)}); err != nil {
		t.Fatal(err)
	}
}

// take removes the oldest message and checks that it is number i.
func take(t testing.TB, q *Queue, i int) {
	t.Helper()
	m, ticket, ok, err := q.Next()
	if err != nil || !ok || m.Topic != fmt.Sprint("t/", i) || m.Retain != (i%3 == 0) || !bytes.Equal(m.Payload, bytes.Repeat([]byte{byte(i)}, i%40)) {
		t.Fatalf("want message %d, got %q %v %v", i, m.Topic, ok, err)
	}
	q.Ack(ticket)
}

// Messages come out as they went in over random writing, reading, closing
// and crashing of the program: none is missing, none comes again.
func TestQueueKeepsOrder(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		q := open(t, dir, 1<<20)
		in, out := 0, 0
		for range 3000 {
			switch n := r.IntN(100); {
			case n < 52:
				put(t, q, in)
				in++
			case n < 96:
				if out < in {
					take(t, q, out)
					out++
				} else if _, _, ok, err := q.Next(); ok || err != nil {
					t.Fatalf("an empty queue gives %v, %v", ok, err)
				}
			case n < 97:
				if err := q.Sync(); err != nil {
					t.Fatal(err)
				}
			case n < 98:
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
				q = open(t, dir, 1<<20)
			default:
				crash(t, q)
				q = open(t, dir, 1<<20)
			}
			if q.Waiting() != in-out {
				t.Fatalf("seed %d: %d waiting, want %d", seed, q.Waiting(), in-out)
			}
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, 64<<10)
	const n = 20_000
	for i := range n {
		put(t, q, i)
	}
	var size int64
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		info, _ := f.Info()
		size += info.Size()
	}
	if size > 64<<10 {
		t.Errorf("%d bytes on disk, at most %d were allowed", size, 64<<10)
	}
	first := int(q.Dropped())
	if first == 0 || q.Waiting() != n-first {
		t.Fatalf("%d dropped, %d waiting of %d", first, q.Waiting(), n)
	}
	for i := first; i < n; i++ { // the newest are there, in order
		take(t, q, i)
	}
	if err := q.Put(Message{Topic: "big", Payload: make([]byte, 1<<20)}); err == nil {
		t.Error("a message larger than a segment was taken")
	}
}

// As long as every message is acknowledged soon the queue stays small, and
// nothing comes again after a crash.
func TestQueueAtPeace(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, 16<<20)
	for i := range 20_000 {
		put(t, q, i)
		take(t, q, i)
		if i%100 == 0 {
			if err := q.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var size int64
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		info, _ := f.Info()
		size += info.Size()
	}
	if size > 80<<10 {
		t.Errorf("%d bytes on disk for an empty queue", size)
	}
	crash(t, q)
	if q = open(t, dir, 16<<20); q.Waiting() != 0 {
		t.Errorf("%d messages would come again", q.Waiting())
	}
}

// A message dropped while it was on its way does not take another with it.
func TestAckAfterDrop(t *testing.T) {
	q := open(t, t.TempDir(), 64<<10)
	put(t, q, 0)
	_, ticket, _, _ := q.Next()
	for i := 1; i < 5000; i++ {
		put(t, q, i)
	}
	before := q.Waiting()
	if q.Ack(ticket); q.Waiting() != before {
		t.Error("an old ticket removed a message")
	}
	take(t, q, int(q.Dropped()))
}

// Damage costs messages, never the queue.
func TestQueueSurvivesDamage(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		dir := t.TempDir()
		q := open(t, dir, 64<<10)
		for i := range 600 {
			put(t, q, i)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		name := names[r.IntN(len(names))]
		b, _ := os.ReadFile(name)
		if r.IntN(2) == 0 && len(b) > 0 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		} else {
			b = b[:r.IntN(len(b)+1)]
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		q = open(t, dir, 64<<10)
		if err := q.Put(Message{Topic: "last"}); err != nil {
			t.Fatal(err)
		}
		var topic string
		for range 2000 {
			m, ticket, ok, err := q.Next()
			if err != nil {
				continue
			}
			if !ok {
				break
			}
			topic = m.Topic
			q.Ack(ticket)
		}
		if topic != "last" || q.Waiting() != 0 {
			t.Errorf("seed %d: %q came last, %d still wait", seed, topic, q.Waiting())
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, Message{Topic: "a/b", Payload: []byte("{}"), Retain: true}))
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := readRecord(bytes.NewReader(b))
		if err == nil && !bytes.Equal(appendRecord(nil, m)[recordHead+1:], b[recordHead+1:n]) {
			t.Errorf("%x reads as %+v", b, m)
		}
	})
}
