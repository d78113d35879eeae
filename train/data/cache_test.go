package data

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What was used longest ago goes first, what was just written stays, and what
// is no cache is left alone.
func TestCacheHasABound(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"faces-a.bin", "faces-b.bin", "faces-c.bin", "faces-new.bin", "notes.txt"} {
		path := filepath.Join(dir, name)
		put(t, path, make([]byte, 100))
		when := time.Unix(int64(1000-100*i), 0) // the later, the older
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		all, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			names = append(names, e.Name())
		}
		return names
	}
	for _, c := range []struct {
		bound int64
		want  []string
	}{
		{400, []string{"faces-a.bin", "faces-b.bin", "faces-c.bin", "faces-new.bin", "notes.txt"}},
		{250, []string{"faces-a.bin", "faces-new.bin", "notes.txt"}},
		{1, []string{"faces-new.bin", "notes.txt"}},
	} {
		if err := trimCache(filepath.Join(dir, "faces-new.bin"), c.bound); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, left()); d != "" {
			t.Errorf("at most %d bytes: %s", c.bound, d)
		}
	}
}

// A cache that is read counts as used.
func TestCacheRemembersItsUse(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	putFace(t, 1, 48, dir, "happy", "1.jpg")
	load(t, "fer2013:"+dir, Options{CacheDir: cache})
	files, err := filepath.Glob(filepath.Join(cache, "faces-*.bin"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	long := time.Unix(1000, 0)
	if err := os.Chtimes(files[0], long, long); err != nil {
		t.Fatal(err)
	}
	load(t, "fer2013:"+dir, Options{CacheDir: cache})
	if info, err := os.Stat(files[0]); err != nil || !info.ModTime().After(long) {
		t.Errorf("%v, %v", info, err)
	}
}
