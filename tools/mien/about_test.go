package main

import (
	"testing"

	"mien/runtime/model"
)

// A card tells of the heads that are in the file, not of those left out.
func TestAbout(t *testing.T) {
	for want, heads := range map[string][]model.Head{
		"Emotion, gender, race and age of a face, after Saroop et al. 2021 (arXiv 2110.15028).": model.Heads(),
		"Emotion and age of a face, after Saroop et al. 2021 (arXiv 2110.15028).":               {model.Emotion, model.Age},
		"Mask of a face, after Saroop et al. 2021 (arXiv 2110.15028).":                          {{Name: "mask"}},
	} {
		if got := about(heads); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
