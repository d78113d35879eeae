package system

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"aead.dev/minisign"

	"mien/boards/card"
	"mien/device/appliance"
)

var cuts = flag.Int("cuts", 60, "power cuts of TestPowerCuts; make test-cuts makes 1000")

// errCut is the power going.
var errCut = errors.New("the power is cut")

// fakeCard is a card that keeps what was written in a cache until Sync, and that
// loses any part of the cache when the power is cut, in any order: each sector
// of it lies there or does not. Only sectors that were ever written take memory.
type fakeCard struct {
	lasting map[int64][]byte // sectors, by number
	cache   map[int64][]byte
	left    int // writes of sectors, syncs and saves until the power is cut; below 0 never
	random  *rand.Rand
	memory  appliance.State
}

func (c *fakeCard) step() error {
	if c.left == 0 {
		return errCut
	}
	c.left--
	return nil
}

func (c *fakeCard) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	for done := 0; done < len(b); {
		n, from := (at+int64(done))/card.Sector, int((at+int64(done))%card.Sector)
		sector := c.cache[n]
		if sector == nil {
			sector = c.lasting[n]
		}
		upto := min(len(b)-done, card.Sector-from)
		if sector != nil {
			copy(b[done:done+upto], sector[from:])
		}
		done += upto
	}
	return len(b), nil
}

func (c *fakeCard) WriteAt(b []byte, at int64) (int, error) {
	if at%card.Sector != 0 || len(b)%card.Sector != 0 {
		return 0, fmt.Errorf("%d bytes at %d are no whole sectors", len(b), at)
	}
	for done := 0; done < len(b); done += card.Sector {
		if err := c.step(); err != nil {
			return done, err
		}
		c.cache[(at+int64(done))/card.Sector] = bytes.Clone(b[done : done+card.Sector])
	}
	return len(b), nil
}

func (c *fakeCard) Sync() error {
	if err := c.step(); err != nil {
		return err
	}
	for n, b := range c.cache {
		c.lasting[n] = b
	}
	clear(c.cache)
	return nil
}

// off is what a power cut leaves: any part of the cache.
func (c *fakeCard) off() {
	for n, b := range c.cache {
		if c.random.IntN(2) == 0 {
			c.lasting[n] = b
		}
	}
	clear(c.cache)
}

// The state lies in a file that is replaced whole: a cut leaves one or the other.
func (c *fakeCard) load() (appliance.State, error) {
	s := c.memory
	if s.Trial != nil {
		t := *s.Trial
		s.Trial = &t
	}
	return s, nil
}

func (c *fakeCard) save(s appliance.State) error {
	err := c.step()
	if err == nil || c.random.IntN(2) == 0 {
		if s.Trial != nil {
			t := *s.Trial
			s.Trial = &t
		}
		c.memory = s
	}
	return err
}

// sparse is the file of an image, of which most is zeros.
type sparse struct {
	pieces map[int64][]byte
	size   int64
}

