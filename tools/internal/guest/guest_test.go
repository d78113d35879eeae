package guest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pretend puts a qemu-aarch64 into the path that says what the script says.
func pretend(t *testing.T, script string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qemu-aarch64"), []byte("#!/bin/sh\nfor last; do :; done\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func count() (float64, error) {
	return Guest{Program: "p"}.Count(context.Background(), CPUs[0], 3, 7, func(rounds int) []string { return []string{strings.Repeat("x", rounds)} })
}

func TestCount(t *testing.T) {
	pretend(t, `echo "guest instructions: $((1000 + 50 * ${#last}))" >&2`)
	if n, err := count(); err != nil || n != 50 {
		t.Errorf("%v, %v; want 50 a round", n, err)
	}
}

func TestCountSaysWhy(t *testing.T) {
	for script, want := range map[string]string{"echo no such CPU >&2; exit 1": "no such CPU", "true": "printed no count"} {
		pretend(t, script)
		if _, err := count(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
