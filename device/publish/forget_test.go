package publish

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mien/device"
	"mien/device/queue"
	"mien/device/signal"
)

// on counts the files of a queue in which a word stands.
func on(t *testing.T, dir, word string) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(b), word)
	}
	return n
}

// waiting waits until the disk has as many messages as that.
func waiting(t *testing.T, p *Publisher, want int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); p.queue.Waiting() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages wait, want %d", p.queue.Waiting(), want)
		}
	}
}

// What was seen with a consent that was taken back before the broker came is not
// delivered and not kept; what is told after that is.
func TestWithdrawnConsentIsNotDelivered(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	r.set(false)
	o := options(t, b, r)
	o.Interval = -1
	p, _ := run(t, o)
	for i := range 20 {
		p.Reading(&device.Reading{Seq: uint64(i), Time: time.Now(), Faces: []device.FaceReading{face(1, 100, "happy")}})
		p.Track(&device.Track{Kind: device.Update, Time: time.Now(), Face: face(1, 100, "happy")})
		p.Transition(signal.Transition{Line: "is_happy", Active: i%2 == 0})
	}
	if err := p.queue.SetAside(queue.Message{Topic: "x", Payload: []byte("happy")}, "no", time.Now()); err != nil {
		t.Fatal(err)
	}
	waiting(t, p, 60)
	if on(t, o.Dir, `"happy"`) == 0 {
		t.Fatal("the labels are not where this test looks") // negative control
	}
	p.Forget()
	p.Reading(&device.Reading{Seq: 99, Time: time.Now(), Faces: []device.FaceReading{}})
	p.Transition(signal.Transition{Line: "is_happy", Reason: "no consent"})
	waiting(t, p, 2)
	if n := on(t, o.Dir, "happy\\\"") + on(t, o.Dir, `"happy"`); n != 0 {
		t.Errorf("%d labels are on the disk still", n)
	}
	if lost := p.Stats().Lost; lost != 0 {
		t.Errorf("%d messages count as lost", lost)
	}
	r.set(true)
	e.await("what was told after", func(all []heard) bool {
		return slices.ContainsFunc(all, func(m heard) bool {
			return m.topic == "mien/hall-1/transition" && strings.Contains(m.payload, "no consent")
		})
	})
	for _, m := range e.all() {
		if strings.Contains(m.payload, `"happy"`) && !strings.Contains(m.topic, "/config") || strings.Contains(m.payload, `"active":true`) {
			t.Errorf("after consent was taken back: %s %s", m.topic, m.payload)
		}
	}
}

// Forget returns at once, also when nobody takes anything from memory; and what an
// earlier run left goes with Options.Forget, as nobody has agreed to it.
func TestForgetBeforeRun(t *testing.T) {
	o := Options{Broker: "mqtt://127.0.0.1:1", ID: "x", Dir: t.TempDir(), Interval: -1}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * queue.Inbox {
		p.Reading(&device.Reading{Faces: []device.FaceReading{face(1, 100, "happy")}})
	}
	p.Forget()
	p.Reading(&device.Reading{Faces: []device.FaceReading{}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := on(t, o.Dir, `"happy"`); n != 0 {
		t.Errorf("%d labels are on the disk", n)
	}
	for _, forget := range []bool{false, true} {
		o.Forget = forget
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 1, true: 0}[forget]; p.Stats().Queued != want {
			t.Errorf("forget %v: %d messages wait, want %d", forget, p.Stats().Queued, want)
		}
		if err := p.queue.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
