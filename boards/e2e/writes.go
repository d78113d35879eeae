package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"mien/boards/card"
)

// Write is one sector that was written to a card.
type Write struct {
	At   int64
	Data []byte
}

// The log of QEMU's block driver blklogwrites, which is that of Linux's dm-log-writes
// (Documentation/admin-guide/device-mapper/log-writes.rst): a sector that says what it
// is, then of each write a sector that says where it went, and its data.
const (
	logMagic   = 0x6a736677736872
	logFlush   = 1
	logDiscard = 4
)

// record makes a log for a card's writes, and returns the drive's options that fill it.
func record(disk, log string) (string, error) {
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return "", err
	}
	if err := os.Truncate(log, 4<<30); err != nil { // sparse
		return "", err
	}
	return fmt.Sprintf("if=sd,driver=blklogwrites,log-sector-size=%d,log-super-update-interval=1,file.driver=raw,file.file.driver=file,file.file.filename=%s,log.driver=raw,log.file.driver=file,log.file.filename=%s",
		card.Sector, disk, log), nil
}

// Writes reads the log of a card: all sectors that were written to it, in order.
// Flushes are not told: QEMU's card, like most real ones, has no such command.
func Writes(log io.ReaderAt) ([]Write, error) {
	head := make([]byte, card.Sector)
	if _, err := log.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("e2e: log of writes: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint64(head) != logMagic || le.Uint32(head[24:]) != card.Sector {
		return nil, errors.New("e2e: that is no log of writes with sectors of 512 bytes")
	}
	var all []Write
	at := int64(card.Sector)
	for range le.Uint64(head[16:]) {
		_, err := log.ReadAt(head, at)
		sector, sectors, flags := int64(le.Uint64(head)), int64(le.Uint64(head[8:])), le.Uint64(head[16:])
		if err == nil && flags&logDiscard != 0 {
			err = errors.New("a discard, whose outcome nobody promises")
		}
		if flags&logFlush != 0 {
			sectors = 0
		}
		data := make([]byte, sectors*card.Sector)
		if err == nil && sectors > 0 {
			_, err = log.ReadAt(data, at+card.Sector)
		}
		if err != nil {
			return nil, fmt.Errorf("e2e: log of writes, at byte %d: %w", at, err)
		}
		for i := range sectors {
			all = append(all, Write{(sector + i) * card.Sector, data[i*card.Sector : (i+1)*card.Sector]})
		}
		at += card.Sector + int64(len(data))
	}
	return all, nil
}

// CutCard is a card as it was when its power went: what lay on it, and what had
// been written to it since. It is read, not written.
type CutCard struct {
	Before io.ReaderAt
	since  map[int64][]byte // by sector
}

// Lands puts a write on the card.
func (c *CutCard) Lands(w Write) {
	if c.since == nil {
		c.since = map[int64][]byte{}
	}
	c.since[w.At/card.Sector] = w.Data
}

// ReadAt implements io.ReaderAt.
func (c *CutCard) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.Before.ReadAt(b, at)
	for done := 0; done < n; {
		sector, from := (at+int64(done))/card.Sector, int((at+int64(done))%card.Sector)
		upto := min(n-done, card.Sector-from)
		if s := c.since[sector]; s != nil {
			copy(b[done:done+upto], s[from:])
		}
		done += upto
	}
	return n, err
}

// WriteTo makes a card that is a file, on a copy of what lay there before, what this one is.
func (c *CutCard) WriteTo(disk io.WriterAt) error {
	for n, s := range c.since {
		if _, err := disk.WriteAt(s, n*card.Sector); err != nil {
			return err
		}
	}
	return nil
}
