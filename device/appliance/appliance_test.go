package appliance

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// There is room for one image that comes: another one meanwhile is refused, and the
// one that lies there is not touched.
func TestOneImageAtATime(t *testing.T) {
	b := &System{Socket: filepath.Join(t.TempDir(), "none"), Incoming: t.TempDir()}
	r, w := io.Pipe()
	first := make(chan error)
	go func() { first <- b.Update(t.Context(), r, []byte("signature")) }()
	if _, err := io.WriteString(w, "half an"); err != nil { // it is read from here on
		t.Fatal(err)
	}
	if err := b.Update(t.Context(), strings.NewReader("another"), []byte("signature")); !errors.Is(err, ErrBusy) {
		t.Errorf("a second image: %v", err)
	}
	if _, err := io.WriteString(w, " image"); err != nil {
		t.Errorf("the first image is not read on: %v", err)
	}
	w.Close()
	if err := <-first; err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("the first image, without a system below: %v", err)
	}
	if left, err := os.ReadDir(b.Incoming); err != nil || len(left) != 0 {
		t.Errorf("left in %s: %v, %v", filepath.Join(b.Incoming, Waiting), left, err)
	}
	if err := b.Update(t.Context(), strings.NewReader("another"), nil); errors.Is(err, ErrBusy) {
		t.Error("nothing is taken any more")
	}
}
