package fleet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aead.dev/minisign"

	"mien/device"
	"mien/device/fleet"
	"mien/device/signal"
	"mien/device/update"
	"mien/runtime/model"
	"mien/runtime/testwait"
)

var rolloutBoards = flag.Int("rollout", 50, "how many boards TestBadModel and TestReplayedModel offer a model to")

// quick is the pace of the tests' controllers: with many boards the hub may not answer
// for longer.
func quick() Pace {
	return Pace{20 * time.Millisecond, time.Duration(max(*rolloutBoards/50, 1)) * time.Second}
}

// signer signs models as their maker does.
type signer struct {
	public  minisign.PublicKey
	private minisign.PrivateKey
	dir     string
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{public, private, t.TempDir()}
}

// model writes a signed file: of what it is, the simulated boards know by its words.
func (s *signer) model(t testing.TB, version int, says string) string {
	t.Helper()
	path := filepath.Join(s.dir, fmt.Sprintf("v%d-%s.tflite", version, says))
	model := append([]byte(says), bytes.Repeat([]byte{byte(version)}, 100<<10)...) // of some chunks
	sig := minisign.SignWithComments(s.private, model, fmt.Sprintf("version:%d\tfile:%s", version, says), "")
	if err := errors.Join(os.WriteFile(path, model, 0o600), os.WriteFile(path+".minisig", sig, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// sim is a simulated board: the real client, a real store of models, and the life of
// miend around them.
type sim struct {
	o     fleet.Options
	store update.Store
	ill   bool // its camera gives nothing
	ran   map[string]int
	last  string // what became of an order last, in words
	mu    sync.Mutex
	stop  func()
}

// sims makes boards, all with a first model that has proven itself. They wait long enough
// for the next one to prove itself that a machine may stand still meanwhile.
func sims(t testing.TB, h *hub, s *signer, n int) []*sim {
	t.Helper()
	first := s.model(t, 1, "good")
	all := make([]*sim, n)
	for i := range all {
		o := h.enrol(t, fleet.ID{Site: "hall", Board: "board-" + strconv.Itoa(i)})
		o.Patience, o.Every, o.Tags = 5*time.Second, time.Hour, []string{"kiosk"}
		b := &sim{o: o, store: update.Store{Dir: filepath.Join(filepath.Dir(o.Dir), "models"), Keys: []minisign.PublicKey{s.public}}, ran: map[string]int{}}
		model, signature, err := update.ReadModel(first)
		if err == nil {
			err = b.store.Install(model, signature, func([]byte) error { return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		_, slot, _, err := b.store.Start()
		if err := errors.Join(err, b.store.Healthy(slot)); err != nil {
			t.Fatal(err)
		}
		all[i] = b
	}
	return all
}

// start has boards live until the test ends, or they are stopped, and waits until the
// hub has heard of all.
func start(t testing.TB, h *hub, boards []*sim) {
	t.Helper()
	for _, b := range boards {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		b.stop = func() { cancel(); <-done }
		t.Cleanup(b.stop)
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				b.live(ctx, t)
			}
		}()
	}
	for end := time.Now().Add(time.Minute + time.Duration(len(boards))*time.Second/2); ; time.Sleep(100 * time.Millisecond) {
		all, err := h.standing(t.Context(), h.js)
		if err != nil && time.Now().Before(end) {
			continue // all come at once, and the hub has no time for more
		}
		if err != nil {
			t.Fatal(err)
		}
		heard := map[string]bool{}
		for i := range all {
			heard[all[i].Board] = all[i].Health != nil
		}
		if !slices.ContainsFunc(boards, func(b *sim) bool { return !heard[b.o.ID.Board] }) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the hub has not heard of all")
		}
	}
}

// live is one run of the program: until it is to start again, or ctx ends.
func (b *sim) live(ctx context.Context, t testing.TB) {
	ctx, cancel := context.WithCancel(ctx)
	model, slot, _, err := b.store.Start()
	if err != nil || slot == nil {
		t.Errorf("%v: %v", b.o.ID, err)
		cancel()
		return
	}
	says := string(model[:bytes.IndexByte(model, byte(slot.Version))])
	b.mu.Lock()
	b.ran[says]++
	b.mu.Unlock()
	o := b.o
	begun := time.Now()
	o.Health = func() device.Health {
		switch {
		case b.ill:
			return device.Health{State: signal.NoCamera, Reason: "unplugged"}
		case says == "bad", says == "later" && time.Since(begun) > 300*time.Millisecond:
			return device.Health{State: signal.NoHead}
		}
		return device.Health{State: signal.Reading, Ready: true}
	}
	if says == "later" {
		o.Every = 100 * time.Millisecond
	}
	o.Audit = func(a fleet.Audit) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.last = a.Outcome
	}
	o.Updates = map[string]fleet.Updater{fleet.OfModel: fleet.Models{Store: b.store, Try: func(m []byte, known *fleet.Canary) error {
		if bytes.HasPrefix(m, []byte("broken")) {
			return errors.New("no operator of that name")
		}
		if known != nil {
			return fmt.Errorf("%d faces are read wrongly here", len(known.Faces))
		}
		return nil
	}}}
	o.Restart = cancel
	if o.Health().Ready {
		var proving sync.WaitGroup
		defer func() { cancel(); proving.Wait() }()
		proving.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
				if err := b.store.Healthy(slot); err != nil {
					t.Errorf("%v: %v", b.o.ID, err)
				}
			}
		})
	}
	x, err := fleet.New(o)
	if err == nil {
		err = x.Run(ctx)
	}
	if err != nil {
		t.Errorf("%v: %v", b.o.ID, err)
	}
}

