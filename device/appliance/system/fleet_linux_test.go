package system

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/device/appliance"
	"mien/device/fleet"
)

// running is a board as its first process answers it, from one start to the next.
type running struct {
	*system
	verdict verdict
	version int
}

// An image that a fleet orders goes the whole way: it is put down, offered through the
// socket, checked by the first process, written to the other slot of the card, started
// on trial, and confirmed, or left where it does not prove itself. An older one, and one
// that another has signed, change nothing.
func TestOrderedImage(t *testing.T) {
	b := newBoard(t, 4)
	b.flash(rand.New(rand.NewPCG(5, 8)))
	dir := t.TempDir()
	keys, below := filepath.Join(dir, "keys"), &appliance.System{Socket: filepath.Join(dir, "init"), Incoming: filepath.Join(dir, "in")}
	key, err := b.public.MarshalText()
	if err := errors.Join(err, os.Mkdir(keys, 0o700), os.Mkdir(below.Incoming, 0o700), os.WriteFile(filepath.Join(keys, "maker.pub"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	var socket net.Listener
	start := func(try bool) running {
		t.Helper()
		if socket != nil {
			socket.Close()
		}
		u, version, err := b.start(try)
		if err != nil {
			t.Fatal(err)
		}
		what, err := u.begin()
		if err != nil {
			t.Fatal(err)
		}
		s := &system{log: &log{kernel: io.Discard}, firmware: &service{}, net: &network{}, updates: u, keys: keys, orders: make(chan order, 8)}
		if socket, err = net.Listen("unix", below.Socket); err != nil {
			t.Fatal(err)
		}
		go s.listen(socket)
		return running{s, what, version}
	}
	defer func() { socket.Close() }()
	images := fleet.Images{Below: below}
	orderOf := func(v int) *fleet.Order {
		return &fleet.Order{Kind: fleet.OfImage, Version: uint64(v + 1), Size: b.images[v].size, Signature: string(b.sigs[v])}
	}
	standing := func(v int, want fleet.Standing) string {
		t.Helper()
		got, why, err := images.Standing(t.Context(), orderOf(v))
		if err != nil || got != want {
			t.Errorf("version %d is %q (%s), %v, want %q", v+1, got, why, err, want)
		}
		return why
	}
	install := func(v int, signature []byte) error {
		t.Helper()
		o := orderOf(v)
		o.Signature = string(signature)
		err := images.Install(t.Context(), o, io.NewSectionReader(b.images[v], 0, b.images[v].size), nil)
		if left, _ := os.ReadDir(below.Incoming); len(left) > 0 {
			t.Errorf("what was put down is left there: %v", left)
		}
		return err
	}

	s := start(false)
	standing(1, "")
	if err := install(1, bytes.Replace(b.sigs[1], []byte("version:2"), []byte("version:9"), 1)); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("a signature that was changed: %v", err)
	}
	if err := install(1, b.sigs[2]); err == nil {
		t.Error("with the signature of another image it is taken")
	}
	standing(1, "")
	if len(s.orders) > 0 {
		t.Error("the board restarts for what it refuses")
	}
	if err := install(1, b.sigs[1]); err != nil {
		t.Fatal(err)
	}
	if o := <-s.orders; !o.other {
		t.Errorf("%+v", o)
	}
	standing(1, fleet.Trial)

	if s = start(true); s.version != 1 || s.verdict != prove {
		t.Fatalf("version %d starts: %v", s.version+1, s.verdict)
	}
	standing(1, fleet.Trial)
	if err := s.updates.confirm(); err != nil {
		t.Fatal(err)
	}
	standing(1, fleet.Proven)
	if err := images.Leave(t.Context(), orderOf(1), ""); err == nil || !strings.Contains(err.Error(), "only go forward") {
		t.Errorf("it is left: %v", err)
	}
	if why := standing(0, fleet.Refused); !strings.Contains(why, "only go forward") {
		t.Error(why)
	}
	if err := install(0, b.sigs[0]); err == nil || !strings.Contains(err.Error(), "only go forward") {
		t.Errorf("an older one: %v", err)
	}

	if err := install(2, b.sigs[2]); err != nil { // and it does not prove itself
		t.Fatal(err)
	}
	for range maxTrials {
		if s = start(true); s.version != 2 || s.verdict != prove {
			t.Fatalf("version %d starts: %v", s.version+1, s.verdict)
		}
		s = start(false)
	}
	if s.version != 1 || s.verdict != carryOn {
		t.Errorf("version %d runs: %v", s.version+1, s.verdict)
	}
	if why := standing(2, fleet.Fallen); !strings.Contains(why, "did not prove itself") {
		t.Error(why)
	}
	if err := install(2, b.sigs[2]); err == nil {
		t.Error("what fell is taken again")
	}
	if err := install(3, b.sigs[3]); err != nil {
		t.Errorf("the next after one that fell: %v", err)
	}
}
