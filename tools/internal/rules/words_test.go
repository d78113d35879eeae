package rules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What no tracked file may hold, in pieces so that this file does not hold it
// either. A path of one developer's machine works nowhere else, and a host
// name fixes a registry that the user's own configuration should choose.
var forbidden = []string{
	"/wor" + "k/",
	"../sha" + "red",
	"/ro" + "ot/",
	"/ho" + "me/runner",
	"registry.npm" + "js.org",
	"registry.yarn" + "pkg.com",
	"proxy.gol" + "ang.org",
	"files.python" + "hosted.org",
}

func TestNoFileNamesThisMachine(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v (the tests run in a clone; install git with: apt-get install git)", err)
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(names) < 20 {
		t.Fatalf("git lists %d files only", len(names))
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, not committed yet
		}
		if err != nil {
			t.Error(err)
			continue
		}
		for _, f := range found(data) {
			t.Errorf("%s holds %q", name, f)
		}
	}
}

// found returns the forbidden words in the text data; binaries hold any bytes
// by chance and are let through.
func found(data []byte) []string {
	if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
		return nil
	}
	var all []string
	for _, f := range forbidden {
		if bytes.Contains(data, []byte(f)) {
			all = append(all, f)
		}
	}
	return all
}

func TestForbiddenWordsAreFound(t *testing.T) {
	for _, f := range forbidden {
		if got := found([]byte("see " + f + "x")); len(got) == 0 {
			t.Errorf("%q is not found", f)
		}
	}
}