func (b *sim) runs(says string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ran[says]
}

// current is what the board's store says that it runs.
func (b *sim) current(t testing.TB) uint64 {
	t.Helper()
	st, err := b.store.State()
	if err != nil || st.Current == nil {
		t.Fatal(err)
	}
	return st.Current.Version
}

var rules = Rules{Within: 30 * time.Second, Hold: 50 * time.Millisecond, Tolerate: 1}

func (h *hub) rollOut(t testing.TB, file string, r Rules) *Rollout {
	t.Helper()
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: file, Tag: "kiosk", Stages: "1,5%,25%,100%", Rules: r, By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	return h.drive(t, name)
}

func (h *hub) drive(t testing.TB, name string) *Rollout {
	t.Helper()
	var last Rollout
	if err := h.Drive(t.Context(), h.js, name, quick(), func(r *Rollout) { last = *r }); err != nil {
		t.Fatal(err)
	}
	return &last
}

// Known faces that come out wrong on a board keep a model from it, before anything is
// changed there.
func TestCanaryHalts(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 3)
	start(t, h, boards)
	known := &fleet.Canary{Faces: []fleet.KnownFace{{Pixels: make([]byte, model.Side*model.Side)}}}
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, 2, "worse"), Stages: "1,100%", Rules: rules, Canary: known})
	if err != nil {
		t.Fatal(err)
	}
	if r := h.drive(t, name); r.State != Halted || !strings.Contains(r.Why, "1 faces are read wrongly here") {
		t.Errorf("%+v", r)
	}
	for _, b := range boards {
		if b.runs("worse") > 0 || b.current(t) != 1 {
			t.Errorf("%v ran it", b.o.ID)
		}
	}
}

// A good model comes to all boards, stage by stage, and all go back when that is
// asked for; it does not come a second time.
func TestRolloutAndBack(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 8)
	start(t, h, boards)
	file := s.model(t, 2, "better")
	r := h.rollOut(t, file, rules)
	if r.State != Done || r.Progress.Proven != 8 || !slices.Equal(r.Stages, []int{1, 2, 8}) {
		t.Fatalf("%+v", r)
	}
	for _, b := range boards {
		if v := b.current(t); v != 2 {
			t.Errorf("%v runs version %d", b.o.ID, v)
		}
	}
	if err := h.Rollback(t.Context(), h.js, r.Name, "me"); err != nil {
		t.Fatal(err)
	}
	if r = h.drive(t, r.Name); r.State != Halted || r.Progress.Left != 8 {
		t.Fatalf("%+v", r)
	}
	for _, b := range boards {
		if v := b.current(t); v != 1 {
			t.Errorf("%v runs version %d after going back", b.o.ID, v)
		}
	}
	if _, err := h.Begin(t.Context(), h.js, RolloutOptions{File: file, Tag: "kiosk", Stages: "100%", Rules: rules}); err == nil || !strings.Contains(err.Error(), "higher version") {
		t.Errorf("the same once more: %v", err)
	}
}

