package card

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// memory is a disk in memory.
type memory []byte

func (m memory) ReadAt(b []byte, at int64) (int, error)  { return copy(b, m[at:]), nil }
func (m memory) WriteAt(b []byte, at int64) (int, error) { return copy(m[at:], b), nil }
func (memory) Sync() error                               { return nil }

// The kernel follows a table as linux block/partitions/msdos.c does, and finds
// the partitions where they are.
func TestTablesAreReadAsTheKernelDoes(t *testing.T) {
	tables := Tables("rpi3")
	row := func(table []byte, i int) (kind byte, start, size int64) {
		r := table[446+16*i:]
		return r[4], int64(binary.LittleEndian.Uint32(r[8:])), int64(binary.LittleEndian.Uint32(r[12:]))
	}
	found := map[int]Extent{}
	first := tables[0]
	for i := range 4 {
		_, start, size := row(first, i)
		found[i+1] = Extent{start * Sector, size * Sector}
	}
	base, next, n := Extended.Start/Sector, Extended.Start/Sector, 5
	for next != 0 {
		table := tables[next*Sector]
		if table == nil || table[510] != 0x55 || table[511] != 0xaa {
			t.Fatalf("no table at sector %d", next)
		}
		this := next
		next = 0
		for i := range 4 {
			switch kind, start, size := row(table, i); {
			case kind == typeExtended:
				next = base + start
			case size > 0:
				found[n] = Extent{(this + start) * Sector, size * Sector}
				n++
			}
		}
	}
	want := map[int]Extent{1: Boot, 2: A.Kernel(), 3: B.Kernel(), 4: Extended, 5: A.Root(), 6: B.Root(), 7: Data}
	for i, e := range want {
		if found[i] != e {
			t.Errorf("partition %d is %v, want %v", i, found[i], e)
		}
	}
	if len(found) != len(want) {
		t.Errorf("partitions %v", found)
	}
}

// No two parts of the card share a byte.
func TestExtentsAreApart(t *testing.T) {
	all := []Extent{{0, Sector}, Boot, A.Kernel(), {Extended.Start, 3 * Sector}, A.Root(), B.Root(), Data, B.Kernel(), {Size, 1}}
	slices.SortFunc(all, func(a, b Extent) int { return int((a.Start - b.Start) / Sector) })
	for i, e := range all[1:] {
		if all[i].End() > e.Start {
			t.Errorf("%v reaches into %v", all[i], e)
		}
	}
	for _, e := range []Extent{A.Root(), B.Root(), Data} {
		if e.Start < Extended.Start || e.End() > Extended.End() {
			t.Errorf("%v is not in the extended partition", e)
		}
	}
}

// fat is a boot partition with autoboot.txt as its second file.
func fat(disk memory) {
	b := disk[Boot.Start:]
	le := binary.LittleEndian
	le.PutUint16(b[11:], Sector)
	b[13], b[16] = 4, 2
	le.PutUint16(b[14:], 4)
	le.PutUint16(b[17:], 512)
	le.PutUint16(b[22:], 14)
	folder := b[(4+2*14)*Sector:]
	copy(folder, "MIEN       \x08")
	copy(folder[32:], "AUTOBOOTTXT")
	le.PutUint16(folder[32+26:], 7)
	copy(b[(4+2*14+32+5*4)*Sector:], Autoboot(A))
}

func TestConfirm(t *testing.T) {
	disk := make(memory, Boot.End())
	if _, err := Default(disk); err == nil {
		t.Error("an empty card starts something")
	}
	fat(disk)
	before := bytes.Clone(disk)
	for _, s := range []Slot{B, A} {
		if err := Confirm(disk, s); err != nil {
			t.Fatal(err)
		}
		if got, err := Default(disk); err != nil || got != s {
			t.Errorf("confirmed %v, %v starts (%v)", s, got, err)
		}
	}
	if !bytes.Equal(disk, before) {
		t.Error("there and back leaves another card")
	}
	if len(Autoboot(A)) > Sector || len(Autoboot(A)) != len(Autoboot(B)) {
		t.Error("autoboot.txt is not one sector, of one length")
	}
}

