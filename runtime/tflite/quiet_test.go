//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

// firstSaid is what came out on the standard error while the process's first
// engine opened: the library tells of that one alone.
var firstSaid string

func TestMain(m *testing.M) {
	var err error
	if firstSaid, err = openFirst(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// openFirst opens an engine with the standard error led into a file.
func openFirst() (said string, err error) {
	data, err := flatfile.Marshal(infertest.Network(1, model.Emotion))
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mien")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	was, err := unix.Dup(2)
	if err != nil {
		return "", err
	}
	defer unix.Close(was)
	if err := unix.Dup3(int(f.Fd()), 2, 0); err != nil {
		return "", err
	}
	e, err := Open(data, Options{})
	if err == nil {
		err = e.Close()
	}
	fmt.Fprint(os.Stderr, "Go still writes")
	if err := errors.Join(err, unix.Dup3(was, 2, 0)); err != nil {
		return "", err
	}
	b, err := os.ReadFile(f.Name())
	return string(b), err
}

func TestLibraryIsQuiet(t *testing.T) {
	if firstSaid != "Go still writes" {
		t.Errorf("on the standard error while the first engine opened: %q", firstSaid)
	}
}