// A model that does not prove itself stops at the first board, and one that turns ill
// after it had proven itself is taken back from all that had it.
func TestBadModel(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, *rolloutBoards)
	start(t, h, boards)
	for i, says := range []string{"bad", "later", "broken"} {
		version := 2 + i
		begun := time.Now()
		var halted atomic.Int64
		name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, version, says), Stages: "1,5%,25%,100%",
			Rules: Rules{Within: time.Minute, Hold: 500 * time.Millisecond, Tolerate: 1}})
		if err != nil {
			t.Fatal(err)
		}
		var r Rollout
		if err := h.Drive(t.Context(), h.js, name, quick(), func(now *Rollout) {
			r = *now
			if now.State == Leaving {
				halted.CompareAndSwap(0, int64(time.Since(begun)))
			}
		}); err != nil {
			t.Fatal(err)
		}
		ran := 0
		for _, b := range boards {
			ran += min(b.runs(says), 1)
			if v := b.current(t); v != 1 {
				t.Errorf("%s: %v runs version %d", says, b.o.ID, v)
			}
		}
		t.Logf("%s: %d of %d boards ran it; halted after %v, all back after %v: %s", says, ran, len(boards), time.Duration(halted.Load()).Round(time.Millisecond),
			time.Since(begun).Round(time.Millisecond), r.Why)
		if r.State != Halted || r.Why == "" || 100*ran > max(len(boards), 100) || (ran == 0) != (says == "broken") {
			t.Errorf("%s: %d of %d boards ran it; %+v", says, ran, len(boards), r)
		}
	}
}

// An older model, signed well and ordered by the fleet's own key, is refused by all,
// unread: when it is rolled out, when the hub says an order of before again, and when
// somebody puts that order back on the board's disk while no hub says another.
func TestReplayedModel(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, *rolloutBoards)
	old := s.model(t, 1, "old")
	orders, err := h.js.KeyValue(t.Context(), fleet.Desired)
	if err != nil {
		t.Fatal(err)
	}
	patient := rules
	patient.Within = 10 * time.Minute
	for _, b := range boards { // a machine that is busy makes no good model bad
		b.o.Patience = time.Minute
	}
	start(t, h, boards)
	if r := h.rollOut(t, s.model(t, 3, "better"), patient); r.State != Done {
		t.Fatalf("%s: %+v", r.Why, r.Progress)
	}
	before := make([][]byte, len(boards))
	for _, file := range []string{old, s.model(t, 2, "older")} {
		name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: file, Stages: "100%", Rules: Rules{Within: 10 * time.Minute, Hold: time.Millisecond, Tolerate: 100}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var r Rollout
		err = h.Drive(ctx, h.js, name, quick(), func(now *Rollout) {
			if r = *now; r.Progress.Failed == len(boards) {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) || len(r.Progress.Failing) == 0 || !strings.Contains(r.Progress.Failing[0].Why, "models only go forward") {
			t.Errorf("%v, %+v", err, r)
		}
		for i, b := range boards {
			e, err := orders.Get(t.Context(), b.o.ID.Key())
			if err != nil {
				t.Fatal(err)
			}
			before[i] = e.Value()
		}
		if err := h.Rollback(t.Context(), h.js, name, "me"); err != nil {
			t.Fatal(err)
		}
		h.drive(t, name)
	}
	for i, b := range boards {
		if _, err := orders.Put(t.Context(), b.o.ID.Key(), before[i]); err != nil {
			t.Fatal(err)
		}
	}
	var stopping sync.WaitGroup
	for _, b := range boards {
		stopping.Go(b.stop)
	}
	stopping.Wait()
	for i, b := range boards {
		if err := errors.Join(orders.Purge(t.Context(), b.o.ID.Key()), os.WriteFile(filepath.Join(b.o.Dir, "order.json"), before[i], 0o600)); err != nil {
			t.Fatal(err)
		}
		b.last = ""
	}
	start(t, h, boards)
	for _, b := range boards {
		testwait.Until(t, b.o.ID.String()+" refuses what is on its disk", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return strings.Contains(b.last, "models only go forward")
		})
	}
	for _, b := range boards {
		if v := b.current(t); v != 3 || b.runs("old")+b.runs("older") > 0 {
			t.Errorf("%v runs version %d, %v", b.o.ID, v, b.ran)
		}
	}
}

