// Package system is the first process of the card that boards/image makes. It
// mounts, gets the board an address and the time, keeps miend running, feeds the
// hardware's watchdog, takes updates of the whole image, and ends in order.
package system

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"aead.dev/minisign"

	"mien/boards/card"
	"mien/device/appliance"
	"mien/device/update"
	"mien/runtime/atomicfile"
	"mien/runtime/plainfile"
)

// maxTrials is how often a new image may be started without proving itself.
// Two, not one, because a board may lose its power once for reasons of its own.
const maxTrials = 2

// mostFallen is how many falls are remembered.
const mostFallen = 10

// memory keeps a State; a value that was saved is there after a power cut, or
// the one before is.
type memory interface {
	load() (appliance.State, error)
	save(appliance.State) error
}

// stateFile is a memory on disk.
type stateFile string

func (f stateFile) load() (s appliance.State, err error) {
	b, err := plainfile.Read(string(f), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return appliance.State{}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

func (f stateFile) save(s appliance.State) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(string(f), append(b, '\n'))
}

// updater decides about slots. Which slot starts stands on the card (package
// card); what it remembers beside it says why, and counts.
type updater struct {
	disk   card.Disk
	memory memory
	board  string
	runs   card.Slot
	said   func(format string, args ...any)
}

// verdict is what a start has to do.
type verdict int

const (
	carryOn  verdict = iota // the slot that runs is the one that starts
	prove                   // it runs on trial: confirm it, or leave it
	tryOther                // restart into the other one, on trial
)

// begin looks at the card and the memory after a start.
func (u *updater) begin() (verdict, error) {
	starts, err := card.Default(u.disk)
	if err != nil {
		return carryOn, err
	}
	s, err := u.memory.load()
	if err != nil {
		u.said("what is remembered of updates cannot be read, and is forgotten: %v", err)
		s = appliance.State{}
	}
	if starts != u.runs {
		return prove, nil
	}
	t := s.Trial
	if t == nil {
		return carryOn, nil
	}
	if t.Slot == u.runs { // confirmed, and then the power went
		s.Trial = nil
		return carryOn, u.memory.save(s)
	}
	if t.Starts >= maxTrials {
		return carryOn, u.fall(s, fmt.Sprintf("it did not prove itself in %d starts", maxTrials))
	}
	sum, err := hex.DecodeString(t.SHA256)
	if err != nil || len(sum) != len(card.Sum{}) {
		return carryOn, u.fall(s, "what was noted of it is no hash")
	}
	if !card.Holds(u.disk, t.Slot, card.Sum(sum)) {
		return carryOn, u.fall(s, "its slot does not hold what was written there")
	}
	t.Starts++
	if err := u.memory.save(s); err != nil {
		return carryOn, err
	}
	return tryOther, nil
}

// Decide says what a start of slot runs does about updates with what it remembers: whether
// it restarts into the other slot, on trial, and what is remembered from then on.
func Decide(disk card.Disk, runs card.Slot, s appliance.State) (try bool, after appliance.State, err error) {
	m := &held{s}
	what, err := (&updater{disk: disk, memory: m, runs: runs, said: func(string, ...any) {}}).begin()
	return what == tryOther, m.State, err
}

// held is a memory that is not on disk.
type held struct{ appliance.State }

func (h *held) load() (appliance.State, error) { return h.State, nil }

func (h *held) save(s appliance.State) error {
	h.State = s
	return nil
}

func (u *updater) fall(s appliance.State, why string) error {
	f := update.Fall{Time: time.Now().UTC().Truncate(time.Second), Name: s.Trial.Name, Version: s.Trial.Version, Why: why}
	u.said("image %s", f)
	s.Fallen = append(s.Fallen, f)
	s.Fallen = slices.Clone(s.Fallen[max(0, len(s.Fallen)-mostFallen):])
	s.Trial = nil
	return u.memory.save(s)
}

// confirm makes the slot that runs the one that starts.
func (u *updater) confirm() error {
	if err := card.Confirm(u.disk, u.runs); err != nil {
		return err
	}
	s, err := u.memory.load()
	if err != nil {
		u.said("what is remembered of updates cannot be read: %v", err)
		return nil // the card says what counts
	}
	s.Trial = nil
	return u.memory.save(s)
}

// take checks a signed image and writes it into the other slot. After that the
// next start tries it.
func (u *updater) take(image io.ReaderAt, size int64, signature []byte, keys []minisign.PublicKey, network, reading bool) error {
	m := card.Image{ReaderAt: image, Size: size}
	if err := m.Check(u.board); err != nil {
		return err
	}
	starts, err := card.Default(u.disk)
	if err != nil {
		return err
	}
	if starts != u.runs {
		return errors.New("appliance: this image runs on trial itself: offer the update when it has proven itself")
	}
	s, err := u.memory.load()
	if err != nil {
		return fmt.Errorf("appliance: what is remembered of updates: %w", err)
	}
	// miend, which is not trusted here, can change its file at any time: each piece that
	// is written has to have the sum of the very bytes that the signature fits.
	w, told, err := m.Summing()
	if err != nil {
		return err
	}
	said, err := update.VerifyReader(io.TeeReader(io.NewSectionReader(image, 0, size), w), signature, keys)
	if err != nil {
		return err
	}
	if said.Version <= s.Newest {
		return fmt.Errorf("appliance: the signed version %d of the image is not newer than %d, which was taken already: images only go forward (sign it again with a higher version: minisign -Sm FILE -t version:%d)",
			said.Version, s.Newest, s.Newest+1)
	}
	pieces, other := told(), u.runs.Other()
	want := pieces.Sum()
	u.said("update: image %s (version %d) is written to slot %v", said.Name, said.Version, other)
	if s.Trial != nil { // from here on it is not there any more
		s.Trial = nil
		if err := u.memory.save(s); err != nil {
			return err
		}
	}
	if begun, err := m.Install(u.disk, other, pieces); err != nil {
		if begun {
			return fmt.Errorf("appliance: slot %v was being written and holds no system now; slot %v runs on, and takes the update when it is offered again: %w", other, u.runs, err)
		}
		return fmt.Errorf("appliance: nothing was written: %w", err)
	}
	s.Newest = said.Version
	s.Trial = &appliance.Trial{Name: said.Name, Version: said.Version, Slot: other, SHA256: hex.EncodeToString(want[:]), Starts: 1, Network: network, Reading: reading}
	return u.memory.save(s)
}
