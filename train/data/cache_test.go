package data

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/face"
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

// Faces that are levelled otherwise are others, and kept apart.
func TestCacheByLevelling(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	putFace(t, 1, 48, dir, "happy", "1.jpg")
	var contents [][]byte
	for _, l := range append(face.Levellings(), face.AsBoards) {
		load(t, "fer2013:"+dir, Options{CacheDir: cache, Levelling: l})
	}
	files, err := filepath.Glob(filepath.Join(cache, "faces-*.bin"))
	if err != nil || len(files) != 1+len(face.Levellings()) {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		key := b[len(cacheMagic):][:len(contentKey{})]
		for _, other := range contents {
			if bytes.Equal(other, key) {
				t.Error("two levellings have one key")
			}
		}
		contents = append(contents, key)
	}
	if _, err := Load(context.Background(), "fer2013:"+dir, Options{Levelling: "roll"}); err == nil {
		t.Error("a levelling that there is not was taken")
	}
}