// Nothing that the hub can do by itself has a board take what its own keys did not
// sign, or follow what the fleet's key did not seal.
func TestHubAloneOrdersNothing(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 1)
	var said sync.Map
	boards[0].o.Report = func(err error) { said.Store(err.Error(), true) }
	start(t, h, boards)
	heard := func(words string) func() bool {
		return func() (ok bool) {
			said.Range(func(k, _ any) bool { ok = strings.Contains(k.(string), words); return !ok })
			return ok
		}
	}
	kv, err := h.js.KeyValue(t.Context(), fleet.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "hall.board-0", `{"number":9,"kind":"model","version":9,"sha256":"x","size":5,"seal":"AAAA"}`); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "it refuses what nobody sealed", heard("not sealed with the fleet's key"))
	stranger := newSigner(t)
	if r := h.rollOut(t, stranger.model(t, 5, "theirs"), rules); r.State != Halted || !strings.Contains(r.Why, "which is not installed") {
		t.Errorf("signed by a stranger: %+v", r)
	}
	// What the store holds is not what was ordered.
	file := s.model(t, 6, "better")
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: file, Stages: "100%", Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	all, err := Rollouts(t.Context(), h.js)
	if err != nil || len(all) != 2 || all[0].Name != name {
		t.Fatalf("%v %v", all, err)
	}
	r := all[0]
	store, err := h.js.ObjectStore(t.Context(), fleet.Artifacts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBytes(t.Context(), r.SHA256, bytes.Repeat([]byte("x"), int(r.Size))); err != nil {
		t.Fatal(err)
	}
	if r := h.drive(t, name); r.State != Halted || !strings.Contains(r.Why, "not the file that was ordered") {
		t.Errorf("another file in the store: %+v", r)
	}
	if v := boards[0].current(t); v != 1 {
		t.Errorf("it runs version %d", v)
	}
}

// A controller that dies is followed by another, which goes on where it was; two at
// once are not.
func TestControllerKilled(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 10)
	start(t, h, boards)
	slow := rules
	slow.Hold = time.Second
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, 2, "better"), Stages: "1,50%,100%", Rules: slow})
	if err != nil {
		t.Fatal(err)
	}
	nc, js, err := h.Connect(t.Context(), h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	taken, died := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		died <- h.Drive(t.Context(), js, name, quick(), func(r *Rollout) {
			if r.Progress.Proven > 0 {
				once.Do(func() { close(taken) })
			}
		})
	}()
	<-taken
	if err := h.Drive(t.Context(), h.js, name, quick(), func(*Rollout) {}); !errors.Is(err, ErrHeld) {
		t.Errorf("a second controller beside the first: %v", err)
	}
	nc.Close()
	if err := <-died; err == nil {
		t.Fatal("the first controller does not die")
	}
	if r := h.drive(t, name); r.State != Done || r.Progress.Proven != 10 {
		t.Errorf("%+v", r)
	}
	for _, b := range boards {
		if n := b.runs("better"); n != 1 {
			t.Errorf("%v started it %d times", b.o.ID, n)
		}
	}
}

// A version that does not prove itself falls also while there is no hub to say so.
func TestTrialEndsWithoutHub(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 1)
	start(t, h, boards)
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, 2, "bad"), Stages: "100%", Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Drive(ctx, h.js, name, quick(), func(*Rollout) {}) }()
	testwait.Until(t, "it runs on trial", func() bool { return boards[0].runs("bad") > 0 })
	cancel()
	<-done
	h.server.Stop()
	testwait.Until(t, "the one before is back", func() bool { return boards[0].current(t) == 1 })
}

