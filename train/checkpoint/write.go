package checkpoint

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// Write puts f at path, whole or not at all: it writes a temporary file in
// the same folder, syncs it, renames it and syncs the folder. On an error,
// for instance a full disk, the file that was there stays as it was.
func Write(path string, f *File) error {
	err := Replace(path, func(w io.Writer) error { return encode(w, f) })
	if err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", path, err)
	}
	return nil
}

// Replace writes a file of any kind as Write does.
func Replace(path string, fill func(io.Writer) error) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, tempPattern(path))
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once renamed, as it should
	if err := errors.Join(tmp.Chmod(0o644), writeSynced(tmp, fill)); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func tempPattern(path string) string { return "." + filepath.Base(path) + ".*.tmp" }

// Clean removes what writes of path that were killed have left behind. Only
// the file's one writer may call it.
func Clean(path string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), tempPattern(path)))
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return nil
}

func writeSynced(f *os.File, fill func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func encode(w io.Writer, f *File) error {
	head, err := header(f)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(head))); err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for i := range f.Tensors {
		if _, err := w.Write(f.Tensors[i].encode()); err != nil {
			return err
		}
	}
	return nil
}

// header is the JSON header, padded with blanks to a multiple of 8 bytes so
// that the data is aligned. Its keys are in order: equal files have equal
// bytes.
func header(f *File) ([]byte, error) {
	entries := make(map[string]any, len(f.Tensors)+1)
	if len(f.Meta) > 0 {
		entries[metaKey] = f.Meta
	}
	var at int64
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if err := t.check(); err != nil {
			return nil, err
		}
		if _, twice := entries[t.Name]; twice {
			return nil, fmt.Errorf("two tensors called %s", t.Name)
		}
		shape := make([]int64, len(t.Shape))
		for k, d := range t.Shape {
			shape[k] = int64(d)
		}
		end := at + int64(t.bytes())
		entries[t.Name] = entry{t.dtype(), shape, [2]int64{at, end}}
		at = end
	}
	b, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	return append(b, bytes.Repeat([]byte{' '}, -len(b)&7)...), nil
}

func (t *Tensor) encode() []byte {
	b := make([]byte, 0, t.bytes())
	for _, v := range t.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, v := range t.U64 {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	for _, v := range t.I64 {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}
