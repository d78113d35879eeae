package card

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Image is the file of a card, of which an update takes slot a: the boot
// partition stays as it is.
type Image struct {
	io.ReaderAt
	Size int64
}

// used are the parts of a slot that hold something, as its two file systems say
// themselves: kernel and root.
func used(r io.ReaderAt, s Slot) (parts [2]Extent, err error) {
	head := make([]byte, Sector)
	if _, err := r.ReadAt(head, s.Kernel().Start); err != nil {
		return parts, fmt.Errorf("card: slot %v: %w", s, err)
	}
	parts[0] = Extent{s.Kernel().Start, int64(binary.LittleEndian.Uint32(head[32:])) * Sector} // of FAT32: all its sectors
	if head[510] != 0x55 || head[511] != 0xaa || parts[0].Size == 0 || parts[0].Size > s.Kernel().Size {
		return parts, fmt.Errorf("card: slot %v has no FAT32 file system for the firmware", s)
	}
	if _, err := r.ReadAt(head, s.Root().Start); err != nil {
		return parts, fmt.Errorf("card: slot %v: %w", s, err)
	}
	size := binary.LittleEndian.Uint64(head[40:]) // of squashfs: all its bytes
	if string(head[:4]) != "hsqs" || size == 0 || size > uint64(s.Root().Size) {
		return parts, fmt.Errorf("card: slot %v has no squashfs as its root", s)
	}
	parts[1] = Extent{s.Root().Start, int64(size+4095) / 4096 * 4096}
	return parts, nil
}