// Who asks for a roll-back deposes who drives it.
func TestRollbackDeposes(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 4)
	start(t, h, boards)
	slow := rules
	slow.Hold = time.Hour
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, 2, "better"), Stages: "2,100%", Rules: slow})
	if err != nil {
		t.Fatal(err)
	}
	err = h.Drive(t.Context(), h.js, name, quick(), func(r *Rollout) {
		if r.Progress.Proven == 2 && r.State == Running {
			if err := h.Rollback(t.Context(), h.js, name, "another"); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, ErrHeld) {
		t.Errorf("the one before: %v", err)
	}
	if r := h.drive(t, name); r.State != Halted || r.Progress.Left != 2 || r.Why != "another asked for it" {
		t.Errorf("%+v", r)
	}
	for _, b := range boards {
		if v := b.current(t); v != 1 {
			t.Errorf("%v runs version %d", b.o.ID, v)
		}
	}
}

// A board that is away, and one whose camera is out of order, keep nobody waiting,
// and take what was rolled out when they are well again.
func TestBoardAway(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 4)
	boards[1].ill = true
	start(t, h, boards[:3])
	r := h.rolledTo(t, s.model(t, 2, "better"))
	if r.State != Done || r.Progress.Proven != 2 || r.Progress.Away != 2 {
		t.Fatalf("%+v", r)
	}
	if removed, err := Tidy(t.Context(), h.js, time.Now().Add(24*time.Hour)); err != nil || len(removed) > 0 {
		t.Errorf("what a board that is away still wants is removed: %q, %v", removed, err)
	}
	start(t, h, boards[3:])
	testwait.Until(t, "the one that was away takes it", func() bool { return boards[3].current(t) == 2 })
	boards[1].stop()
	boards[1].ill = false
	start(t, h, boards[1:2])
	testwait.Until(t, "the one that was ill takes it", func() bool { return boards[1].current(t) == 2 })
}

// rolledTo is rollOut for boards without regard to tags.
func (h *hub) rolledTo(t testing.TB, file string) *Rollout {
	t.Helper()
	name, err := h.Begin(t.Context(), h.js, RolloutOptions{File: file, Site: "hall", Stages: "1,100%", Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return h.drive(t, name)
}

func TestStages(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want []int
	}{
		{"1,5%,25%,100%", 1000, []int{1, 50, 250, 1000}}, {"1,5%,25%,100%", 3, []int{1, 3}}, {"1, 50%", 7, []int{1, 4}}, {"100", 10, []int{10}},
		{"0", 5, nil}, {"", 5, nil}, {"1.5", 5, nil}, {"101%", 5, nil}, {"1,x", 5, nil}, {"-1", 5, nil}, {"NaN%", 5, nil},
	} {
		got, err := ParseStages(c.s, c.n)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%q of %d: %v, %v", c.s, c.n, got, err)
		}
	}
}

// Each number of Progress but the sum is an outcome's, and each outcome has its own,
// which the page shows.
func TestOutcomes(t *testing.T) {
	page, err := files.ReadFile("web/fleet.js")
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		var p Progress
		*o.boards(&p) = 7
		if s := p.String(); o.name == "" || strings.Count(s, "7") != 1 || strings.Contains(s, "%!") {
			t.Errorf("outcome %d, %q: 7 boards of it read %q", i, o.name, s)
		}
		b, err := json.Marshal(p)
		if err != nil || !strings.Contains(string(b), fmt.Sprintf(`"%s":7`, o.name)) {
			t.Errorf("%s is written as %s, %v", o.name, b, err)
		}
		if !bytes.Contains(page, []byte("p."+o.name)) {
			t.Errorf("the page shows nothing of boards that count as %s", o.name)
		}
	}
	var numbers int
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Progress]()) {
		if f.Type.Kind() == reflect.Int {
			numbers++
		}
	}
	if numbers != len(outcomes)+1 {
		t.Errorf("Progress has %d numbers beside the sum, of %d outcomes", numbers-1, len(outcomes))
	}
}
