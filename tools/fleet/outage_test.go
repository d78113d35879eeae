package fleet

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"mien/device/fleet"
	"mien/device/fleet/wire"
	"mien/device/signal"
	"mien/runtime/testwait"
)

// TestMain lets the test's own program be a hub that can be killed, or many boards.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FLEET_HUB"); dir != "" {
		err := Serve(context.Background(), ServeOptions{Dir: dir, Listen: os.Getenv("FLEET_LISTEN"), Disk: 4 << 30, Sync: time.Minute, Out: os.Stdout,
			Ready: func() { fmt.Println("ready") }})
		fmt.Println(err)
		os.Exit(1)
	}
	if what := os.Getenv("FLEET_BOARDS"); what != "" {
		if err := simulate(what); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mortal is a hub in a process of its own.
type mortal struct {
	dir, listen string
	limit       int // of the size of a file, KiB; 0 for none
	cmd         *exec.Cmd
}

func newMortal(t testing.TB) *mortal {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{dir: filepath.Join(t.TempDir(), "hub"), listen: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m.start(t)
	t.Cleanup(func() { m.kill(t) })
	return m
}

func (m *mortal) start(t testing.TB) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m.cmd = exec.Command(exe)
	if m.limit > 0 {
		m.cmd = exec.Command("bash", "-c", fmt.Sprintf("ulimit -f %d; exec %q", m.limit, exe))
	}
	m.cmd.Env = append(os.Environ(), "FLEET_HUB="+m.dir, "FLEET_LISTEN="+m.listen)
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		var said strings.Builder
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			said.Write(b[:n])
			if strings.Contains(said.String(), "ready\n") || err != nil {
				ready <- said.String()
				_, _ = io.Copy(io.Discard, out)
				return
			}
		}
	}()
	if s := <-ready; !strings.Contains(s, "ready\n") {
		t.Fatalf("the hub ends: %s", s)
	}
}

// kill is kill -9.
func (m *mortal) kill(t testing.TB) {
	t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = m.cmd.Wait()
}

