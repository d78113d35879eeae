// Package card says how the appliance's card is laid out, and changes it so
// that cutting the power at any moment leaves a card that starts.
//
//	1  boot     FAT16  what the first stage of the firmware reads, autoboot.txt, and files for and from people
//	2  kernel a FAT32  firmware, device trees, kernel, config.txt, cmdline.txt of slot a
//	3  kernel b FAT32  the same of slot b
//	5  root a   squashfs, read only
//	6  root b
//	7  data     ext4, made at the first start; 4 is the extended partition that holds these three
//
// A slot is a kernel partition and the root partition that its cmdline.txt
// names. An update writes the slot that does not run, and nothing of the other.
// Which one starts stands in one sector, that of autoboot.txt (Raspberry Pi
// documentation, config.txt, autoboot.txt): boot_partition under [all], and
// under [tryboot] the other one, which the firmware takes once when a restart
// asks for it, and never by itself. So a slot that panics, hangs until the
// watchdog bites, or loses its power before it was confirmed is left again.
package card

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Sector is the unit that a card writes whole, in bytes.
const Sector = 512

// DiskID is the identity in the partition table, by which the kernel finds its
// root: it reads "mien".
const DiskID = 0x6d69656e

// Extent is a part of the card, in bytes.
type Extent struct{ Start, Size int64 }

// End is the first byte after it.
func (e Extent) End() int64 { return e.Start + e.Size }

const mib = 1 << 20

// The parts of the card that are none of a slot. What an image file holds, the
// boot partition and slot a, comes first; the rest need not be there when the
// card is written. A card has Size bytes or more.
var (
	Boot     = Extent{1 * mib, 7 * mib}
	Extended = Extent{48 * mib, 640 * mib}
	Data     = Extent{176 * mib, 512 * mib}
)

// Size is what a card has at least, in bytes.
const Size = 728 * mib

// Slot is one of the two systems on a card.
type Slot int

// The slots.
const (
	A Slot = iota
	B
)

func (s Slot) String() string { return string('a' + rune(s)) }

// Other is the slot that s is not.
func (s Slot) Other() Slot { return 1 - s }

// Kernel is where the firmware finds the slot's kernel.
func (s Slot) Kernel() Extent { return [...]Extent{{8 * mib, 40 * mib}, {688 * mib, 40 * mib}}[s] }

// Root is where the slot's root file system is.
func (s Slot) Root() Extent { return [...]Extent{{49 * mib, 63 * mib}, {112 * mib, 63 * mib}}[s] }

// Partition is the number of the slot's kernel partition, as autoboot.txt has it.
func (s Slot) Partition() int { return 2 + int(s) }

// RootArgument is how cmdline.txt names the slot's root. It has the same length
// for both.
func (s Slot) RootArgument() string { return fmt.Sprintf("root=PARTUUID=%08x-%02x", DiskID, 5+int(s)) }

// SlotOf is the slot that runs, by the arguments of its kernel.
func SlotOf(cmdline string) (Slot, error) {
	for _, s := range []Slot{A, B} {
		if slices.Contains(strings.Fields(cmdline), s.RootArgument()) {
			return s, nil
		}
	}
	return A, fmt.Errorf("card: the kernel's arguments name no slot (%s)", A.RootArgument())
}

// The types of partitions (the numbers of an MBR).
const (
	typeFAT16    = 0x0e
	typeFAT32    = 0x0c
	typeExtended = 0x0f
	typeLinux    = 0x83
)

// entry is a row of a partition table: the start is relative to from.
func entry(kind byte, e Extent, from int64) []byte {
	row := make([]byte, 16)
	row[4] = kind
	for _, chs := range [][]byte{row[1:4], row[5:8]} {
		copy(chs, []byte{0xfe, 0xff, 0xff}) // beyond what cylinders can say: only the sectors count
	}
	binary.LittleEndian.PutUint32(row[8:], uint32((e.Start-from)/Sector))
	binary.LittleEndian.PutUint32(row[12:], uint32(e.Size/Sector))
	return row
}

func table(rows ...[]byte) []byte {
	b := make([]byte, Sector)
	copy(b[446:], bytes.Join(rows, nil))
	b[510], b[511] = 0x55, 0xaa
	return b
}

// Tables are the sectors of the partition table, by their place on the card:
// the first, which also says for which board the card is, and the chain of those
// of the extended partition, which lie side by side at its beginning so that an
// image file holds them all.
func Tables(board string) map[int64][]byte {
	first := table(entry(typeFAT16, Boot, 0), entry(typeFAT32, A.Kernel(), 0), entry(typeFAT32, B.Kernel(), 0), entry(typeExtended, Extended, 0))
	binary.LittleEndian.PutUint32(first[440:], DiskID)
	copy(first[:boardSize], board) // where a PC's would have its program
	all := map[int64][]byte{0: first}
	logical := []Extent{A.Root(), B.Root(), Data}
	for i, e := range logical {
		at := Extended.Start + int64(i)*Sector
		rows := [][]byte{entry(typeLinux, e, at)}
		if i+1 < len(logical) {
			rest := Extended.Size - int64(i+1)*Sector
			rows = append(rows, entry(typeExtended, Extent{at + Sector, rest}, Extended.Start))
		}
		all[at] = table(rows...)
	}
	return all
}

