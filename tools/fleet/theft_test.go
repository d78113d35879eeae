package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"mien/device/fleet"
	"mien/device/signal"
	"mien/runtime/testwait"
)

// thief is somebody who has a board's credentials and the whole of NATS's client.
type thief struct{ *nats.Conn }

func newThief(t testing.TB, h *hub, o fleet.Options) *thief {
	t.Helper()
	nc, err := nats.Connect(h.url, nats.UserCredentials(o.Credentials), nats.RootCAs(o.CA), nats.CustomInboxPrefix(o.ID.Inbox()), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &thief{nc}
}

// may reports whether the server lets something be said, or heard, under a subject.
func (x *thief) may(t testing.TB, subject string, try func() error) bool {
	t.Helper()
	if err := errors.Join(try(), x.Flush()); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	// The server's answer to Flush comes after its denial.
	err := x.LastError()
	return err == nil || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+subject+`"`)
}

// Who stole a board reads and writes nothing of another, whatever the client: no
// subject, no stream, no consumer, no inbox, no value, no file.
func TestStolenBoard(t *testing.T) {
	h := newHub(t)
	own, other := h.enrol(t, hall), fleet.ID{Site: "hall", Board: "other"}
	x := newThief(t, h, own)
	say := func(subject, body string) func() error {
		return func() error { return x.PublishRequest(subject, hall.Inbox()+".x", []byte(body)) }
	}
	hear := func(subject string) func() error {
		return func() error { _, err := x.SubscribeSync(subject); return err }
	}
	// What it may, first: otherwise a server that denies all would pass.
	publish, subscribe := hall.May()
	for _, s := range publish {
		if s = strings.Replace(s, ">", "x", 1); !x.may(t, s, say(s, "{}")) {
			t.Errorf("the board may not publish to %s", s)
		}
	}
	for _, s := range subscribe {
		if !x.may(t, s, hear(s)) {
			t.Errorf("the board may not hear %s", s)
		}
	}
	var theirs []string
	for _, s := range fleet.Subjects {
		theirs = append(theirs, other.Subject(s.Name), "mien.other.door."+s.Name, fleet.All(s.Name))
	}
	for _, s := range append(theirs, "mien.>", ">", "_INBOX.>", "_INBOX.*.*.>", other.Inbox()+".>", "$KV.desired."+other.Key(), "$KV.desired.*.*", "$KV.rollouts.*", "$KV.rollouts."+hall.Key(), "$JS.>", "$JS.API.>", "$KV.>", "$O.>", "$SYS.>", "$JS.EVENT.ADVISORY.>", "*.*.*.*", "mien.*.*.command") {
		if x.may(t, s, hear(s)) {
			t.Errorf("a stolen board hears %s", s)
		}
	}
	for _, s := range []string{"SEEN", "STATUS", "KV_desired", "KV_rollouts", "OBJ_artifacts"} {
		for _, api := range []string{"STREAM.INFO.", "STREAM.PURGE.", "STREAM.DELETE.", "STREAM.UPDATE.", "STREAM.MSG.GET.", "STREAM.MSG.DELETE.", "STREAM.SNAPSHOT.", "CONSUMER.LIST.",
			"CONSUMER.NAMES.", "CONSUMER.CREATE.", "CONSUMER.DURABLE.CREATE."} {
			for _, end := range []string{"", ".c", ".c." + hall.Subject("track"), ".c." + other.Subject("track")} {
				theirs = append(theirs, "$JS.API."+api+s+end)
			}
		}
		if s != "OBJ_artifacts" {
			theirs = append(theirs, "$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+"."+other.Subject("track"), "$JS.API.DIRECT.GET."+s+"."+hall.Subject("*"))
		}
	}
	theirs = append(theirs, "$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.CREATE.X", "$JS.ACK.SEEN.c.1.1.1.1.0", "$JS.FC.SEEN.c.x",
		"$KV.desired."+other.Key(), "$KV.desired."+hall.Key(), "$JS.API.DIRECT.GET.KV_desired.$KV.desired."+other.Key(), "$KV.rollouts.x", "$JS.API.DIRECT.GET.KV_rollouts.$KV.rollouts."+hall.Key(), "$O.artifacts.M.x", "$O.artifacts.C.x",
		"$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING", other.Inbox()+".x", "_INBOX.x", hall.Subject(fleet.OfCommand))
	for _, s := range theirs {
		if !strings.Contains(s, "mien.*") && x.may(t, s, say(s, `{"last_by_subj":"`+other.Subject("track")+`"}`)) {
			t.Errorf("a stolen board publishes to %s", s)
		}
	}
	// What it may ask about itself does not tell of another by another body.
	run(t, h.enrol(t, other))
	b, stop := run(t, h.enrol(t, fleet.ID{Site: "hall", Board: "third"}))
	b.Transition(signal.Transition{Line: "secret"})
	testwait.Until(t, "it is kept", func() bool { return b.Stats().Sent > 2 })
	stop()
	m, err := x.Request("$JS.API.DIRECT.GET.SEEN."+hall.Subject("transition"), []byte(`{"last_by_subj":"mien.hall.third.transition"}`), time.Second)
	if err != nil || strings.Contains(string(m.Data), "secret") {
		t.Errorf("asked about itself: %v, %v", m, err)
	}
}

// Nothing that a stolen board can have delivered to another is obeyed: the server
// answers under any subject that is named, and so could hand over a command that was
// stored before.
func TestAnswersAreNoCommands(t *testing.T) {
	h := newHub(t)
	x := newThief(t, h, h.enrol(t, hall))
	other := fleet.ID{Site: "hall", Board: "other"}
	o := h.enrol(t, other)
	heard := make(chan fleet.Audit, 10)
	o.Commands = map[string]fleet.Do{fleet.Restart: func(context.Context, map[string]string) (string, error) { t.Error("obeyed"); return "", nil }}
	o.Audit = func(a fleet.Audit) { heard <- a }
	b, _ := run(t, o)
	testwait.Until(t, "connected", func() bool { return b.Stats().Connected })
	forged, err := json.Marshal(fleet.Command{Name: fleet.Restart, By: "thief"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Request(hall.Subject("track"), forged, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := x.PublishRequest("$JS.API.DIRECT.GET.SEEN."+hall.Subject("track"), other.Subject(fleet.OfCommand), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-heard:
		if a.Done || a.By != "thief" {
			t.Errorf("%+v", a)
		}
	case <-time.After(10 * time.Second):
		t.Error("the forged command did not come, so this tests nothing")
	}
}

// A command is obeyed when the holder of the fleet's key seals it for this board
// and this moment, and not again.
func TestCommands(t *testing.T) {
	h := newHub(t)
	o := h.enrol(t, hall)
	obeyed := make(chan map[string]string, 10)
	o.Commands = map[string]fleet.Do{fleet.Set: func(_ context.Context, args map[string]string) (string, error) { obeyed <- args; return "set", nil },
		fleet.Doctor: func(context.Context, map[string]string) (string, error) { return "", errors.New("no camera") }}
	var mu sync.Mutex
	var audit []fleet.Audit
	o.Audit = func(a fleet.Audit) { mu.Lock(); defer mu.Unlock(); audit = append(audit, a) }
	b, _ := run(t, o)
	testwait.Until(t, "connected", func() bool { return b.Stats().Connected && b.Stats().Queued == 0 })
	a, err := h.Command(t.Context(), h.nc, hall, fleet.Command{Name: fleet.Set, By: "me", Args: map[string]string{"a": "b"}})
	if err != nil || !a.Done || a.Outcome != "set" || (<-obeyed)["a"] != "b" {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := h.Command(t.Context(), h.nc, hall, fleet.Command{Name: fleet.Doctor}); err != nil || a.Done || a.Outcome != "no camera" {
		t.Errorf("one that fails: %+v %v", a, err)
	}
	if a, err := h.Command(t.Context(), h.nc, hall, fleet.Command{Name: fleet.Restart}); err != nil || a.Done || !strings.Contains(a.Outcome, "not enabled") {
		t.Errorf("one that is off: %+v %v", a, err)
	}
	stranger, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *fleet.Command) error{
		"again":            func(c *fleet.Command) error { c.Word = "said before"; return c.SealFor(hall, h.Key()) },
		"another's seal":   func(c *fleet.Command) error { return c.SealFor(hall, stranger) },
		"for another":      func(c *fleet.Command) error { return c.SealFor(fleet.ID{Site: "hall", Board: "x"}, h.Key()) },
		"changed after it": func(c *fleet.Command) error { err := c.SealFor(hall, h.Key()); c.Args["a"] = "c"; return err },
		"no seal":          func(*fleet.Command) error { return nil },
	} {
		w, err := ask(t.Context(), h.nc, hall, nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c := fleet.Command{Name: fleet.Set, By: "x", Word: w.Word, Args: map[string]string{"a": "b"}}
		if err := change(&c); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := ask(t.Context(), h.nc, hall, body, time.Minute); err != nil || a.Done || len(obeyed) > 0 {
			t.Errorf("%s: %+v %v", name, a, err)
		}
	}
	testwait.Until(t, "each is written down at the hub", func() bool { return len(h.stored(t, "STATUS", hall.Subject(fleet.OfAudit))) == 8 })
	mu.Lock()
	defer mu.Unlock()
	if len(audit) != 8 || audit[0].By != "me" || !audit[0].Done {
		t.Errorf("%+v", audit)
	}
}

// Two boards with the same credentials and the same queue lose nothing of each
// other's, can be told apart, and are both thrown out by new credentials.
func TestCopiedBoard(t *testing.T) {
	h := newHub(t)
	if err := h.WriteAbout(About{Servers: []string{h.url}, Tools: h.url}); err != nil {
		t.Fatal(err)
	}
	o := h.enrol(t, hall)
	copied := o
	copied.Dir = t.TempDir()
	a, _ := run(t, o)
	b, _ := run(t, copied)
	for i := range 50 {
		a.Transition(signal.Transition{Line: "a", Level: i})
		b.Transition(signal.Transition{Line: "b", Level: i})
	}
	testwait.Until(t, "all is kept", func() bool {
		return a.Stats().Queued == 0 && b.Stats().Queued == 0 && a.Stats().Sent+b.Stats().Sent >= 104
	})
	lives := map[string]uint64{}
	for _, m := range h.stored(t, "SEEN", hall.Subject("*")) {
		id, _ := fleet.ParseMessageID(m.Header.Get(nats.MsgIdHdr))
		if id.Number <= lives[id.Life] {
			t.Errorf("%v after %d", id, lives[id.Life])
		}
		lives[id.Life] = id.Number
	}
	if n := len(h.stored(t, "SEEN", hall.Subject("*"))); n != 100 || len(lives) != 2 {
		t.Errorf("%d messages of %d lives, want 100 of 2", n, len(lives))
	}
	creds, before, err := h.Enrol(hall)
	if err != nil || before == nil {
		t.Fatal(err)
	}
	if err := h.Revoke(t.Context(), *before); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "both are out", func() bool { return !a.Stats().Connected && !b.Stats().Connected })
	// The one that gets the new credentials goes on.
	if err := os.WriteFile(o.Credentials, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "back", func() bool { return a.Stats().Connected })
}

// What is stored of a forgotten board is gone, and it comes back by no credentials.
func TestForget(t *testing.T) {
	h := newHub(t)
	if err := h.WriteAbout(About{Servers: []string{h.url}, Tools: h.url}); err != nil {
		t.Fatal(err)
	}
	other := fleet.ID{Site: "hall", Board: "other"}
	a, _ := run(t, h.enrol(t, hall))
	b, _ := run(t, h.enrol(t, other))
	for range 10 {
		a.Transition(signal.Transition{})
		b.Transition(signal.Transition{})
	}
	kv, err := h.js.KeyValue(t.Context(), fleet.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), hall.Key(), "x"); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "all is kept", func() bool { return a.Stats().Sent == 12 && b.Stats().Sent == 12 })
	if n, err := h.Forget(t.Context(), h.js, hall); err != nil || n != 12 {
		t.Fatalf("%d, %v", n, err)
	}
	testwait.Until(t, "it is out", func() bool { return !a.Stats().Connected })
	for _, s := range fleet.Streams {
		if n := len(h.stored(t, s.Name, hall.Subject("*"))); n != 0 {
			t.Errorf("%s still holds %d messages", s.Name, n)
		}
	}
	if _, err := kv.Get(t.Context(), hall.Key()); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("its value: %v", err)
	}
	if n := len(h.stored(t, "SEEN", other.Subject("*"))); n != 10 {
		t.Errorf("of the other board %d messages are left, want 10", n)
	}
	if all, err := h.Boards(); err != nil || len(all) != 1 || all[0].ID != other {
		t.Errorf("%v, %v", all, err)
	}
}