// hub connects to it.
func (m *mortal) hub(t testing.TB) *hub {
	t.Helper()
	h, err := OpenHome(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	out := &hub{Home: h, url: "tls://" + m.listen}
	if out.nc, out.js, err = h.Connect(t.Context(), out.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.nc.Close)
	return out
}

// check reads everything that a stream holds and says where a board's messages are
// missing, out of order or there twice.
func (h *hub) check(t testing.TB, stream string, each map[fleet.ID]uint64) {
	t.Helper()
	s, err := h.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, count := map[string]uint64{}, map[fleet.ID]uint64{}
	msgs, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer msgs.Stop()
	for range info.State.Msgs {
		m, err := msgs.Next()
		if err != nil {
			t.Fatal(err)
		}
		from, _, err := fleet.ParseSubject(m.Subject())
		if err != nil {
			t.Fatal(err)
		}
		id, ok := fleet.ParseMessageID(m.Headers().Get(nats.MsgIdHdr))
		if key := from.String() + " " + id.Life; !ok || id.Number <= last[key] {
			t.Errorf("%v: %v is kept after %d", from, id, last[key])
		} else {
			last[key] = id.Number
		}
		count[from]++
	}
	for from, want := range each {
		if count[from] != want {
			t.Errorf("%v: %d messages are kept, want %d", from, count[from], want)
		}
	}
}

// boards runs many boards that each see something again and again until stop, which
// says how often.
func boards(t testing.TB, h *hub, n int, pause time.Duration) (all []*fleet.Board, stop func() map[fleet.ID]uint64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	saw := make([]uint64, n)
	var ids []fleet.ID
	for i := range n {
		id := fleet.ID{Site: "hall", Board: fmt.Sprintf("b%d", i)}
		o := h.enrol(t, id)
		o.Report = nil
		b, _ := run(t, o)
		all, ids = append(all, b), append(ids, id)
		wait.Go(func() {
			for ctx.Err() == nil {
				b.Transition(signal.Transition{Line: "face", Level: int(saw[i])})
				saw[i]++
				time.Sleep(pause)
			}
		})
	}
	return all, func() map[fleet.ID]uint64 {
		cancel()
		wait.Wait()
		out := map[fleet.ID]uint64{}
		for i, id := range ids {
			out[id] = saw[i]
		}
		return out
	}
}

// empty waits until nothing waits on any board.
func empty(t testing.TB, all []*fleet.Board) {
	t.Helper()
	for i, b := range all {
		testwait.Until(t, fmt.Sprintf("board %d has told all", i), func() bool { return b.Stats().Queued == 0 })
		if s := b.Stats(); s.Lost > 0 {
			t.Errorf("board %d lost %d", i, s.Lost)
		}
	}
}

// A hub that is killed again and again loses nothing of any board, keeps the order
// of each, and keeps nothing twice.
func TestHubKilled(t *testing.T) {
	m := newMortal(t)
	all, stop := boards(t, m.hub(t), 20, 5*time.Millisecond)
	for i := range 10 {
		time.Sleep(time.Duration(200+37*i) * time.Millisecond)
		m.kill(t)
		m.start(t)
	}
	saw := stop()
	empty(t, all)
	m.hub(t).check(t, "SEEN", saw)
}

// A board that is killed and started again, again and again, sends what waited,
// and nothing twice. Its hub is away most of the time.
func TestBoardStartedAgain(t *testing.T) {
	m := newMortal(t)
	h := m.hub(t)
	o := h.enrol(t, hall)
	total := uint64(0)
	for life := range 6 {
		if life%3 != 2 {
			m.kill(t)
		}
		b, stop := run(t, o)
		for range 50 {
			b.Transition(signal.Transition{Line: "face", Level: int(total)})
			total++
		}
		if life%3 != 2 {
			m.start(t)
		}
		if life%2 == 0 {
			time.Sleep(300 * time.Millisecond)
		} else {
			testwait.Until(t, "all is told", func() bool { return b.Stats().Queued == 0 })
		}
		stop()
	}
	h.check(t, "SEEN", map[fleet.ID]uint64{hall: total})
}

// lossy is a way to the hub that can be made to swallow all that the hub says, and
// then be cut.
type lossy struct {
	net.Listener
	mu      sync.Mutex
	swallow bool
	conns   []net.Conn
}

func newLossy(t testing.TB, to string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &lossy{Listener: l}
	t.Cleanup(func() { l.Close(); x.cut() })
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			x.mu.Lock()
			x.conns = append(x.conns, a, b)
			x.mu.Unlock()
			go func() { _, _ = io.Copy(b, a); b.Close() }()
			go func() {
				buf := make([]byte, 32<<10)
				for {
					n, err := b.Read(buf)
					x.mu.Lock()
					deaf := x.swallow
					x.mu.Unlock()
					if !deaf && n > 0 {
						_, err = a.Write(buf[:n])
					}
					if err != nil {
						a.Close()
						return
					}
				}
			}()
		}
	}()
	return x
}

func (x *lossy) set(swallow bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.swallow = swallow
}

func (x *lossy) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.conns {
		c.Close()
	}
	x.conns = nil
}

// When the network parts after the hub has kept something and before the board hears
// of it, it is not kept again.
func TestPartition(t *testing.T) {
	h := newHub(t)
	way := newLossy(t, strings.TrimPrefix(h.url, "tls://"))
	o := h.enrol(t, hall)
	o.Servers = []string{"tls://" + way.Addr().String()}
	b, _ := run(t, o)
	n := uint64(0)
	for range 10 {
		testwait.Until(t, "connected", func() bool { return b.Stats().Connected })
		way.set(true)
		for range 20 {
			b.Transition(signal.Transition{Line: "face", Level: int(n)})
			n++
		}
		time.Sleep(50 * time.Millisecond)
		way.cut()
		way.set(false)
	}
	testwait.Until(t, "all is told", func() bool { return b.Stats().Queued == 0 })
	h.check(t, "SEEN", map[fleet.ID]uint64{hall: n})
}

