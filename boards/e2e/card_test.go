//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"aead.dev/minisign"

	"mien/boards/card"
	"mien/boards/image"
	"mien/camera/replay/portrait"
)

// programs are where make image leaves them.
const programs = "../../build/image/"

// cardConfig shows the card's own photograph to a board whose processor is emulated.
const cardConfig = `
name: test
camera: {source: "replay:/boot/portrait.jpg", loop: true, rate: 1}
answers: {confirm: 1, window: 1, fresh: 60s, linger: 20s, dwell: 10ms, smoothing: 0s}
signals:
  pins: gpio
  hang: 60s
  lines:
    ready: {pin: GPIO17}
    face:  {pin: GPIO22}
status: {listen: none}
`

// cardImage makes an image with that configuration.
func cardImage(t *testing.T, name string, keys map[string][]byte) string {
	t.Helper()
	return cardImageOf(t, name, keys, nil)
}

// cardImageOf makes one with another first process, if one is given.
func cardImageOf(t *testing.T, name string, keys map[string][]byte, init []byte) string {
	t.Helper()
	o := image.Options{Board: "rpi3", Name: name, Time: time.Unix(1764316800, 0).UTC(), Config: []byte(cardConfig), Keys: keys,
		Texts: map[string][]byte{"portrait.jpg": portrait.JPEG()}}
	var err error
	for path, to := range map[string]*[]byte{"miend": &o.Miend, "init": &o.Init} {
		if *to, err = os.ReadFile(programs + path); err != nil {
			t.Fatalf("%v (make image BOARD=rpi3)", err)
		}
	}
	if init != nil {
		o.Init = init
	}
	if o.Kernel, o.Firmware, err = image.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), name+".img")
	if err := image.Write(at, o); err != nil {
		t.Fatal(err)
	}
	return at
}

// pinWithin is how soon after power on a pin tells that frames are read.
const pinWithin = 6 * time.Second

// A card that was just written starts, makes its data partition and moves a pin;
// so it does again. The board's time is counted in instructions, 500 million
// a second. While the board waits for its card its clock runs on as fast as it can, so
// a host whose disk is busy makes a start later, never sooner: the best of three counts.
func TestCardToPin(t *testing.T) {
	t.Parallel()
	img := cardImage(t, "one", nil)
	best := map[string]time.Duration{}
	for range 3 {
		for start, at := range cardToPin(t, img) {
			if best[start] == 0 || at < best[start] {
				best[start] = at
			}
		}
		if max(best["first"], best["second"]) <= pinWithin {
			return
		}
	}
	t.Errorf("ready is high %v after power on, want at most %v", best, pinWithin)
}

// cardToPin writes a card, starts it twice and returns when ready rose after power on.
func cardToPin(t *testing.T, img string) map[string]time.Duration {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "card")
	if err := Flash(img, disk); err != nil {
		t.Fatal(err)
	}
	ready := map[string]time.Duration{}
	for _, start := range []string{"first", "second"} {
		dir := t.TempDir()
		m, slot, err := StartCard(CardOptions{Card: disk, Dir: dir, Arguments: "mien.log=console", Clock: fastClock})
		if err != nil {
			t.Fatal(err)
		}
		if slot != card.A {
			t.Errorf("slot %v starts from a new card", slot)
		}
		at, err := m.Rises(17)
		if err != nil {
			t.Fatalf("%v; console:\n%s", err, m.Console())
		}
		t.Logf("%s start: ready is high %.2f s after power on", start, at.Seconds())
		ready[start] = at
		seen, err := m.Rises(22)
		if err != nil {
			t.Fatalf("%v; console:\n%s", err, m.Console())
		}
		t.Logf("%s start: face is high %.2f s after power on", start, seen.Seconds())
		if err := m.Says("miend is ready"); err != nil {
			t.Error(err)
		}
		m.Kill()
		if bytes.Contains([]byte(m.Console()), []byte("made the data partition")) != (start == "first") {
			t.Errorf("%s start: the data partition is not made once; console:\n%s", start, m.Console())
		}
	}
	return ready
}

