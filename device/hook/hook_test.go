package hook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mien/device"
	"mien/device/signal"
	"mien/runtime/peertest"
	"mien/runtime/testwait"
)

// teller keeps what it is told.
type teller struct {
	mu   sync.Mutex
	all  []*Message
	does func(context.Context, *Message) error
}

func (x *teller) Tell(ctx context.Context, m *Message) error {
	x.mu.Lock()
	x.all = append(x.all, m)
	x.mu.Unlock()
	if x.does != nil {
		return x.does(ctx, m)
	}
	return nil
}

func (x *teller) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.all)
}

func run(t *testing.T, h *Hook) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func track(kind device.TrackKind, id uint64) *device.Track {
	return &device.Track{Kind: kind, Time: time.Unix(100, 0), Face: device.FaceReading{ID: id, Heads: []device.HeadReading{{Name: "emotion", Label: "happy"}}}}
}

// Of what happens that is told which is asked for: the beginning and the end of
// a face, not each change between, and never the heartbeat.
func TestWhatIsTold(t *testing.T) {
	for _, c := range []struct {
		events []string
		want   string
	}{{[]string{OfTrack}, "begin end"}, {[]string{OfTransition}, "face"}, {[]string{OfTrack, OfTransition}, "begin face end"}, {nil, ""}} {
		x := &teller{}
		h := New(Options{Device: `the "door"`, Events: c.events, To: x})
		h.Track(track(device.Begin, 7))
		h.Track(track(device.Update, 7))
		h.Transition(signal.Transition{Line: "heartbeat", Pin: "GPIO27", Active: true})
		h.Transition(signal.Transition{Line: "face", Pin: "GPIO4", Active: true, Reason: "face present"})
		h.Reading(&device.Reading{})
		h.Track(track(device.End, 7))
		run(t, h)
		testwait.Until(t, "all", func() bool { return x.count() == len(strings.Fields(c.want)) })
		var got []string
		for _, m := range x.all {
			var said struct{ Device, Delivery, Event, Kind, Line string }
			if err := json.Unmarshal(m.JSON, &said); err != nil || said.Device != `the "door"` || said.Delivery != m.ID || len(m.ID) != 32 {
				t.Errorf("%s: %v", m.JSON, err)
			}
			got = append(got, said.Kind+said.Line)
			if m.Vars["EVENT"] != said.Event || m.Vars["KIND"] != said.Kind || m.Vars["LINE"] != said.Line {
				t.Errorf("%v does not say what %s says", m.Vars, m.JSON)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: told %v, want %s", c.events, got, c.want)
		}
	}
}

// What was lost while the one who is told was away is said when that is over.
func TestLostWhileAway(t *testing.T) {
	var tried atomic.Int64
	x := &teller{does: func(context.Context, *Message) error {
		if tried.Add(1) < 10 {
			return errors.New("away")
		}
		return nil
	}}
	notes := make(chan error, Waiting)
	h := New(Options{Events: []string{OfTrack}, To: x, Note: func(err error) { notes <- err }})
	for range Waiting + 3 {
		h.Track(track(device.Begin, 7))
	}
	run(t, h)
	testwait.Until(t, "the last", func() bool { return x.count() == Waiting })
	var said string
	testwait.Until(t, "that all is well", func() bool {
		select {
		case err := <-notes:
			if err != nil {
				said += err.Error() + "; "
			}
			return err == nil
		default:
			return false
		}
	})
	if !strings.Contains(said, "away; hook: 3 events were lost") {
		t.Errorf("noted: %s", said)
	}
}

// A teller that hangs makes nobody wait; what there is no room for is counted, and
// told when there is.
func TestNeverBlocks(t *testing.T) {
	free := make(chan struct{})
	x := &teller{does: func(ctx context.Context, _ *Message) error {
		select {
		case <-free:
		case <-ctx.Done():
		}
		return nil
	}}
	notes := make(chan error, 10)
	h := New(Options{Events: []string{OfTrack}, To: x, Note: func(err error) { notes <- err }})
	run(t, h)
	for id := range uint64(3 * Waiting) { // it would hang here
		h.Track(track(device.Begin, id))
	}
	close(free)
	if err := <-notes; err == nil || !strings.Contains(err.Error(), "events were lost") {
		t.Error(err)
	}
	if err := <-notes; err != nil {
		t.Errorf("it does not end to be wrong: %v", err)
	}
	testwait.Until(t, "what waited", func() bool { return x.count() >= Waiting })
	if n := x.count(); n > Waiting+1 {
		t.Errorf("%d events waited", n)
	}
}

// With consent goes what waits and what is being tried; what comes after is told.
func TestForget(t *testing.T) {
	began := make(chan struct{}, 1)
	x := &teller{does: func(ctx context.Context, m *Message) error {
		if m.Vars["FACE"] != "1" {
			return nil
		}
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	h := New(Options{Events: []string{OfTrack}, To: x, Note: func(err error) { t.Errorf("noted: %v", err) }})
	run(t, h)
	for id := range uint64(5) {
		h.Track(track(device.Begin, id+1))
	}
	<-began
	h.Forget()
	h.Track(track(device.Begin, 9))
	testwait.Until(t, "what came after", func() bool { return x.count() == 2 })
	if x.all[1].Vars["FACE"] != "9" {
		t.Errorf("face %s was told after consent was taken back", x.all[1].Vars["FACE"])
	}
}

// Only so many are told at once.
func TestAtOnce(t *testing.T) {
	var now, most atomic.Int64
	x := &teller{does: func(context.Context, *Message) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		return nil
	}}
	h := New(Options{Events: []string{OfTrack}, To: x, AtOnce: 3})
	run(t, h)
	for id := range uint64(30) {
		h.Track(track(device.Begin, id))
	}
	testwait.Until(t, "all", func() bool { return x.count() == 30 })
	if n := most.Load(); n > 3 {
		t.Errorf("%d at once", n)
	}
}

func message() *Message {
	return &Message{ID: "abc", JSON: []byte(`{"event":"track"}`), Vars: map[string]string{"EVENT": "track"}}
}

// What is posted can be known to be ours, and is tried again with the same id while
// the server is out of order.
func TestWebhook(t *testing.T) {
	var bodies, ids []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
		if ago := time.Since(time.Unix(sent, 0)); err != nil || ago < -time.Minute || ago > time.Minute {
			t.Errorf("sent at %d (%v)", sent, err)
		}
		mac := hmac.New(sha256.New, []byte("S3cretMark"))
		fmt.Fprintf(mac, "%s.%d.%s", r.Header.Get("webhook-id"), sent, b)
		if got := r.Header.Get("webhook-signature"); got != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Errorf("signature %q", got)
		}
		if r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" || r.URL.RawQuery != "a=1" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		bodies, ids = append(bodies, string(b)), append(ids, r.Header.Get(Delivery))
		if len(bodies) < 3 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	w, err := NewWebhook(srv.URL+"/x?a=1", "S3cretMark", "")
	if err != nil {
		t.Fatal(err)
	}
	w.first = time.Millisecond
	if err := w.Tell(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 3 || bodies[2] != `{"event":"track"}` || ids[0] != "abc" || ids[2] != "abc" {
		t.Errorf("%q, %q", bodies, ids)
	}
}

// The signature is the one that Svix, who wrote the standard, gives as an example
// (docs.svix.com, verifying payloads manually).
func TestSignatureIsTheStandards(t *testing.T) {
	key, err := secretOf("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, key := range []string{"whsec_", "whsec_no base64"} {
		if CheckKey(key) == nil {
			t.Errorf("%q is taken", key)
		}
		if _, err := NewWebhook("https://host/x", key, ""); err == nil {
			t.Errorf("a webhook with the key %q", key)
		}
	}
}

// What goes wrong is tried as often as it makes sense, and said without what is
// secret in the address.
func TestWebhookErrors(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/S3cretMark", http.StatusFound)
		case "/no":
			http.Error(w, "S3cretMark", http.StatusForbidden)
		case "/broken":
			http.Error(w, "S3cretMark", http.StatusInternalServerError)
		default:
			t.Errorf("%s was asked for", r.URL)
		}
	}))
	defer srv.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		address, want string
		asked         int64
	}{
		{srv.URL + "/moved", "not followed", 1}, {srv.URL + "/no", "403", 1}, {srv.URL + "/broken", "500", Attempts}, {gone.URL, "refused", 0},
	} {
		asked.Store(0)
		w, err := NewWebhook(strings.Replace(c.address, "//", "//u:S3cretMark@", 1)+"?key=S3cretMark", "S3cretMark", "")
		if err != nil {
			t.Fatal(err)
		}
		w.first = time.Millisecond
		err = w.Tell(t.Context(), message())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "S3cretMark") || asked.Load() != c.asked {
			t.Errorf("%s: asked %d times: %v, want %q", c.address, asked.Load(), err, c.want)
		}
	}
	for _, address := range []string{"", "ftp://S3cretMark@a", "https:///S3cretMark?S3cretMark", "/x"} {
		if err := CheckURL(address); err == nil || strings.Contains(err.Error(), "S3cretMark") {
			t.Errorf("%q: %v", address, err)
		}
	}
	// It ends with its context, however long it would try.
	w, err := NewWebhook(gone.URL, "", "")
	if err != nil {
		t.Fatal(err)
	}
	w.first = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.Tell(ctx, message()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A server's own certificate is trusted when it is named, and only then.
func TestWebhookCA(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	srv := peertest.HTTPS(t, ca, func(http.ResponseWriter, *http.Request) {})
	for _, file := range []string{ca, ""} {
		w, err := NewWebhook(srv.URL, "", file)
		if err != nil {
			t.Fatal(err)
		}
		w.first = time.Millisecond
		if err := w.Tell(t.Context(), message()); (err == nil) != (file != "") {
			t.Errorf("with %q: %v", file, err)
		}
	}
	if _, err := NewWebhook(srv.URL, "", "/nonexistent"); err == nil {
		t.Error("a certificate that is not there was taken")
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "it's a hook")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// A program gets its arguments as they are, the event in both places, and none of
// the device's environment.
func TestCommand(t *testing.T) {
	t.Setenv("MIEN_TEST_TOKEN", "S3cretMark")
	out := filepath.Join(t.TempDir(), "out")
	c, err := NewCommand([]string{script(t, `{ echo "$1"; cat; echo; echo "$MIEN_JSON"; env; } > "$2"`), "a b; $(c) 'd'", out})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Check(), c.Tell(t.Context(), message())); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "a b; $(c) 'd'\n{\"event\":\"track\"}\n{\"event\":\"track\"}\n") || !strings.Contains(string(b), "MIEN_EVENT=track") || strings.Contains(string(b), "S3cretMark") {
		t.Errorf("%s", b)
	}
}

