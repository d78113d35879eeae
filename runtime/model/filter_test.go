package model

import "testing"

func TestFilter(t *testing.T) {
	for _, f := range append(Filters(), NoFilter) {
		if got, err := FilterOf(f.Input()); err != nil || got != f {
			t.Errorf("%q is the filter of input %q: %q, %v", f, f.Input(), got, err)
		}
	}
	for _, input := range []string{"", "picture", "face/", "face/sobel", "facegabor"} {
		if _, err := FilterOf(input); err == nil {
			t.Errorf("input %q was taken", input)
		}
	}
	if _, err := ParseCard([]byte(`{"filter":"sobel"}`)); err == nil {
		t.Error("a card with a filter that there is not was taken")
	}
}
