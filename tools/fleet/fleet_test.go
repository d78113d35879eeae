package fleet

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mien/device"
	"mien/device/fleet"
	"mien/device/signal"
	"mien/runtime/testwait"
)

// hub is a hub that runs, and a connection that may all.
type hub struct {
	*Home
	server *Server
	url    string
	nc     *nats.Conn
	js     jetstream.JetStream
}

func newHub(t testing.TB) *hub {
	t.Helper()
	h, err := MakeHome(filepath.Join(t.TempDir(), "hub"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Start(ServerOptions{Listen: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Disk: 1 << 30, Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	out := &hub{Home: h, server: s, url: "tls://" + s.Address()}
	if out.nc, out.js, err = h.Connect(t.Context(), out.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.nc.Close)
	if err := Ensure(t.Context(), out.js, 1<<30, 1); err != nil {
		t.Fatal(err)
	}
	return out
}

// enrol returns the options of a board of the hub.
func (h *hub) enrol(t testing.TB, id fleet.ID) fleet.Options {
	t.Helper()
	creds, _, err := h.Enrol(id)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "board.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return fleet.Options{Servers: []string{h.url}, Credentials: file, CA: h.path("ca.pem"), ID: id, Key: public(h.Key()), Dir: filepath.Join(dir, "queue"),
		Every: time.Hour, Events: []string{fleet.OfTrack, fleet.OfTransition}, Report: func(err error) { t.Logf("%v: %v", id, err) }}
}

// run runs a board until the function that it returns is called.
func run(t testing.TB, o fleet.Options) (*fleet.Board, func()) {
	t.Helper()
	b, err := fleet.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop := func() {
		cancel()
		if done != nil {
			if err := <-done; err != nil {
				t.Error(err)
			}
			done = nil
		}
	}
	t.Cleanup(stop)
	return b, stop
}

// stored returns what a stream holds under a subject, oldest first.
func (h *hub) stored(t testing.TB, stream, subject string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	s, err := h.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	for next := uint64(1); ; {
		m, err := s.GetMsg(t.Context(), next, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return all
		}
		all, next = append(all, m), m.Sequence+1
	}
}

var hall = fleet.ID{Site: "hall", Board: "door"}

// What a board sees reaches the hub once, in order, with nothing lost, also what
// waited while the hub was away.
func TestEventsReachTheHub(t *testing.T) {
	h := newHub(t)
	b, stop := run(t, h.enrol(t, hall))
	for i := range 100 {
		b.Transition(signal.Transition{Line: "face", Level: i % 2})
	}
	b.State(device.State{State: signal.Reading, Ready: true})
	testwait.Until(t, "all are kept", func() bool { return b.Stats().Sent >= 103 && b.Stats().Queued == 0 })
	stop()
	got := h.stored(t, "SEEN", hall.Subject("*"))
	if len(got) != 100 {
		t.Fatalf("%d transitions are kept, want 100", len(got))
	}
	last := uint64(0)
	for _, m := range got {
		id, ok := fleet.ParseMessageID(m.Header.Get(nats.MsgIdHdr))
		if !ok || id.Number <= last {
			t.Fatalf("%v after %d", id, last)
		}
		last = id.Number
	}
	if n := len(h.stored(t, "STATUS", hall.Subject("*"))); n != 3 {
		t.Errorf("%d messages of status are kept, want a state, counts and health", n)
	}
}

// Boards and tools are sent where the server listens: a name of the machine leads to no
// other of its addresses.
func TestReached(t *testing.T) {
	own := []string{"vm", "localhost", "127.0.0.1", "::1", "192.0.2.2"}
	for _, c := range []struct {
		listen, tools string
		boards        []string
	}{
		{"", "tls://127.0.0.1:4222", []string{"tls://hub.example:4222", "tls://vm:4222", "tls://192.0.2.2:4222"}},
		{"::", "tls://127.0.0.1:4222", []string{"tls://hub.example:4222", "tls://vm:4222", "tls://192.0.2.2:4222"}},
		{"192.0.2.2", "tls://192.0.2.2:4222", []string{"tls://hub.example:4222", "tls://192.0.2.2:4222"}},
		{"127.0.0.1", "tls://127.0.0.1:4222", []string{"tls://hub.example:4222", "tls://127.0.0.1:4222"}},
	} {
		if boards, tools := reached(c.listen, "4222", []string{"hub.example"}, own); !slices.Equal(boards, c.boards) || tools != c.tools {
			t.Errorf("on %q: %v, %s", c.listen, boards, tools)
		}
	}
}
