package main

import (
	"strings"
	"testing"

	"mien/quant"
)

// Every calibrator can be asked for, and nothing else.
func TestEveryCalibratorIsAFlag(t *testing.T) {
	m, err := program().Model()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range quant.Calibrators() {
		names = append(names, string(c))
	}
	want, found := strings.Join(names, ","), 0
	for _, n := range m.Leaves(true) {
		for _, f := range n.Flags {
			if f.Name == "calibrator" {
				found++
				// best tries them all, where a file is made of the nearest.
				if got := strings.TrimPrefix(strings.Trim(f.Enum, ","), string(quant.Best)+","); got != want {
					t.Errorf("mien %s --calibrator takes %q, want %q", n.Name, got, want)
				}
			}
		}
	}
	if found < 2 {
		t.Errorf("%d commands have --calibrator", found)
	}
}
