package work

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"mien/runtime/atomicfile"
	"mien/runtime/lockfile"
	"mien/train"
	"mien/train/report"
)

// marks are the files of a run that say how far the others are. They are opened
// before the others and written after them: what a copy holds is then at least as
// new as they say, as it is after a kill between any two writes of a run.
var marks = []string{train.LastFile, report.ReportFile}

func joined(dir, name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }

// pack writes the files of a folder as a tar archive, while they may be replaced.
// A folder that is not there is an empty one.
func pack(w io.Writer, dir string) error {
	names, err := list(dir)
	if err != nil {
		return err
	}
	open := map[string]*os.File{}
	defer func() {
		for _, f := range open {
			f.Close() // only read
		}
	}()
	for _, name := range marks {
		f, err := os.Open(joined(dir, name))
		switch {
		case err == nil:
			open[name] = f
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("work: %w", err)
		}
	}
	out := tar.NewWriter(w)
	for _, name := range names {
		if slices.Contains(marks, name) {
			continue
		}
		f, err := os.Open(joined(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was a temporary one
		}
		if err != nil {
			return fmt.Errorf("work: %w", err)
		}
		if err := errors.Join(add(out, name, f), f.Close()); err != nil {
			return err
		}
	}
	for _, name := range marks {
		if f := open[name]; f != nil {
			if err := add(out, name, f); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

// list names the files of a folder that travel.
func list(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if name := d.Name(); name == lockfile.Name || strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp") {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	return names, nil
}

func add(out *tar.Writer, name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("work: %w", err)
	}
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return fmt.Errorf("work: %s: %w", name, err)
	}
	if _, err := io.CopyN(out, f, info.Size()); err != nil {
		return fmt.Errorf("work: %s: %w", name, err)
	}
	return nil
}

// unpack puts the files of an archive into a folder, each whole or not at all.
func unpack(r io.Reader, dir string) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("work: archive of %s: %w", dir, err)
		}
		name, err := filepath.Localize(h.Name)
		if err != nil || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("work: archive of %s: %q is no file of it", dir, h.Name)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("work: %w", err)
		}
		err = atomicfile.Replace(path, func(w io.Writer) error {
			_, err := io.Copy(w, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("work: write %s: %w", path, err)
		}
	}
}

// put stores what fill writes, as one object that replaces the one before whole.
func put(ctx context.Context, s jetstream.ObjectStore, meta jetstream.ObjectMeta, fill func(io.Writer) error) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(fill(w)) }()
	_, err := s.Put(ctx, meta, r)
	r.CloseWithError(err) // fill ends
	if err != nil {
		return fmt.Errorf("work: store %s: %w", meta.Name, err)
	}
	return nil
}

// get unpacks an object into a folder, which it makes.
func get(ctx context.Context, s jetstream.ObjectStore, name, dir string) error {
	o, err := s.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("work: fetch %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Join(fmt.Errorf("work: %w", err), o.Close())
	}
	return errors.Join(unpack(o, dir), o.Close())
}
