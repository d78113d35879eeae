package zoo

import (
	"slices"
	"strings"
	"testing"
)

func TestNamesLoad(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) {
		t.Errorf("names %v are not sorted", names)
	}
	for _, n := range names {
		if b, err := Load(n); err != nil || len(b) < 8 || string(b[4:8]) != "TFL3" {
			t.Errorf("%s is no .tflite file (%v)", n, err)
		}
	}
	if !slices.Contains(names, DefaultName) || len(Default()) == 0 {
		t.Errorf("the default model %q is not among %v", DefaultName, names)
	}
	if _, err := Load("../zoo"); err == nil || !strings.Contains(err.Error(), `"../zoo"`) {
		t.Errorf("a name that is none: %v", err)
	}
}
