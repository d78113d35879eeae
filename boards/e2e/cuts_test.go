//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mien/boards/card"
	"mien/device/appliance"
	pid1 "mien/device/appliance/system" // the first process
)

var everyCut = flag.Bool("everycut", false, "start a board from every state that a power cut during an update leaves (make test-powercuts)")

// What an update may do to a part of the card.
type may string

const (
	bulk   may = "the slot that does not run"
	choice may = "the sector that names the slot"
	notes  may = "the data partition"
	again  may = "what is there already" // the kernel writes 4 KiB where one sector is to change
)

// written says what a write is, where slot runs is the one that started before the
// update. Nothing else may be written.
func written(w Write, runs card.Slot) (may, error) {
	other := runs.Other()
	for _, part := range []struct {
		card.Extent
		may
	}{{other.Kernel(), bulk}, {other.Root(), bulk}, {card.Data, notes}} {
		if part.Start <= w.At && w.At < part.End() {
			return part.may, nil
		}
	}
	if card.Boot.Start <= w.At && w.At < card.Boot.End() && strings.TrimRight(string(w.Data), "\x00") == string(card.Autoboot(other)) {
		return choice, nil
	}
	return "", fmt.Errorf("byte %d is written, where an update has no business", w.At)
}

// recording is one start of a board during an update: the card before, and what was
// written to it until its power went.
type recording struct {
	before *os.File
	writes []Write
}

func recorded(t *testing.T, before, log string) recording {
	t.Helper()
	f, err := os.Open(before)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	l, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := Writes(l)
	if err != nil {
		t.Fatal(err)
	}
	return recording{f, all}
}

// outcome is what a card does after a power cut, as far as its contents say.
type outcome struct {
	starts  card.Slot // that the firmware takes
	tries   bool      // the other one then, on trial
	state   string    // what is remembered of updates
	waiting string    // the files of an update that wait
}

// cut is a moment of a recording: after so many writes.
type cut struct {
	recording
	after int
	outcome
}

// card is what lies on the card at that moment, but for the last writes that drop tells to be lost.
func (c cut) card(drop func(ago int) bool) *CutCard {
	d := &CutCard{Before: c.before}
	for i, w := range c.writes[:c.after] {
		if drop == nil || !drop(c.after-i) {
			d.Lands(w)
		}
	}
	return d
}

// data is the data partition as a file, which the tools of ext4 understand.
type data struct {
	t      *testing.T
	file   string
	blocks map[int64][]byte // that are not zero
}

// block is that of the file system, in bytes.
const block = 1024

// dataOf reads it from a card, but for the contents of the image that waits there.
func dataOf(t *testing.T, disk *os.File) *data {
	t.Helper()
	d := &data{t, filepath.Join(t.TempDir(), "data"), map[int64][]byte{}}
	image := map[string]bool{}
	for _, n := range strings.Fields(d.debugfs("blocks mien/update.img", fmt.Sprintf("%s?offset=%d", disk.Name(), card.Data.Start))) {
		image[n] = true
	}
	const some = 1 << 20
	for at := int64(0); at < card.Data.Size; at += some {
		b := make([]byte, some)
		if _, err := disk.ReadAt(b, card.Data.Start+at); err != nil {
			t.Fatal(err)
		}
		for i := range int64(some / block) {
			n, own := at/block+i, b[i*block:(i+1)*block]
			contents := image[strconv.FormatInt(n, 10)] && !bytes.HasPrefix(own, []byte{0x0a, 0xf3}) // a node of its extents
			if !contents && !bytes.Equal(own, make([]byte, block)) {
				d.blocks[n] = own
			}
		}
	}
	// ext4's superblock, kernel Documentation/filesystems/ext4/super.rst: s_log_block_size.
	if size := 1024 << d.blocks[1024/block][24]; size != block {
		t.Fatalf("the data partition has blocks of %d bytes", size)
	}
	return d
}

func (d *data) lands(w Write) {
	at := w.At - card.Data.Start
	b := d.blocks[at/block]
	if b == nil {
		b = make([]byte, block)
		d.blocks[at/block] = b
	}
	copy(b[at%block:], w.Data)
}