// sign writes the signature of a file beside it.
func sign(t *testing.T, key minisign.PrivateKey, file string, version int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := minisign.NewReader(f)
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	text := r.SignWithComments(key, fmt.Sprintf("version:%d\tfile:%s", version, filepath.Base(file)), "")
	if err := os.WriteFile(file+".minisig", text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// put lays files into the folder of a card's data partition where updates wait,
// as if they had come by the network.
func put(t *testing.T, disk string, files map[string]string) {
	t.Helper()
	part := filepath.Join(t.TempDir(), "data")
	seek, skip := fmt.Sprintf("seek=%d", card.Data.Start>>20), fmt.Sprintf("skip=%d", card.Data.Start>>20)
	tool(t, "dd", "if="+disk, "of="+part, "bs=1M", "conv=sparse", skip, fmt.Sprintf("count=%d", card.Data.Size>>20))
	out, err := exec.Command("e2fsck", "-fp", part).CombinedOutput() // the power went: the journal has to be played
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
	for name, from := range files {
		tool(t, "debugfs", "-w", "-R", "write "+from+" mien/"+name, part)
	}
	tool(t, "dd", "if="+part, "of="+disk, "bs=1M", "conv=notrunc", seek)
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// copyCard is a card in the same state.
func copyCard(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "card")
	tool(t, "cp", "--sparse=always", from, to)
	return to
}

// starts starts a card and waits until miend is ready in the slot that is wanted.
func starts(t *testing.T, o CardOptions, want card.Slot) (*Machine, string) {
	t.Helper()
	o.Dir = t.TempDir()
	m, slot, err := StartCard(o)
	if err != nil {
		t.Fatalf("the card does not start: %v", err)
	}
	if slot != want {
		t.Fatalf("slot %v starts, want %v", slot, want)
	}
	if err := m.Says("miend is ready"); err != nil {
		t.Fatalf("%v; console:\n%s", err, m.Console())
	}
	return m, o.Dir
}

// A signed image is written beside the one that runs, tried by the firmware's
// one-shot flag, confirmed, and runs from then on. All that is written to the card
// meanwhile is recorded, and the power cut after each write of it.
func TestCardUpdate(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{"test.pub": text}
	one, two := cardImage(t, "one", keys), cardImage(t, "two", keys)
	sign(t, private, two, 1)
	disk := filepath.Join(t.TempDir(), "card")
	if err := Flash(one, disk); err != nil {
		t.Fatal(err)
	}
	m, _ := starts(t, CardOptions{Card: disk}, card.A)
	m.Kill()
	put(t, disk, map[string]string{"update.img": two, "update.img.minisig": two + ".minisig"})

	logs := []string{filepath.Join(t.TempDir(), "written"), filepath.Join(t.TempDir(), "tried")}
	before := copyCard(t, disk)
	m, dir := starts(t, CardOptions{Card: disk, Record: logs[0]}, card.A)
	if err := m.Says("is written to slot b"); err != nil {
		t.Fatalf("%v; console:\n%s", err, m.Console())
	}
	start := time.Now()
	try, err := m.Ended(dir)
	if err != nil || !try {
		t.Fatalf("the board does not ask for the other slot: %v, %v; console:\n%s", try, err, m.Console())
	}
	t.Logf("written, read back and restarted in %.0f s of this machine's time", time.Since(start).Seconds())
	m.Kill()
	between := copyCard(t, disk)
	m, _ = starts(t, CardOptions{Card: disk, Record: logs[1], Try: true}, card.B)
	if err := m.Says("has proven itself and is confirmed"); err != nil {
		t.Fatalf("%v; console:\n%s", err, m.Console())
	}
	m.Kill()
	cutEverywhere(t, []recording{recorded(t, before, logs[0]), recorded(t, between, logs[1])},
		map[card.Slot]string{card.A: "one", card.B: "two"}, map[card.Slot]card.Sum{card.A: piecesOf(t, one).Sum(), card.B: piecesOf(t, two).Sum()})
}

// piecesOf are the pieces of an image.
func piecesOf(t *testing.T, image string) card.Pieces {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	w, told, err := card.Image{ReaderAt: f, Size: info.Size()}.Summing()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, f); err != nil {
		t.Fatal(err)
	}
	return told()
}

// An image whose first process is none makes the kernel panic, which restarts the
// board, into the image before: the firmware's flag holds for one start.
func TestCardPanic(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "card")
	if err := Flash(cardImage(t, "one", nil), disk); err != nil {
		t.Fatal(err)
	}
	path := cardImageOf(t, "bad", nil, []byte("no program"))
	bad, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := bad.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (card.Image{ReaderAt: bad, Size: info.Size()}).Install(f, card.B, piecesOf(t, path)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, slot, err := StartCard(CardOptions{Card: disk, Try: true, Dir: dir})
	if err != nil || slot != card.B {
		t.Fatalf("slot %v: %v", slot, err)
	}
	if try, err := m.Ended(dir); err != nil || try {
		t.Fatalf("after the panic: asks for the other slot: %v, %v; console:\n%s", try, err, m.Console())
	}
	if !bytes.Contains([]byte(m.Console()), []byte("Kernel panic")) {
		t.Errorf("no panic; console:\n%s", m.Console())
	}
	m, _ = starts(t, CardOptions{Card: disk}, card.A)
	m.Kill()
}