// What a board repeats when the hub knows ids no longer is not kept again: it asks
// first.
func TestRepeatAfterDays(t *testing.T) {
	h := newHub(t)
	o := h.enrol(t, hall)
	b, stop := run(t, o)
	for range 20 {
		b.Transition(signal.Transition{Line: "face"})
	}
	testwait.Until(t, "all is told", func() bool { return b.Stats().Sent == 22 })
	stop()
	// The cursor as it was when the power went: all is sent again.
	if err := os.Remove(filepath.Join(o.Dir, "cursor")); err != nil {
		t.Fatal(err)
	}
	s, err := h.js.Stream(t.Context(), "SEEN")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Duplicates = 100 * time.Millisecond // days, for this test
	if _, err := h.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	b, _ = run(t, o)
	testwait.Until(t, "all is told again", func() bool { return b.Stats().Sent >= 22 && b.Stats().Queued == 0 })
	h.check(t, "SEEN", map[fleet.ID]uint64{hall: 20})
}

// An id that comes twice is kept once.
func TestSameID(t *testing.T) {
	h := newHub(t)
	o := h.enrol(t, hall)
	c, err := wire.Dial(t.Context(), wire.Options{Servers: o.Servers, Credentials: o.Credentials, CA: o.CA, Inbox: hall.Inbox(), Report: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		m, err := c.Ask(t.Context(), hall.Subject("track"), "LIFE-1", []byte("{}"))
		if err != nil || strings.Contains(string(m.Payload), `"duplicate": true`) != (i > 0) {
			t.Errorf("%d: %s, %v", i, m.Payload, err)
		}
	}
	if n := len(h.stored(t, "SEEN", hall.Subject("track"))); n != 1 {
		t.Errorf("%d are kept", n)
	}
}

// A hub without room says so; the board keeps all in its order until there is room.
func TestNoRoomAtTheHub(t *testing.T) {
	h := newHub(t)
	s, err := h.js.Stream(t.Context(), "SEEN")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	small := c
	small.Discard, small.MaxBytes = jetstream.DiscardNew, 4<<10
	if _, err := h.js.UpdateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	o := h.enrol(t, hall)
	var mu sync.Mutex
	said := ""
	o.Report = func(err error) { mu.Lock(); defer mu.Unlock(); said += err.Error() + "\n" }
	b, _ := run(t, o)
	for i := range 200 {
		b.Transition(signal.Transition{Line: "face", Level: i})
	}
	testwait.Until(t, "the hub says that it is full", func() bool { mu.Lock(); defer mu.Unlock(); return strings.Contains(said, "maximum bytes exceeded") })
	if b.Stats().Queued < 100 {
		t.Fatal("there was room, so this tests nothing")
	}
	if _, err := h.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "all is told", func() bool { return b.Stats().Queued == 0 })
	h.check(t, "SEEN", map[fleet.ID]uint64{hall: 200})
}

// A hub whose disk takes no more acknowledges nothing that it has not written: when
// there is room again after a restart, nothing is lost.
func TestDiskOfTheHubIsFull(t *testing.T) {
	m := newMortal(t)
	h := m.hub(t)
	m.kill(t)
	m.limit = 256 // KiB of a file, as if the disk took no more of it
	m.start(t)
	all, stop := boards(t, h, 4, time.Millisecond)
	told := func() (n uint64) {
		for _, b := range all {
			n += b.Stats().Sent
		}
		return n
	}
	for before := uint64(0); before == 0 || told() > before; time.Sleep(time.Second) { // until nothing more is kept
		before = told()
	}
	t.Logf("the hub kept %d messages before its disk was full", told())
	saw := stop()
	m.kill(t)
	m.limit = 0
	m.start(t)
	empty(t, all)
	m.hub(t).check(t, "SEEN", saw)
}

