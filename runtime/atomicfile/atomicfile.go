// Package atomicfile replaces files so that a power cut leaves the old one or
// the new one, never a part.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write puts data at path as Replace does.
func Write(path string, data []byte) error {
	return Replace(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Replace writes what fill writes to path, whole or not at all: into a
// temporary file in the same folder, which it syncs, renames and whose folder
// it syncs. On an error, for instance a full disk, the file that was there
// stays as it was.
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
		return fmt.Errorf("atomicfile: %w", err)
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("atomicfile: %w", err)
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
