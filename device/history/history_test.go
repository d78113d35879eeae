package history

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/device"
	"mien/device/signal"
)

// clocked is a log at a time that the test sets.
func clocked(t *testing.T, path string, days int, now *time.Time) *Log {
	t.Helper()
	l, err := Open(path, days, func() string { return "emotion" })
	if err != nil {
		t.Fatal(err)
	}
	l.now = func() time.Time { return *now }
	return l
}

func track(kind device.TrackKind, id uint64, label string) *device.Track {
	return &device.Track{Kind: kind, Face: device.FaceReading{ID: id, Heads: []device.HeadReading{{Name: "emotion", Label: label, Uncertain: label == ""}}}}
}

// write saves as the end of a run does.
func write(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// A face counts once in the hour in which it came, and once by each answer; the
// next run goes on counting.
func TestCounts(t *testing.T) {
	now := time.Now().Truncate(time.Hour).Add(5 * time.Minute)
	path := filepath.Join(t.TempDir(), "history.json")
	l := clocked(t, path, 2, &now)
	l.Track(track(device.Begin, 1, ""))
	l.Track(track(device.Update, 1, "happy"))
	l.Track(track(device.Update, 1, "sad"))
	l.Track(track(device.Update, 1, "happy"))
	l.Track(track(device.End, 1, "happy"))
	l.Track(track(device.Begin, 2, "happy"))
	write(t, l)
	l = clocked(t, path, 2, &now)
	now = now.Add(time.Hour)
	l.Track(track(device.Begin, 1, "angry"))
	if len(l.Hours()) != 2 {
		t.Fatalf("%+v", l.Hours())
	}
	first, second := l.Hours()[0], l.Hours()[1]
	if first.Faces != 2 || first.Answers["happy"] != 2 || first.Answers["sad"] != 1 || second.Faces != 1 || second.Answers["angry"] != 1 {
		t.Errorf("%+v, %+v", first, second)
	}
	write(t, l)
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), ":05:") {
		t.Errorf("%s, %v: only the hour is kept", data, err)
	}
}

// What is older than the days goes, from memory and file, whatever the clock
// does; so does all of it when it is switched off.
func TestRetention(t *testing.T) {
	now := time.Now().Truncate(time.Hour)
	path := filepath.Join(t.TempDir(), "history.json")
	l := clocked(t, path, 1, &now)
	for i := range 100 {
		l.Track(track(device.Begin, uint64(i), "happy"))
		now = now.Add(time.Hour)
	}
	if n := len(l.Hours()); n > 25 || n < 23 {
		t.Errorf("%d hours of a day", n)
	}
	now = now.Add(-90 * time.Hour) // it was set back
	l.Track(track(device.Begin, 1000, "happy"))
	if n := len(l.Hours()); n > 25 {
		t.Errorf("%d hours of a day", n)
	}
	now = now.Add(400 * time.Hour)
	write(t, l)
	if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "happy") {
		t.Errorf("%s, %v", data, err)
	}
	if err := Remove(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the file is still there")
	}
}

// Consent that is taken back takes what was counted, from the file too, also what
// runs before have counted; what comes then is not counted.
func TestConsent(t *testing.T) {
	now := time.Now().Truncate(time.Hour)
	path := filepath.Join(t.TempDir(), "history.json")
	l := clocked(t, path, 2, &now)
	l.State(device.State{State: signal.NoConsent})
	l.Track(track(device.Begin, 3, "angry"))
	l.State(device.State{State: signal.Reading})
	l.Track(track(device.Begin, 1, "happy"))
	write(t, l)
	now = now.Add(2 * time.Hour)
	l = clocked(t, path, 2, &now) // the device starts again, and its switch is on
	l.State(device.State{State: signal.Reading})
	l.Track(track(device.Begin, 2, "sad"))
	if h := l.Hours(); len(h) != 2 || h[0].Faces != 1 || h[1].Faces != 1 {
		t.Fatalf("counted: %+v", h)
	}
	write(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	l.State(device.State{State: signal.NoConsent})
	l.Forget()
	l.Track(track(device.Begin, 3, "angry"))
	if h := l.Hours(); len(h) > 0 {
		t.Errorf("kept without consent: %+v", h)
	}
	for range 100 {
		if data, err := os.ReadFile(path); err == nil && !strings.Contains(string(data), "sad") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "hour") {
		t.Errorf("while the device runs on the file holds %s, %v", data, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A clock that was far ahead, and is set right, leaves what was counted before it and
// counts on in the right hours.
func TestClockAhead(t *testing.T) {
	right := time.Now().Truncate(time.Hour)
	now := right
	path := filepath.Join(t.TempDir(), "history.json")
	l := clocked(t, path, 3, &now)
	l.Track(track(device.Begin, 1, "happy"))
	now = right.Add(30 * time.Hour)
	l.Track(track(device.Begin, 2, "sad"))
	write(t, l)
	for _, again := range []bool{false, true} {
		now = right.Add(time.Hour)
		if again {
			l = clocked(t, path, 3, &now)
		}
		l.Track(track(device.Begin, 3, "angry"))
		h := l.Hours()
		if len(h) != 2 || !h[0].Hour.Equal(right) || h[0].Answers["happy"] != 1 || !h[1].Hour.Equal(now) || h[1].Answers["angry"] != 1 {
			t.Errorf("started again %v: %+v", again, h)
		}
	}
	now = right.Add(time.Hour - time.Minute) // a little back, as time servers do it
	l.Track(track(device.Begin, 4, "angry"))
	if h := l.Hours(); len(h) != 2 || h[1].Faces != 2 {
		t.Errorf("%+v", h)
	}
}

// A damaged file is told, and does not keep the rest from counting.
func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	if err := os.WriteFile(path, []byte(`[{"hour":`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path, 1, func() string { return "" })
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	l.Track(track(device.Begin, 1, "happy"))
	write(t, l)
	if l, err := Open(path, 1, nil); err != nil || len(l.Hours()) != 1 {
		t.Errorf("%v", err)
	}
}
