package plainfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	plain, pipe := filepath.Join(dir, "plain"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(plain, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(plain, 4); err != nil || string(b) != "four" {
		t.Errorf("%q, %v", b, err)
	}
	for path, want := range map[string]string{plain: "too many", pipe: "no plain file", "/dev/zero": "no plain file", dir: "no plain file", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Read(path, 3); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