// A clock that is wrong by years keeps no board away: neither certificate nor
// credentials begin late or end soon.
func TestWrongClocks(t *testing.T) {
	h := newHub(t)
	o := h.enrol(t, hall)
	b, err := os.ReadFile(o.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	block, _ := pem.Decode(b)
	if !roots.AppendCertsFromPEM(b) || block == nil {
		t.Fatal("no certificate")
	}
	cert, err := h.certificate([]string{"hub.example"})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, year := range []int{2020, 2026, 2049} {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: "hub.example", Roots: roots, CurrentTime: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Errorf("in %d: %v", year, err)
		}
	}
	if b, err = os.ReadFile(o.Credentials); err != nil {
		t.Fatal(err)
	}
	token, err := nkeys.ParseDecoratedJWT(b)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil || claims.Expires != 0 || claims.NotBefore != 0 {
		t.Errorf("%+v, %v", claims, err)
	}
	// Times of frames that jump change no order and lose nothing.
	board, _ := run(t, o)
	for i := range 30 {
		board.Transition(signal.Transition{Time: time.Unix(int64(1e9*(i%3)), 0), Level: i})
	}
	testwait.Until(t, "all is told", func() bool { return board.Stats().Queued == 0 && board.Stats().Sent == 32 })
	h.check(t, "SEEN", map[fleet.ID]uint64{hall: 30})
}

// credentials writes those of a board that may what is said.
func (h *hub) credentials(t testing.TB, id fleet.ID, publish, subscribe []string) string {
	t.Helper()
	creds, _, err := user(h.account, public(h.account), id.String(), jwt.Permissions{Pub: jwt.Permission{Allow: publish}, Sub: jwt.Permission{Allow: subscribe}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "board.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The board's Try says what keeps it from its hub.
func TestTry(t *testing.T) {
	h := newHub(t)
	o := h.enrol(t, hall)
	if err := fleet.Try(t.Context(), o, true); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for want, change := range map[string]func(*fleet.Options){
		"refused":          func(o *fleet.Options) { o.Servers = []string{"tls://127.0.0.1:1"} },
		"fleet.ca":         func(o *fleet.Options) { o.CA = "" },
		"no such file":     func(o *fleet.Options) { o.Credentials = "/no/such" },
		"mien fleet enrol": func(o *fleet.Options) { o.Credentials = newHub(t).enrol(t, hall).Credentials },
		"Permissions":      func(o *fleet.Options) { o.ID.Board = "other" },
	} {
		o := o
		change(&o)
		if err := fleet.Try(ctx, o, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	publish, subscribe := hall.May()
	ofOrders := func(s string) bool { return strings.Contains(s, fleet.Desired) }
	before := o
	before.Credentials = h.credentials(t, hall, slices.DeleteFunc(publish, ofOrders), slices.DeleteFunc(subscribe, ofOrders))
	if err := fleet.Try(ctx, before, true); err == nil || !strings.Contains(err.Error(), "desired") || !strings.Contains(err.Error(), "when it was enrolled") {
		t.Errorf("enrolled before there were roll-outs: %v", err)
	}
	if err := fleet.Try(ctx, before, false); err != nil {
		t.Errorf("and there are none for it: %v", err)
	}
	if err := h.js.DeleteStream(ctx, "SEEN"); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	if err := fleet.Try(ctx, o, true); err == nil || !strings.Contains(err.Error(), "mien fleet serve makes it") {
		t.Errorf("without a stream: %v", err)
	}
}

// A hub need not have the server inside: with what another's cluster gives it makes
// streams and stores there, and lets boards in.
func TestAnothersCluster(t *testing.T) {
	theirs := newHub(t)
	admin, _, err := user(theirs.account, public(theirs.account), "admin", jwt.Permissions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "admin.creds")
	if err := os.WriteFile(file, admin, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range fleet.Streams {
		if err := theirs.js.DeleteStream(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
	}
	dir, ready := filepath.Join(t.TempDir(), "hub"), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, ServeOptions{Dir: dir, Disk: 1 << 30, Servers: []string{theirs.url}, Out: io.Discard, Ready: func() { close(ready) },
			Cluster: &Cluster{User: file, Signer: theirs.path("account.nk"), Account: public(theirs.account), CA: theirs.path("ca.pem")}})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	h, err := OpenHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := (&hub{Home: h, url: theirs.url}).enrol(t, hall)
	o.CA = theirs.path("ca.pem")
	b, _ := run(t, o)
	b.Transition(signal.Transition{Line: "face"})
	testwait.Until(t, "it is kept there", func() bool { return len(theirs.stored(t, "SEEN", hall.Subject("*"))) == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
