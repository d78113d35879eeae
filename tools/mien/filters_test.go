package main

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// TestFilters: a row of the face and what four filters make of it.
func TestFilters(t *testing.T) {
	sheet := filepath.Join(t.TempDir(), "filters.png")
	if _, err := callMien(t, "data", "filters", "--sheet", sheet); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(sheet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	if err != nil || c.Width < 5*100 || c.Height >= 200 {
		t.Errorf("a sheet of %dx%d, %v", c.Width, c.Height, err)
	}
}