// look makes the file system what the kernel's next mount makes of it, and reads what
// is remembered and what waits there.
func (d *data) look() (state, waiting string, err error) {
	f, err := os.Create(d.file)
	if err != nil {
		return "", "", err
	}
	err = f.Truncate(card.Data.Size)
	for n, b := range d.blocks {
		if err == nil {
			_, err = f.WriteAt(b, n*block)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", "", err
	}
	out, err := exec.Command("e2fsck", "-fp", d.file).CombinedOutput() // plays the journal
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // and mends what is left of files that were being removed
		err = nil
	}
	if err != nil {
		return "", "", fmt.Errorf("the data partition is damaged: %w: %s", err, out)
	}
	var there []string
	for _, name := range []string{appliance.Waiting, appliance.Waiting + appliance.Signed} {
		if strings.Contains(d.debugfs("ls -p mien", d.file), "/"+name+"/") {
			there = append(there, name)
		}
	}
	return d.debugfs("cat image/state.json", d.file), strings.Join(there, " "), nil
}

// debugfs asks for something of a file system; what is not there is empty.
func (d *data) debugfs(request, of string) string {
	out, err := exec.Command("debugfs", "-R", request, of).Output()
	if err != nil {
		d.t.Fatalf("debugfs: %s: %v", request, err)
	}
	return string(out)
}

// tries works out whether a card whose slot starts would try the other one, and that
// what starts is whole.
func tries(disk *CutCard, starts card.Slot, state string, whole map[card.Slot]card.Sum) (try bool, err error) {
	var s appliance.State
	if state != "" {
		if err := json.Unmarshal([]byte(state), &s); err != nil {
			return false, fmt.Errorf("what is remembered reads %q: %w", state, err)
		}
	}
	if try, _, err = pid1.Decide(readOnly{disk}, starts, s); err != nil {
		return false, err
	}
	if s.Trial != nil && s.Trial.Slot != starts && !try {
		return false, errors.New("an image is remembered that is not whole in its slot")
	}
	for slot, sum := range whole {
		if (slot == starts || try) && !card.Holds(disk, slot, sum) {
			return false, fmt.Errorf("slot %v would start and is not whole", slot)
		}
	}
	return try, nil
}

// readOnly is a card.Disk that nothing is written to.
type readOnly struct{ io.ReaderAt }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, errors.New("read only") }
func (readOnly) Sync() error                        { return nil }

// cuts goes through the moments of a recording, one after each write, and returns
// where what happens next changes, the last moment, and how many writes went where.
// The data partition is looked at after every one of its writes.
func (r recording) cuts(t *testing.T, runs card.Slot, whole map[card.Slot]card.Sum) (changes []cut, counts map[may]int) {
	t.Helper()
	now := cut{recording: r}
	disk, notebook := now.card(nil), dataOf(t, r.before)
	counts = map[may]int{}
	var asked [3]any
	for i := 0; ; i++ {
		what := notes // for the moment before all
		if i > 0 {
			w, there := r.writes[i-1], make([]byte, card.Sector)
			_, err := disk.ReadAt(there, w.At)
			if what = again; err == nil && !bytes.Equal(there, w.Data) {
				what, err = written(w, runs)
			}
			if err != nil {
				t.Fatalf("write %d: %v", i, err)
			}
			counts[what]++
			disk.Lands(w)
			if what == notes {
				notebook.lands(w)
			}
		}
		last := i == len(r.writes)
		is, err := now.outcome, error(nil)
		switch {
		case what == bulk && (is.starts != runs || strings.Contains(is.state, `"trial"`)):
			err = errors.New("a slot is written that starts, or is remembered as whole")
		case what == choice || what == notes || last:
			if is.state, is.waiting, err = notebook.look(); err == nil {
				is.starts, err = card.Default(disk)
			}
			asks := [3]any{is.starts, is.state, counts[bulk]}
			if err == nil && asks != asked { // else the answer is the one before
				is.tries, err = tries(disk, is.starts, is.state, whole)
				asked = asks
			}
		}
		if err != nil {
			t.Fatalf("the power goes after write %d of %d (%s): the card is no longer what it has to be: %v", i, len(r.writes), what, err)
		}
		if is != now.outcome || i == 0 || last {
			now.after, now.outcome = i, is
			changes = append(changes, now)
		}
		if last {
			t.Logf("the power cut after each of %d sectors, by what they are on %v: what happens next changes %d times", i, counts, len(changes))
			return changes, counts
		}
	}
}

