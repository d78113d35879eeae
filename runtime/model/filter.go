package model

import (
	"fmt"
	"slices"
	"strings"
)

// Filter says what is made of a face before the network sees it:
// runtime/face/filter has what each computes. NoFilter leaves the face as it is.
// A network's input is called after its filter, so that the file cannot be
// separated from it, and an engine that knows none refuses the file.
type Filter string

// The filters.
const (
	NoFilter Filter = ""
	Gabor    Filter = "gabor"
	HOG      Filter = "hog"
	LBP      Filter = "lbp"
	SIFT     Filter = "sift"
)

// Filters returns all filters but NoFilter.
func Filters() []Filter { return []Filter{Gabor, HOG, LBP, SIFT} }

// Check refuses a filter that there is not.
func (f Filter) Check() error {
	if f == NoFilter || slices.Contains(Filters(), f) {
		return nil
	}
	return fmt.Errorf("there is no filter %q (there are %v)", string(f), Filters())
}

// Input is what the input of a network with that filter is called.
func (f Filter) Input() string {
	if f == NoFilter {
		return InputName
	}
	return InputName + "/" + string(f)
}

// FilterOf returns the filter of the network whose input is called so.
func FilterOf(input string) (Filter, error) {
	if input == InputName {
		return NoFilter, nil
	}
	name, ok := strings.CutPrefix(input, InputName+"/")
	if !ok || name == "" {
		return NoFilter, fmt.Errorf("the input is called %q, want %q", input, InputName)
	}
	return Filter(name), Filter(name).Check()
}
