package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"mien/runtime/atomicfile"
)

// The cache holds the records of one list of images in one file: a magic
// line, the records, and their CRC-32. It is only a copy: what is missing or
// broken is prepared again.
const cacheMagic = "mien faces 1\n"

// cacheKey names the faces that the items give: it changes with every file's
// name, size or time, and with the geometry.
func cacheKey(kind, dir string, items []item) string {
	h := sha256.New()
	fmt.Fprintln(h, geometry, kind, len(items))
	for _, it := range items {
		fmt.Fprintln(h, it.path)
		if it.row != nil {
			h.Write(it.row)
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, it.path)); err == nil {
			fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12])
}

// fromWhole returns the records of some items out of those of the whole set,
// or nil. Both lists are in the same order.
func fromWhole(cache, kind, dir string, items, all []item) []byte {
	if cache == "" {
		return nil
	}
	whole := readCache(cache, cacheKey(kind, dir, all), len(all))
	if whole == nil {
		return nil
	}
	records := make([]byte, 0, len(items)*recordBytes)
	for i := range all {
		if len(items) > 0 && all[i].path == items[0].path {
			records = append(records, whole[i*recordBytes:][:recordBytes]...)
			items = items[1:]
		}
	}
	return records
}

func cachePath(dir, key string) string { return filepath.Join(dir, "faces-"+key+".bin") }

// readCache returns the records, or nil.
func readCache(dir, key string, n int) []byte {
	if dir == "" {
		return nil
	}
	b, err := os.ReadFile(cachePath(dir, key))
	if err != nil || len(b) != len(cacheMagic)+n*recordBytes+4 || !bytes.HasPrefix(b, []byte(cacheMagic)) {
		return nil
	}
	records := b[len(cacheMagic) : len(b)-4]
	if crc32.ChecksumIEEE(records) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil
	}
	return records
}

func writeCache(dir, key string, records []byte) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("data: cache of prepared faces: %w", err)
	}
	err := atomicfile.Replace(cachePath(dir, key), func(w io.Writer) error {
		for _, part := range [][]byte{[]byte(cacheMagic), records, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(records))} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("data: cache of prepared faces: %w (free some space, or set XDG_CACHE_HOME to another disk)", err)
	}
	return nil
}
