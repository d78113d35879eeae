package data

import (
	"mien/runtime/model"

	"fmt"
	"path/filepath"
	"testing"
)

// A picture that two sets have, in other sizes and compressed again, reaches
// no lower split of the other set: but only where both label the same head.
func TestSeparate(t *testing.T) {
	a, b, utk := t.TempDir(), t.TempDir(), t.TempDir()
	for i := range 40 {
		putFace(t, uint64(i), 48, a, "train", "happy", fmt.Sprintf("a%02d.jpg", i))
		if i < 20 {
			put(t, filepath.Join(b, "test", "sad", fmt.Sprintf("b%02d.jpg", i)), jpegOf(t, drawn(uint64(i), 60), 70))
		}
		putFace(t, uint64(100+i), 48, b, "train", "sad", fmt.Sprintf("c%02d.jpg", i))
		putFace(t, uint64(i), 60, utk, fmt.Sprintf("30_0_1_%02d.jpg", i))
	}
	first, second := load(t, "fer2013:"+a, Options{Validation: 0.3}), load(t, "fer2013:"+b, Options{Validation: 0.3})
	if n := Separate([]*Set{first, load(t, "utkface:"+utk, Options{})}); n != 0 {
		t.Errorf("%d left out of sets that share no head", n)
	}
	// Prepared from another size, one or two differ too much to be told.
	if n := Separate([]*Set{first, second}); n < 18 || n > 20 {
		t.Errorf("%d left out, want the 20 that are in both", n)
	}
	is := splitsOf(first)
	for i := range 20 {
		if name := fmt.Sprintf("a%02d.jpg", 20+i); is[name] == "" {
			t.Errorf("%s is left out", name)
		}
	}
	for name, split := range splitsOf(second) {
		if split == "" {
			t.Errorf("%s is left out", name)
		}
	}
}

// A training image that shows a validation image of another set is out; the
// other way round the validation image stays.
func TestSeparateKeepsTheHigherSplit(t *testing.T) {
	face := make([]uint8, Pixels)
	img := drawn(3, 50)
	copy(face, img.Pix)
	set := func(split string) *Set {
		l := Labels{NoLabel, NoLabel, NoLabel, 2}
		return &Set{Heads: model.Heads(), Samples: []Sample{{Face: face, Split: split, Labels: l}}}
	}
	for _, c := range []struct{ a, b, wantA, wantB string }{
		{Train, Val, "", Val}, {Val, Test, "", Test}, {Test, Private, Test, Private}, {Train, Train, Train, Train}, {Val, Val, Val, Val}, {Private, Train, Private, ""},
	} {
		a, b := set(c.a), set(c.b)
		Separate([]*Set{a, b})
		if a.Samples[0].Split != c.wantA || b.Samples[0].Split != c.wantB {
			t.Errorf("%s and %s become %q and %q", c.a, c.b, a.Samples[0].Split, b.Samples[0].Split)
		}
	}
}
