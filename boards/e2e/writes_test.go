package e2e

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"

	"mien/boards/card"
)

// logOf is a log as dm-log-writes has it: of each entry sector, sectors and flags.
func logOf(entries ...[3]uint64) []byte {
	head := func(words ...uint64) []byte {
		b := make([]byte, card.Sector)
		for i, w := range words {
			binary.LittleEndian.PutUint64(b[8*i:], w)
		}
		return b
	}
	log := head(logMagic, 1, uint64(len(entries)), card.Sector)
	for i, e := range entries {
		log = append(log, head(e[0], e[1], e[2], 0)...)
		log = append(log, bytes.Repeat([]byte{byte(i + 1)}, int(e[1])*card.Sector)...)
	}
	return append(log, make([]byte, 2*card.Sector)...)
}

// The writes of a log land on a card in their order.
func TestWrites(t *testing.T) {
	all, err := Writes(bytes.NewReader(logOf([3]uint64{3, 2, 0}, [3]uint64{0, 0, logFlush}, [3]uint64{0, 1, 2}, [3]uint64{4, 1, 0})))
	if err != nil || len(all) != 4 || all[0].At != 3*card.Sector || all[1].At != 4*card.Sector || all[2].At != 0 {
		t.Fatalf("%d writes: %v", len(all), err)
	}
	before := bytes.Repeat([]byte{9}, 6*card.Sector)
	c := CutCard{Before: bytes.NewReader(before)}
	for n, want := range []string{"999999", "999199", "999119", "399119", "399149"} {
		b := make([]byte, len(before)-2)
		if _, err := c.ReadAt(b, 1); err != nil {
			t.Fatal(err)
		}
		got := ""
		for s := range slices.Chunk(b, card.Sector) {
			got += string('0' + rune(s[0]))
		}
		if got != want {
			t.Errorf("after %d writes sectors hold %s, want %s", n, got, want)
		}
		if n < len(all) {
			c.Lands(all[n])
		}
	}
	if _, err := c.ReadAt(make([]byte, 2), int64(len(before))-1); err != io.EOF {
		t.Errorf("beyond the end: %v", err)
	}
	for what, log := range map[string][]byte{"no log of writes": make([]byte, 2048), "discard": logOf([3]uint64{3, 0, logDiscard})} {
		if _, err := Writes(bytes.NewReader(log)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
