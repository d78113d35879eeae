package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/train"
)

// What is printed of a recipe is one, and each is told of in a line.
func TestRecipe(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(mustMien(t, "recipe")), "\n")
	names := train.RecipeNames()
	if len(lines) != len(names) {
		t.Fatalf("%d lines about %d recipes", len(lines), len(names))
	}
	for i, name := range names {
		want, err := train.LoadRecipe(name, nil)
		if err != nil || !strings.HasPrefix(lines[i], name+" ") || !strings.HasSuffix(lines[i], want.About) {
			t.Errorf("%q of %s, %v", lines[i], name, err)
		}
		own := filepath.Join(t.TempDir(), "own.yaml")
		if err := os.WriteFile(own, []byte(mustMien(t, "recipe", name)), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := train.LoadRecipe(own, nil); err != nil || got.Arch != want.Arch || got.LR != want.LR {
			t.Errorf("%s printed and read again: %v", name, err)
		}
	}
	refused(t, []string{`no recipe "none"`, "paper-single"}, "recipe", "none")
}