// Check says what is wrong with an image, as far as its outside tells, for a
// card of that board.
func (m Image) Check(board string) error {
	is, err := Board(m)
	if err != nil {
		return fmt.Errorf("card: a file of %d bytes is no image of a card: %w", m.Size, err)
	}
	if is != board {
		return fmt.Errorf("card: the image is for %q, this board is %q", is, board)
	}
	for at, want := range Tables(board) {
		got := make([]byte, Sector)
		if _, err := m.ReadAt(got, at); err != nil {
			return fmt.Errorf("card: the image was cut short, or is none: %w", err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("card: the image's partition table is not that of this card")
		}
	}
	parts, err := used(m, A)
	if err == nil && parts[1].End() > m.Size {
		err = fmt.Errorf("card: the image ends at byte %d and its root at %d: it was cut short", m.Size, parts[1].End())
	}
	return err
}

// Sum is what tells the contents of one slot from another's, whichever it lies in.
type Sum = [sha256.Size]byte

// Pieces are the sums of the pieces of a slot, of its kernel partition and its root,
// by which each piece is known before it is written.
type Pieces [2][]Sum

// Sum is that of all of it. How many pieces a part has is in it, so that what ends
// one part cannot begin the next.
func (p Pieces) Sum() Sum {
	h := sha256.New()
	for _, part := range p {
		fmt.Fprintf(h, "%d\n", len(part))
		for _, s := range part {
			h.Write(s[:])
		}
	}
	return Sum(h.Sum(nil))
}

// chunk is how much is moved at once, the size of a piece: a multiple of a sector
// and of what a card likes.
const chunk = 256 << 10

// each hands the bytes of an extent to do, in order, in pieces of whole sectors.
func each(r io.ReaderAt, e Extent, do func(b []byte, at int64) error) error {
	b := make([]byte, chunk)
	for done := int64(0); done < e.Size; {
		n := min(chunk, e.Size-done)
		if _, err := r.ReadAt(b[:n], e.Start+done); err != nil {
			return fmt.Errorf("card: %w", err)
		}
		if err := do(b[:n], done); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// move makes a piece of slot from's kernel partition what it is in another slot:
// its cmdline.txt, which begins a sector, names the other root.
func move(b []byte, from, to Slot) {
	old, is := []byte(from.RootArgument()+" "), []byte(to.RootArgument()+" ")
	for i := 0; i+len(old) <= len(b); i += Sector {
		if bytes.HasPrefix(b[i:], old) {
			copy(b[i:], is)
		}
	}
}

// Summing tells the pieces of the image from the bytes that are written to w, all of
// them from its beginning. Who checks a signature in the same reading knows that
// what consists of these pieces is what was signed, whatever becomes of the file.
func (m Image) Summing() (w io.Writer, told func() Pieces, err error) {
	parts, err := used(m, A)
	s := &stream{parts: parts, sum: sha256.New()}
	return s, func() Pieces { return s.pieces }, err
}

// stream takes the parts of a slot out of what passes by.
type stream struct {
	parts  [2]Extent
	at     int64
	sum    hash.Hash // of the piece that passes
	pieces Pieces
}

func (s *stream) Write(b []byte) (int, error) {
	end := s.at + int64(len(b))
	for i, e := range s.parts {
		for from, upto := max(e.Start, s.at), min(e.End(), end); from < upto; {
			whole := min(from+chunk-(from-e.Start)%chunk, e.End()) // the end of the piece
			to := min(whole, upto)
			s.sum.Write(b[from-s.at : to-s.at])
			if to == whole {
				s.pieces[i] = append(s.pieces[i], Sum(s.sum.Sum(nil)))
				s.sum.Reset()
			}
			from = to
		}
	}
	s.at = end
	return len(b), nil
}

// sum is that of what a slot holds.
func sum(r io.ReaderAt, s Slot) (Sum, error) {
	parts, err := used(r, s)
	if err != nil {
		return Sum{}, err
	}
	var p Pieces
	for i, e := range parts {
		if err := each(r, e, func(b []byte, _ int64) error {
			if i == 0 {
				move(b, s, A)
			}
			p[i] = append(p[i], sha256.Sum256(b))
			return nil
		}); err != nil {
			return Sum{}, err
		}
	}
	return p.Sum(), nil
}

// ErrChanged says that an image is no longer what it was when its pieces were told.
var ErrChanged = errors.New("card: the image was changed after its signature was looked at")

// Install writes the image into slot s, which must not be the one that starts, and
// reads back from the disk what lies there then. Nothing but the pieces that were
// told is written, and what is there already is not written again. begun says whether
// anything was, so that the slot no longer holds what it held.
func (m Image) Install(disk Disk, s Slot, told Pieces) (begun bool, err error) {
	if now, err := Default(disk); err != nil {
		return false, err
	} else if now == s {
		return false, fmt.Errorf("card: slot %v is the one that starts: it cannot be written", s)
	}
	parts, err := used(m, A)
	if err != nil {
		return false, err
	}
	there := make([]byte, chunk)
	for i, e := range parts {
		if int64(len(told[i])) != (e.Size+chunk-1)/chunk {
			return begun, ErrChanged
		}
		to := [...]Extent{s.Kernel(), s.Root()}[i]
		if err := each(m, e, func(b []byte, at int64) error {
			if sha256.Sum256(b) != told[i][at/chunk] {
				return ErrChanged
			}
			if i == 0 {
				move(b, A, s)
			}
			if _, err := disk.ReadAt(there[:len(b)], to.Start+at); err == nil && bytes.Equal(there[:len(b)], b) {
				return nil
			}
			begun = true
			_, err := disk.WriteAt(b, to.Start+at)
			return err
		}); err != nil {
			return begun, err
		}
	}
	if err := disk.Sync(); err != nil {
		return begun, fmt.Errorf("card: %w", err)
	}
	if !Holds(disk, s, told.Sum()) {
		return begun, errors.New("card: what was written reads otherwise: the card may be worn out")
	}
	return begun, nil
}

// Holds says whether slot s has what sum tells.
func Holds(disk io.ReaderAt, s Slot, want Sum) bool {
	got, err := sum(disk, s) // what cannot be read is nothing whole
	return err == nil && got == want
}