const boardSize = 64

// Board says for which board a card, or an image of one, was made.
func Board(disk io.ReaderAt) (string, error) {
	b := make([]byte, boardSize)
	if _, err := disk.ReadAt(b, 0); err != nil {
		return "", fmt.Errorf("card: partition table: %w", err)
	}
	return string(bytes.TrimRight(b, "\x00")), nil
}

// Autoboot is the file autoboot.txt that makes the firmware start a slot. It
// has the same length for both.
func Autoboot(s Slot) []byte {
	return fmt.Appendf(nil, "[all]\ntryboot_a_b=1\nboot_partition=%d\n[tryboot]\nboot_partition=%d\n", s.Partition(), s.Other().Partition())
}

// autobootSector finds the sector of autoboot.txt in the FAT16 file system of the boot
// partition, as Microsoft's "FAT: General Overview of On-Disk Format" describes it.
func autobootSector(disk io.ReaderAt) (int64, error) {
	head := make([]byte, Sector)
	if _, err := disk.ReadAt(head, Boot.Start); err != nil {
		return 0, fmt.Errorf("card: boot partition: %w", err)
	}
	le := binary.LittleEndian
	perSector, perCluster := int64(le.Uint16(head[11:])), int64(head[13])
	reserved, fats, entries := int64(le.Uint16(head[14:])), int64(head[16]), int64(le.Uint16(head[17:]))
	perFAT := int64(le.Uint16(head[22:]))
	if perSector != Sector || perCluster == 0 || entries == 0 || perFAT == 0 {
		return 0, errors.New("card: the boot partition is no FAT16 file system with sectors of 512 bytes")
	}
	folder := Boot.Start + (reserved+fats*perFAT)*Sector
	files := make([]byte, entries*32)
	if _, err := disk.ReadAt(files, folder); err != nil {
		return 0, fmt.Errorf("card: boot partition: %w", err)
	}
	for row := range slices.Chunk(files, 32) {
		if string(row[:11]) != "AUTOBOOTTXT" {
			continue
		}
		at := folder + entries*32 + (int64(le.Uint16(row[26:]))-2)*perCluster*Sector
		if at < folder || at+Sector > Boot.End() {
			break
		}
		return at, nil
	}
	return 0, errors.New("card: there is no autoboot.txt on the boot partition")
}

// Default says which slot starts unless a restart asks for the other.
func Default(disk io.ReaderAt) (Slot, error) {
	at, err := autobootSector(disk)
	if err != nil {
		return A, err
	}
	text := make([]byte, Sector)
	if _, err := disk.ReadAt(text, at); err != nil {
		return A, fmt.Errorf("card: autoboot.txt: %w", err)
	}
	for _, s := range []Slot{A, B} {
		if bytes.HasPrefix(text, Autoboot(s)) {
			return s, nil
		}
	}
	return A, fmt.Errorf("card: autoboot.txt reads %.80q, which is not what was written there", bytes.TrimRight(text, "\x00"))
}

// Disk is a card, or what stands for one.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error // what was written lasts from here on
}

// Confirm makes s the slot that starts. It is the one write that counts: one
// sector, before which all starts as it did.
func Confirm(disk Disk, s Slot) error {
	at, err := autobootSector(disk)
	if err != nil {
		return err
	}
	if _, err := disk.WriteAt(append(Autoboot(s), make([]byte, Sector-len(Autoboot(s)))...), at); err != nil {
		return fmt.Errorf("card: autoboot.txt: %w", err)
	}
	return disk.Sync()
}

// dataMade stands where the data partition's own table has room, which an image
// writes anew: a card that was written again begins anew.
var dataMade = []byte("mien data made\n")

// dataTable is the place of that table.
const dataTable = 48*mib + 2*Sector

// DataMade says whether the data partition was made since the image was written
// to the card.
func DataMade(disk io.ReaderAt) (bool, error) {
	b := make([]byte, len(dataMade))
	if _, err := disk.ReadAt(b, dataTable); err != nil {
		return false, fmt.Errorf("card: table of the data partition: %w", err)
	}
	return bytes.Equal(b, dataMade), nil
}

// MarkDataMade notes it.
func MarkDataMade(disk Disk) error {
	b := make([]byte, Sector)
	if _, err := disk.ReadAt(b, dataTable); err != nil {
		return fmt.Errorf("card: table of the data partition: %w", err)
	}
	copy(b, dataMade)
	if _, err := disk.WriteAt(b, dataTable); err != nil {
		return fmt.Errorf("card: table of the data partition: %w", err)
	}
	return disk.Sync()
}
