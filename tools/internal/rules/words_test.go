package rules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	tracked(t, func(name string, data []byte) {
		for _, f := range found(data) {
			t.Errorf("%s holds %q", name, f)
		}
	})
}

// tracked calls f with each file of the repository.
func tracked(t *testing.T, f func(name string, data []byte)) {
	t.Helper()
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
		f(name, data)
	}
}

// spellings are words that have another here: one word for one thing. Names of
// commands and of TensorFlow Lite's own functions keep theirs, and so do titles.
var spellings = []struct {
	wrong *regexp.Regexp
	right string
}{
	{regexp.MustCompile(`\bquantiz(ed|es|er|ers|ing|ation|able)\b`), "quantise and its kin; the command is quantize"},
	{regexp.MustCompile(`(?i)\bmini-?batch`), "batch"},
	{regexp.MustCompile(`(?i)\belement-wise|\bper-element`), "elementwise"},
	{regexp.MustCompile(`(?i)\bepilogs?\b`), "epilogue"},
	{regexp.MustCompile(`(?i)\bim2row|\bim-2-col`), "im2col"},
}

var titles = strings.NewReplacer("post-training quantization", "", "Data-free quantization", "")

func TestOneSpelling(t *testing.T) {
	read := 0
	tracked(t, func(name string, data []byte) {
		ext := filepath.Ext(name)
		if ext != ".go" && ext != ".md" || strings.HasSuffix(name, "words_test.go") || strings.HasSuffix(name, "_generated.go") {
			return
		}
		read++
		for i, line := range strings.Split(titles.Replace(string(data)), "\n") {
			for _, s := range spellings {
				if w := s.wrong.FindString(line); w != "" {
					t.Errorf("%s:%d: %q: write %s", name, i+1, w, s.right)
				}
			}
		}
	})
	if read < 300 {
		t.Errorf("%d files read", read)
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