// A program that fails says why, and one that hangs is ended with its children.
func TestCommandErrors(t *testing.T) {
	c, err := NewCommand([]string{script(t, `printf 'no \033[2Jlamp\nmore' >&2; exit 3`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Tell(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "exit status 3: no ") || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("%q", err)
	}
	alive := filepath.Join(t.TempDir(), "alive")
	if c, err = NewCommand([]string{script(t, `sh -c 'sleep 1; touch "$0"' "$1" & sleep 60`), alive}); err != nil {
		t.Fatal(err)
	}
	c.limit = 200 * time.Millisecond
	if err := c.Tell(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "did not end within") {
		t.Error(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if _, err := os.Stat(alive); err == nil {
		t.Error("a child of the program went on")
	}
	// So does what a program leaves behind that ends well, also where it keeps the pipe.
	for _, output := range []string{"", " 2>/dev/null"} {
		if c, err = NewCommand([]string{script(t, `(sleep 1; touch "$1")`+output+` & exit 0`), alive}); err != nil {
			t.Fatal(err)
		}
		if err := c.Tell(t.Context(), message()); err != nil {
			t.Errorf("a program that leaves a child behind: %v", err)
		}
		time.Sleep(1500 * time.Millisecond)
		if _, err := os.Stat(alive); err == nil {
			t.Error("what a program left behind went on")
		}
	}
	for _, argv := range [][]string{nil, {"greet"}, {"./greet"}} {
		if _, err := NewCommand(argv); err == nil {
			t.Errorf("%q was taken", argv)
		}
	}
	if c, err = NewCommand([]string{"/nonexistent"}); err != nil || c.Check() == nil || c.Tell(t.Context(), message()) == nil {
		t.Error("a program that is not there was run")
	}
}
