package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGenerated finds assembly that was edited by hand or not regenerated.
func TestGenerated(t *testing.T) {
	for name, want := range files() {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what gen writes: run go generate ./train/nn/internal/kernel", name)
		}
	}
}
