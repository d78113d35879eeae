package work

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/runtime/lockfile"
	"mien/train"
	"mien/train/report"
)

// A folder travels whole, but for what is one process's alone, and the files that
// say how far it is come last.
func TestFolderTravels(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	files := []string{train.LastFile, train.BestFile, train.LogFile, report.ReportFile, "sub/picture.png", "zz"}
	for _, name := range append(slices.Clone(files), lockfile.Name, ".log.jsonl.1.tmp") {
		path := joined(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("of "+name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := pack(&b, from); err != nil {
		t.Fatal(err)
	}
	var names []string
	for in := tar.NewReader(bytes.NewReader(b.Bytes())); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if n := len(names); n != len(files) || !slices.Equal(names[n-2:], marks) {
		t.Errorf("it holds %v, want %v, and the marks at its end", names, files)
	}
	if err := unpack(&b, to); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if got, err := os.ReadFile(joined(to, name)); err != nil || string(got) != "of "+name {
			t.Errorf("%s came as %q, %v", name, got, err)
		}
	}
	b.Reset()
	if err := pack(&b, filepath.Join(from, "nowhere")); err != nil {
		t.Errorf("a run that has not begun: %v", err)
	}
}

// What a worker sends stays in the run's folder.
func TestNothingLeavesTheFolder(t *testing.T) {
	for _, h := range []tar.Header{{Name: "../out", Mode: 0o644}, {Name: "/out", Mode: 0o644}, {Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&h), w.Close()); err != nil {
			t.Fatal(err)
		}
		above := t.TempDir()
		if err := unpack(&b, filepath.Join(above, "run")); err == nil || !strings.Contains(err.Error(), "is no file of it") {
			t.Errorf("%s: %v", h.Name, err)
		}
		if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
			t.Errorf("%s: it wrote %v, %v", h.Name, left, err)
		}
	}
}
