package fleet

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/device"
	"mien/device/queue"
	"mien/device/signal"
)

func face(label string) device.FaceReading {
	return device.FaceReading{ID: 1, Heads: []device.HeadReading{{Name: "emotion", Label: label, Confidence: 0.9}, {Name: "age", Uncertain: true}}}
}

// kept returns what waits on a board that was stopped, by subject.
func kept(t *testing.T, b *Board) map[string][]queue.Message {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b.feed.Run(ended)
	all := map[string][]queue.Message{}
	for {
		m, _, ok, err := b.queue.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		_, name, err := ParseSubject(m.Topic)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = append(all[name], m)
	}
}

func board(t *testing.T, change func(*Options)) *Board {
	t.Helper()
	o := Options{Servers: []string{"tls://127.0.0.1:1"}, ID: ID{"hall", "door"}, Dir: t.TempDir(), Every: time.Hour}
	if change != nil {
		change(&o)
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.queue.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func show(b *Board, label string) {
	f := face(label)
	b.Track(&device.Track{Kind: device.Begin, Face: f})
	for i := range 20 {
		b.Reading(&device.Reading{Time: time.Unix(int64(i), 0).Add(time.Duration(i) * time.Millisecond), Faces: []device.FaceReading{f}})
	}
	b.Transition(signal.Transition{Line: "is_" + label, Active: true})
	b.Transition(signal.Transition{Line: "heartbeat"})
	b.State(device.State{State: signal.Reading})
}

// What is not enabled does not wait on the disk either; counts say how often, not who.
func TestWhatIsSent(t *testing.T) {
	b := board(t, nil)
	show(b, "happy")
	b.second()
	all := kept(t, b)
	if len(all) != 3 || len(all[OfState]) != 1 || len(all[OfHealth]) != 1 || len(all[OfCounts]) != 1 {
		t.Errorf("by default waits %v", all)
	}
	var c Counts
	if err := json.Unmarshal(all[OfCounts][0].Payload, &c); err != nil || c.Readings != 20 || c.WithFace != 20 || c.Begun != 1 || c.Most != 1 ||
		c.Answers["emotion"]["happy"] != 20 || c.Uncertain["age"] != 20 || len(c.Answers) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	b = board(t, func(o *Options) { o.Events, o.Readings = []string{OfTrack, OfTransition}, 0.5 })
	show(b, "happy")
	all = kept(t, b)
	if len(all[OfTrack]) != 1 || len(all[OfTransition]) != 1 || len(all[OfReading]) != 10 {
		t.Errorf("%d tracks, %d transitions, %d readings", len(all[OfTrack]), len(all[OfTransition]), len(all[OfReading]))
	}
	number := uint64(0)
	for _, name := range []string{OfTrack, OfReading, OfTransition, OfState} { // as they came
		for _, m := range all[name] {
			id, ok := ParseMessageID(m.ID)
			if number++; !ok || id.Life != b.life || id.Number != number {
				t.Errorf("%s has id %s, want number %d", name, m.ID, number)
			}
		}
	}
}

// What was seen with a consent that is taken back is gone from the disk and from the
// counts.
func TestForgetting(t *testing.T) {
	b := board(t, func(o *Options) { o.Events = []string{OfTrack} })
	show(b, "happy")
	b.Forget()
	b.second()
	for name, all := range kept(t, b) {
		for _, m := range all {
			if strings.Contains(string(m.Payload), "happy") {
				t.Errorf("%s still says %s", name, m.Payload)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(b.o.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err != nil || strings.Contains(string(data), "happy") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// A queue that is full lets the oldest go and counts it, and the numbers say so.
func TestFullQueue(t *testing.T) {
	b := board(t, func(o *Options) { o.Events, o.MaxBytes = []string{OfTransition}, queue.Least })
	for i := range queue.Inbox {
		b.Transition(signal.Transition{Line: "face", Level: i, Reason: strings.Repeat("x", 200)})
	}
	all := kept(t, b)[OfTransition]
	lost := b.Stats().Lost
	if first, _ := ParseMessageID(all[0].ID); lost == 0 || first.Number != lost+1 || uint64(len(all))+lost != queue.Inbox {
		t.Errorf("%d wait from number %d on, %d are lost", len(all), first.Number, lost)
	}
}