// comesUp starts a board from a card whose power was cut, as its firmware would, and
// waits until miend runs.
func comesUp(t *testing.T, c cut, drop func(int) bool, names map[card.Slot]string) {
	t.Helper()
	disk := copyCard(t, c.before.Name())
	defer os.Remove(disk)
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.card(drop).WriteTo(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	slot := c.starts
	if c.tries {
		dir := t.TempDir()
		m, _, err := StartCard(CardOptions{Card: disk, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if try, err := m.Ended(dir); err != nil || !try {
			t.Fatalf("after write %d: the board does not try the other slot: %v, %v; console:\n%s", c.after, try, err, m.Console())
		}
		m.Kill()
		slot = slot.Other()
	}
	m, _ := starts(t, CardOptions{Card: disk, Try: c.tries}, slot)
	defer m.Kill()
	if err := m.Says("image " + names[slot]); err != nil {
		t.Errorf("after write %d: %v; console:\n%s", c.after, err, m.Console())
	}
}

// cutEverywhere cuts the power after every write of an update. Each time the card
// says which slot starts and that it is whole. Boards start from each of the states
// that differ, and from moments while the slot is written; without -everycut from
// some of them.
func cutEverywhere(t *testing.T, all []recording, names map[card.Slot]string, whole map[card.Slot]card.Sum) {
	var boots []cut
	seen := map[outcome]bool{}
	total := 0
	for _, r := range all {
		changes, counts := r.cuts(t, card.A, whole)
		total += len(r.writes) + 1
		for _, c := range changes {
			if !seen[c.outcome] {
				seen[c.outcome] = true
				boots = append(boots, c)
			}
		}
		if counts[bulk] > 0 && *everyCut {
			boots = append(boots, r.among(t, 8)...)
		}
	}
	if !*everyCut { // while the slot was written, and at the end
		boots = append(all[0].among(t, 1), boots[len(boots)-1])
	}
	for i, c := range boots {
		t.Logf("%d of %d: a board starts after write %d of %d: slot %v, tries the other %v, waiting %q, remembered %s", i+1, len(boots), c.after, len(c.writes), c.starts, c.tries, c.waiting, c.state)
		comesUp(t, c, nil, names)
	}
	lossy := 0
	if *everyCut {
		lossy = cutLossy(t, boots, names)
	}
	t.Logf("the power cut at %d moments of an update: each card starts a whole image; %d boards, and %d that lost any of their last writes, are up", total, len(boots), lossy)
}

// among are moments spread over the writing of the slot.
func (r recording) among(t *testing.T, n int) (some []cut) {
	t.Helper()
	var at []int
	for i, w := range r.writes {
		if what, err := written(w, card.A); err == nil && what == bulk {
			at = append(at, i+1)
		}
	}
	if len(at) < 1000 {
		t.Fatalf("the slot was written in %d writes: the recording is none of an update", len(at))
	}
	for i := range n {
		some = append(some, cut{r, at[len(at)*(2*i+1)/(2*n)], outcome{starts: card.A}})
	}
	return some
}

// unsure is how many of the last sectors a card may lose that promises more than it keeps.
const unsure = 64

// cutLossy starts boards from such cards: each of the last sectors is there or not.
// What they had noted may be gone, and they run.
func cutLossy(t *testing.T, from []cut, names map[card.Slot]string) (n int) {
	random := rand.New(rand.NewPCG(24, 12))
	for _, c := range from {
		told := slices.ContainsFunc(c.writes[max(0, c.after-unsure):c.after], func(w Write) bool {
			what, err := written(w, card.A)
			return err == nil && what != bulk
		})
		if c.tries || !told { // where the loss of a note decides what starts, or none is lost
			continue
		}
		lost := map[int]bool{}
		for ago := range unsure + 1 {
			lost[ago] = random.IntN(2) == 0
		}
		starts, err := card.Default(c.card(func(ago int) bool { return lost[ago] }))
		if err != nil {
			t.Fatalf("after write %d: %v", c.after, err)
		}
		c.starts = starts
		t.Logf("a board starts without some of the last of %d writes", c.after)
		comesUp(t, c, func(ago int) bool { return lost[ago] }, names)
		n++
	}
	return n
}
