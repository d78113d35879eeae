package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"aead.dev/minisign"

	"mien/device"
	"mien/device/appliance"
	"mien/device/fleet"
	"mien/device/signal"
	"mien/device/update"
	"mien/runtime/peertest"
	"mien/runtime/testwait"
)

// carded is a simulated board of the card image: the real client, and a stand-in for
// the first process, which device/appliance/system tries as it is.
type carded struct {
	o     fleet.Options
	below *appliance.System
	keys  []minisign.PublicKey

	mu    sync.Mutex
	state appliance.State
}

func newCarded(t testing.TB, h *hub, s *signer, name string) *carded {
	t.Helper()
	b := &carded{o: h.enrol(t, fleet.ID{Site: "hall", Board: name}), keys: []minisign.PublicKey{s.public}, state: appliance.State{Newest: 1}}
	dir := filepath.Dir(b.o.Dir)
	b.below = &appliance.System{Socket: filepath.Join(dir, "init"), Incoming: dir}
	l, err := net.Listen("unix", b.below.Socket)
	if err != nil {
		t.Fatal(err)
	}
	peertest.Serve(t, l, func(c net.Conn) {
		var r appliance.Request
		if json.NewDecoder(c).Decode(&r) == nil {
			_ = json.NewEncoder(c).Encode(b.answer(r))
		}
	})
	return b
}

func (b *carded) answer(r appliance.Request) (a appliance.Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Do == "update" {
		if err := b.take(r); err != nil {
			a.Error = err.Error()
		}
	}
	now := b.state
	a.State = &now
	return a
}

func (b *carded) take(r appliance.Request) error {
	f, err := os.Open(r.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	said, err := update.VerifyReader(f, r.Signature, b.keys)
	if err != nil {
		return err
	}
	b.state.Newest, b.state.Trial = said.Version, &appliance.Trial{Name: said.Name, Version: said.Version}
	return nil
}

// restarts is what the firmware and the first process do: the new image runs on trial,
// and is confirmed or left.
func (b *carded) restarts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.state.Trial
	if t == nil {
		return
	}
	b.state.Trial = nil
	if strings.HasPrefix(t.Name, "bad") {
		b.state.Fallen = append(b.state.Fallen, update.Fall{Name: t.Name, Version: t.Version, Why: "no network"})
		return
	}
	b.state.Name = t.Name
}

// live runs the board until the test ends.
func (b *carded) live(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	var lives sync.WaitGroup
	t.Cleanup(func() { cancel(); lives.Wait() })
	b.o.Health = func() device.Health { return device.Health{State: signal.Reading, Ready: true} }
	b.o.Updates = map[string]fleet.Updater{fleet.OfImage: fleet.Images{Below: b.below}}
	lives.Go(func() {
		for ctx.Err() == nil {
			life, end := context.WithCancel(ctx)
			o := b.o
			o.Restart = end
			x, err := fleet.New(o)
			if err == nil {
				err = x.Run(life)
			}
			end()
			if err != nil {
				t.Errorf("%v: %v", o.ID, err)
			}
			b.restarts()
		}
	})
}

// A signed image of a card comes by the hub to boards that run one, and is handed to
// what is below miend; one that does not prove itself halts at the first. One that has
// proven itself stays, which a roll-back says.
func TestImageRollout(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	var boards []*carded
	for i := range 3 {
		boards = append(boards, newCarded(t, h, s, "c"+strconv.Itoa(i)))
		boards[i].live(t)
	}
	image := func(version int, says string) string {
		path := filepath.Join(s.dir, fmt.Sprintf("v%d.img", version))
		data := make([]byte, 3*chunk+5)
		data[0] = byte(version)
		sum := minisign.NewReader(bytes.NewReader(data))
		if _, err := io.Copy(io.Discard, sum); err != nil {
			t.Fatal(err)
		}
		sig := sum.SignWithComments(s.private, fmt.Sprintf("version:%d\tfile:%s", version, says), "")
		if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".minisig", sig, 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	testwait.Until(t, "the hub has heard of all", func() bool {
		all, err := h.standing(t.Context(), h.js)
		return err == nil && all[0].Health != nil && all[1].Health != nil && all[2].Health != nil
	})
	if r := h.rolledTo(t, image(2, "bad")); r.State != Halted || !strings.Contains(r.Why, "no network") {
		t.Errorf("%+v", r)
	}
	good := h.rolledTo(t, image(3, "good"))
	if good.State != Done || good.Progress.Proven != 3 {
		t.Errorf("%+v", good)
	}
	tried := 0
	for _, b := range boards {
		b.mu.Lock()
		tried += len(b.state.Fallen)
		if b.state.Name != "good" || b.state.Newest != 3 {
			t.Errorf("%v: %+v", b.o.ID, b.state)
		}
		b.mu.Unlock()
	}
	if tried != 1 {
		t.Errorf("%d boards ran the bad one, want 1", tried)
	}
	if err := h.Rollback(t.Context(), h.js, good.Name, "me"); err != nil {
		t.Fatal(err)
	}
	if r := h.drive(t, good.Name); r.Progress.Failed != 3 || !strings.Contains(r.Progress.Failing[0].Why, "images only go forward") {
		t.Errorf("back: %+v", r)
	}
}