func TestSlotOf(t *testing.T) {
	for _, s := range []Slot{A, B} {
		if got, err := SlotOf("quiet " + s.RootArgument() + " ro\n"); err != nil || got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	if _, err := SlotOf("root=/dev/mmcblk0p5"); err == nil {
		t.Error("a slot without its argument")
	}
}

// fileSystems says how large those of slot a are.
func fileSystems(img memory) {
	kernel, root := img[A.Kernel().Start:], img[A.Root().Start:]
	binary.LittleEndian.PutUint32(kernel[32:], 2048)
	kernel[510], kernel[511] = 0x55, 0xaa
	copy(root, "hsqs")
	binary.LittleEndian.PutUint64(root[40:], 64<<10)
}

// An image goes into either slot, there names that slot's root, and reads as the
// same.
func TestInstall(t *testing.T) {
	disk := make(memory, Size)
	fat(disk)
	size := A.Root().Start + 64<<10
	img := make(memory, size)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(img[A.Kernel().Start:])
	fileSystems(img)
	for at, b := range Tables("rpi3") {
		copy(img[at:], b)
	}
	line := A.Kernel().Start + 100*Sector
	copy(img[line:], A.RootArgument()+" ro")
	m := Image{img, size}
	if err := m.Check("rpi3"); err != nil {
		t.Fatal(err)
	}
	if err := m.Check("rpi4"); err == nil {
		t.Error("an image for another board is taken")
	}
	w, told, err := m.Summing()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(img); i += 1000 { // pieces that end anywhere
		w.Write(img[i:min(i+1000, len(img))])
	}
	pieces := told()
	if _, err := m.Install(disk, A, pieces); err == nil {
		t.Error("the slot that starts is written over")
	}
	if err := (Image{img, size - 4096}).Check("rpi3"); err == nil {
		t.Error("an image that was cut short is taken")
	}
	// What nobody signed is not written, and what is there stays as long as that is so.
	before := bytes.Clone(disk)
	for what, at := range map[string]int64{"first": A.Kernel().Start + 9000, "second": A.Kernel().Start + chunk + 9000, "none": A.Kernel().Start + 32} {
		img[at] ^= 1
		begun, err := m.Install(disk, B, pieces)
		if !errors.Is(err, ErrChanged) || begun != (what == "second") || bytes.Equal(disk, before) == begun {
			t.Errorf("the %s piece was changed: begun %v, %v", what, begun, err)
		}
		if !bytes.Equal(disk[B.Kernel().Start+chunk:B.Kernel().End()], before[B.Kernel().Start+chunk:B.Kernel().End()]) {
			t.Errorf("the %s piece was changed, and written", what)
		}
		img[at] ^= 1
		copy(disk, before)
	}
	begun, err := m.Install(disk, B, pieces)
	if err != nil || !begun || !Holds(disk, B, pieces.Sum()) {
		t.Fatalf("installed, begun %v: %v", begun, err)
	}
	if begun, err := m.Install(disk, B, pieces); err != nil || begun {
		t.Errorf("installed again, begun %v: %v", begun, err)
	}
	there := B.Kernel().Start + 100*Sector
	if arg := string(disk[there:][:len(B.RootArgument())]); arg != B.RootArgument() {
		t.Errorf("slot b's kernel gets %q", arg)
	}
	disk[B.Root().Start+9000] ^= 1
	if Holds(disk, B, pieces.Sum()) {
		t.Error("a flipped bit is not seen")
	}
}

func TestDataMade(t *testing.T) {
	disk := make(memory, A.Root().Start)
	for at, b := range Tables("rpi3") {
		copy(disk[at:], b)
	}
	if made, err := DataMade(disk); made || err != nil {
		t.Errorf("made on a new card: %v, %v", made, err)
	}
	if err := MarkDataMade(disk); err != nil {
		t.Fatal(err)
	}
	if made, err := DataMade(disk); !made || err != nil {
		t.Errorf("not made: %v, %v", made, err)
	}
	at := Extended.Start + 2*Sector
	if want := Tables("rpi3")[at]; !bytes.Equal(disk[at+446:at+Sector], want[446:]) {
		t.Error("the mark changes the table")
	}
}
