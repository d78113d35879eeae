package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mien/runtime/atomicfile"
	"mien/runtime/face"
	"mien/runtime/upright"
)

// The cache of a set is one file: a magic line, an entry for each picture, and
// the CRC-32 of the entries. An entry is the key of a picture's content and its
// record. It is only a copy: what is missing or broken is prepared again.
const (
	cacheMagic = "mien faces 2\n"
	entryBytes = len(contentKey{}) + recordBytes
)

// contentKey names what a record was made from: the bytes of the picture, the
// part of it, and the way from there to a face.
type contentKey [16]byte

func keyOf(k Kind, l face.Levelling, it *item, content []byte) contentKey {
	h := sha256.New()
	fmt.Fprintln(h, GeometryOf(l), k.Crop, it.box)
	if turn := upright.EXIF(content); it.row == nil && turn != (upright.Turn{}) {
		fmt.Fprintln(h, turn)
	}
	h.Write(content)
	return contentKey(h.Sum(nil)[:16])
}

// cachePath is the file of the set in that folder, levelled so.
func cachePath(cache string, k Kind, dir string, l face.Levelling) string {
	at := dir
	if abs, err := filepath.Abs(dir); err == nil {
		at = abs
	}
	sum := sha256.Sum256([]byte(at + string(l)))
	return filepath.Join(cache, fmt.Sprintf("faces-%s-%x.bin", k.Name, sum[:8]))
}

// readCache returns the records of a file by their keys; nil when there are
// none that can be used.
func readCache(path string) map[contentKey][]byte {
	b, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(b, []byte(cacheMagic)) || len(b) < len(cacheMagic)+4 {
		return nil
	}
	entries := b[len(cacheMagic) : len(b)-4]
	if len(entries)%entryBytes != 0 || crc32.ChecksumIEEE(entries) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // for trimCache; a cache that cannot be written is used all the same
	all := make(map[contentKey][]byte, len(entries)/entryBytes)
	for len(entries) > 0 {
		all[contentKey(entries)] = entries[len(contentKey{}):entryBytes:entryBytes]
		entries = entries[entryBytes:]
	}
	return all
}

// cacheBound is how large the folder of prepared faces may grow, in bytes: some
// two million faces.
const cacheBound = 4 << 30

// trimCache takes away the files that were used longest ago until those that
// stay have bound bytes or less. The file keep, just written, stays.
func trimCache(keep string, bound int64) error {
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(keep), "faces-*.bin"))
	if err != nil {
		return err
	}
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			continue // another process took it away
		}
		total += info.Size()
		if p != keep {
			files = append(files, file{p, info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if total <= bound {
			return nil
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		total -= f.size
	}
	return nil
}

// writeCache replaces a cache by the records of keys, and by those of older
// that have none there.
func writeCache(path string, keys []contentKey, records [][]byte, older map[contentKey][]byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(path, func(w io.Writer) error {
		sum := crc32.NewIEEE()
		both := io.MultiWriter(w, sum)
		if _, err := io.WriteString(w, cacheMagic); err != nil {
			return err
		}
		put := func(key contentKey, record []byte) error {
			if _, err := both.Write(key[:]); err != nil {
				return err
			}
			_, err := both.Write(record)
			return err
		}
		done := make(map[contentKey]bool, len(keys))
		for i, key := range keys {
			if records[i] == nil || done[key] {
				continue
			}
			done[key] = true
			if err := put(key, records[i]); err != nil {
				return err
			}
		}
		for key, record := range older {
			if !done[key] {
				if err := put(key, record); err != nil {
					return err
				}
			}
		}
		_, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
		return err
	})
}