func (f sparse) ReadAt(b []byte, at int64) (int, error) {
	if at >= f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), f.size-at))
	clear(b[:n])
	for start, piece := range f.pieces {
		if lo, hi := max(start, at), min(start+int64(len(piece)), at+int64(n)); lo < hi {
			copy(b[lo-at:hi-at], piece[lo-start:])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// imageOf is a small image whose every part says its version.
func imageOf(version uint64) sparse {
	f := sparse{map[int64][]byte{}, card.A.Root().Start + 16<<10}
	for at, b := range card.Tables("rpi3") {
		f.pieces[at] = b
	}
	boot := make([]byte, 64<<10)
	le := binary.LittleEndian
	le.PutUint16(boot[11:], card.Sector)
	boot[13], boot[16] = 1, 2
	le.PutUint16(boot[14:], 1)
	le.PutUint16(boot[17:], 16)
	le.PutUint16(boot[22:], 1)
	copy(boot[3*card.Sector:], "AUTOBOOTTXT")
	le.PutUint16(boot[3*card.Sector+26:], 2)
	copy(boot[4*card.Sector:], card.Autoboot(card.A))
	f.pieces[card.Boot.Start] = boot
	body := func(n int) []byte {
		b := make([]byte, n)
		r := rand.New(rand.NewPCG(version, uint64(n)))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	kernel := body(12 << 10)
	le.PutUint32(kernel[32:], 12<<10/card.Sector)
	kernel[510], kernel[511] = 0x55, 0xaa
	copy(kernel[2*card.Sector:], card.A.RootArgument()+" ro")
	f.pieces[card.A.Kernel().Start] = kernel
	root := body(16 << 10)
	copy(root, "hsqs")
	le.PutUint64(root[40:], 16<<10)
	f.pieces[card.A.Root().Start] = root
	return f
}

// board is a card, the firmware that starts it, and the image files by version.
type board struct {
	t      *testing.T
	card   *fakeCard
	key    minisign.PrivateKey
	public minisign.PublicKey
	images []sparse
	sums   []card.Sum
	sigs   [][]byte
}

func newBoard(t *testing.T, versions int) *board {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.NewChaCha8([32]byte{7}))
	if err != nil {
		t.Fatal(err)
	}
	b := &board{t: t, key: private, public: public}
	for v := range versions {
		img := imageOf(uint64(v))
		w, told, err := card.Image{ReaderAt: img, Size: img.size}.Summing()
		if err != nil {
			t.Fatal(err)
		}
		r := minisign.NewReader(io.TeeReader(io.NewSectionReader(img, 0, img.size), w))
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		b.images, b.sums = append(b.images, img), append(b.sums, told().Sum())
		b.sigs = append(b.sigs, r.SignWithComments(private, fmt.Sprintf("version:%d\tfile:v%d.img", v+1, v), ""))
	}
	return b
}

// flash makes a card of the first image.
func (b *board) flash(random *rand.Rand) {
	c := &fakeCard{lasting: map[int64][]byte{}, cache: map[int64][]byte{}, left: -1, random: random}
	for at, piece := range b.images[0].pieces {
		for i := 0; i < len(piece); i += card.Sector {
			c.lasting[(at+int64(i))/card.Sector] = piece[i : i+card.Sector]
		}
	}
	b.card = c
}

// start is the firmware: it starts the slot that autoboot.txt names, or the other
// one on trial, and says which version that is. A slot that holds no whole image
// does not start.
func (b *board) start(try bool) (u *updater, version int, err error) {
	slot, err := card.Default(b.card)
	if err != nil {
		return nil, 0, err
	}
	if try {
		slot = slot.Other()
	}
	for v, sum := range b.sums {
		if card.Holds(b.card, slot, sum) {
			u := &updater{disk: b.card, memory: b.card, board: "rpi3", runs: slot, said: b.t.Logf}
			return u, v, nil
		}
	}
	return nil, 0, fmt.Errorf("slot %v holds no whole image: it does not start", slot)
}

// offer takes version v on the system that runs.
func (b *board) offer(u *updater, v int) error {
	return u.take(b.images[v], b.images[v].size, b.sigs[v], []minisign.PublicKey{b.public}, true, true)
}

// life runs the board from power on until it has nothing left to do, or the power
// is cut. good says of a version that it works. Which version ran last is returned.
func (b *board) life(try bool, offer int, good func(int) bool) (runs int, err error) {
	for {
		u, v, err := b.start(try)
		if err != nil && try { // it does not start: the watchdog bites
			try = false
			continue
		}
		if err != nil {
			b.t.Fatalf("the board is a brick: %v", err)
		}
		try = false
		what, err := u.begin()
		if err != nil {
			return v, err
		}
		switch what {
		case tryOther:
			try = true
			continue
		case prove:
			if !good(v) {
				continue // restart, into the slot before
			}
			if err := u.confirm(); err != nil {
				return v, err
			}
		case carryOn:
		}
		if offer < 0 || offer == v {
			return v, nil
		}
		if err := b.offer(u, offer); err != nil {
			return v, err
		}
		offer, try = -1, true
	}
}

func yes(int) bool { return true }

// An update runs after its trial; one that does not work is left again, is tried
// twice and not more, and does not come back.
func TestUpdate(t *testing.T) {
	b := newBoard(t, 3)
	b.flash(rand.New(rand.NewPCG(1, 1)))
	if v, err := b.life(false, 1, yes); err != nil || v != 1 {
		t.Fatalf("version %d runs: %v", v, err)
	}
	trials := 0
	bad := func(v int) bool { trials++; return false }
	if v, err := b.life(false, 2, bad); err != nil || v != 1 {
		t.Fatalf("version %d runs after a bad one: %v", v, err)
	}
	if trials != maxTrials {
		t.Errorf("a bad image was tried %d times, want %d", trials, maxTrials)
	}
	s, _ := b.card.load()
	if len(s.Fallen) != 1 || s.Fallen[0].Version != 3 || s.Trial != nil {
		t.Errorf("what is remembered: %+v", s)
	}
	for _, old := range []int{0, 2} { // older, and the one that fell
		if _, err := b.life(false, old, yes); err == nil || !strings.Contains(err.Error(), "only go forward") {
			t.Errorf("version %d is taken again: %v", old, err)
		}
	}
}

// turncoat is a file that somebody changes when it was read to its end once.
type turncoat struct {
	sparse
	then sparse
	read *bool
}

func (f turncoat) ReadAt(b []byte, at int64) (int, error) {
	if *f.read {
		return f.then.ReadAt(b, at)
	}
	*f.read = at+int64(len(b)) >= f.size
	return f.sparse.ReadAt(b, at)
}

// What is changed after its signature was looked at is never written, and never
// started. The version before, in the other slot, is there as long as nothing was
// written over it.
func TestChangedAfterTheSignature(t *testing.T) {
	for _, c := range []struct {
		part  card.Extent
		want  string
		stays bool
	}{{card.A.Kernel(), "nothing was written", true}, {card.A.Root(), "slot a was being written and holds no system now", false}} {
		b := newBoard(t, 3)
		b.flash(rand.New(rand.NewPCG(1, 1)))
		if v, err := b.life(false, 1, yes); err != nil || v != 1 {
			t.Fatalf("version %d runs: %v", v, err)
		}
		u, _, err := b.start(false)
		if err != nil {
			t.Fatal(err)
		}
		other, read := imageOf(2), false
		other.pieces[c.part.Start][9000] ^= 1
		err = u.take(turncoat{b.images[2], other, &read}, other.size, b.sigs[2], []minisign.PublicKey{b.public}, true, true)
		if !errors.Is(err, card.ErrChanged) || !strings.Contains(err.Error(), c.want) || !read {
			t.Errorf("%v, want %s", err, c.want)
		}
		if stays := card.Holds(b.card, card.A, b.sums[0]); stays != c.stays {
			t.Errorf("%v: the version before is there: %v", c.part, stays)
		}
		if what, err := u.begin(); what != carryOn || err != nil {
			t.Errorf("the next start: %v, %v", what, err)
		}
		if v, err := b.life(false, 2, yes); err != nil || v != 2 {
			t.Errorf("offered again, version %d runs: %v", v, err)
		}
	}
}

func TestUpdateIsRefused(t *testing.T) {
	b := newBoard(t, 2)
	b.flash(rand.New(rand.NewPCG(1, 1)))
	u, _, err := b.start(false)
	if err != nil {
		t.Fatal(err)
	}
	changed := imageOf(1)
	changed.pieces[card.A.Root().Start][9000] ^= 1
	other := imageOf(1)
	other.pieces[0] = card.Tables("rpi4")[0]
	keys := []minisign.PublicKey{b.public}
	for what, err := range map[string]error{
		"changed":        u.take(changed, changed.size, b.sigs[1], keys, true, true),
		"another board":  u.take(other, other.size, b.sigs[1], keys, true, true),
		"no key":         u.take(b.images[1], b.images[1].size, b.sigs[1], nil, true, true),
		"cut short":      u.take(b.images[1], b.images[1].size-512, b.sigs[1], keys, true, true),
		"no image":       u.take(bytes.NewReader([]byte("hello")), 5, b.sigs[1], keys, true, true),
		"another's sign": u.take(b.images[1], b.images[1].size, b.sigs[0], keys, true, true),
	} {
		if err == nil {
			t.Errorf("%s: it is taken", what)
		}
	}
	if s, _ := b.card.load(); s.Newest != 0 || len(b.card.cache) > 0 {
		t.Errorf("a refused image leaves something: %+v", s)
	}
	u.runs = card.B // as if on trial
	if err := b.offer(u, 1); err == nil {
		t.Error("an update is taken by an image that runs on trial")
	}
}

// At whatever write of an update the power is cut, once or again and again, and
// whatever part of what was not on the card yet is lost: the board starts a whole
// image, and with the power on it ends with the old version or the new one, as
// its memory says. An update that is offered again is taken.
func TestPowerCuts(t *testing.T) {
	b := newBoard(t, 3)
	b.t = t
	random := rand.New(rand.NewPCG(24, 11))
	// How many steps an update has, from the offer to the end.
	b.flash(random)
	b.card.left = 1 << 30
	if v, err := b.life(false, 1, yes); err != nil || v != 1 {
		t.Fatalf("version %d: %v", v, err)
	}
	steps := 1<<30 - b.card.left
	t.Logf("an update of a small image has %d writes, syncs and saves", steps)
	old, updated := 0, 0
	for i := range *cuts {
		quiet := &board{t: t, key: b.key, public: b.public, images: b.images, sums: b.sums, sigs: b.sigs}
		quiet.flash(random)
		good := func(int) bool { return i%3 != 0 } // one in three is bad
		quiet.card.left = random.IntN(steps + 1)
		if i < steps {
			quiet.card.left = i * steps / min(*cuts, steps) // each of them at least once
		}
		_, err := quiet.life(false, 1, good)
		for again := 0; errors.Is(err, errCut); again++ {
			quiet.card.off()
			quiet.card.left = -1
			if again < 2 {
				quiet.card.left = random.IntN(20)
			}
			_, err = quiet.life(false, -1, good) // the firmware's flag is gone with the power
		}
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		quiet.card.left = -1
		v, err := quiet.life(false, -1, good)
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		if v == 1 && !good(1) {
			t.Fatalf("cut %d: a bad image was confirmed", i)
		}
		if v == 0 {
			old++
		} else {
			updated++
		}
		if v, err = quiet.life(false, 2, yes); err != nil || v != 2 {
			t.Fatalf("cut %d: the next update: version %d runs, %v", i, v, err)
		}
	}
	t.Logf("%d cuts: %d boards with the old image, %d with the new one, no brick", *cuts, old, updated)
	if old == 0 || updated == 0 {
		t.Error("the cuts are all on one side")
	}
}
