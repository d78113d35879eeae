package data

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every kind of data set is read somewhere in these tests, from files that they
// made.
func TestEveryKindIsTried(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, kind := range Kinds() {
		if !strings.Contains(all.String(), `"`+kind+`:"`) {
			t.Errorf("no test reads a folder as %s:DIR", kind)
		}
	}
}
