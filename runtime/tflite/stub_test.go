//go:build !(linux && (amd64 || arm64) && cgo && tflite)

package tflite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWithoutTheLibrary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.tflite")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path, Options{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("OpenFile: %v", err)
	}
	if _, err := Open(nil, Options{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Open: %v", err)
	}
}
