package device

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func crowd(faces int) *Reading {
	r := &Reading{Time: time.Unix(1, 0), Seq: uint64(faces), Width: 640, Height: 480, Faces: []FaceReading{}}
	for i := range faces {
		f := FaceReading{ID: uint64(i + 1), Problem: "fine", Heads: []HeadReading{
			{Name: "emotion", Label: "happy", Probs: Probs{{"happy", .9}, {"sad", .1}}},
			{Name: "age", Probs: Probs{{"0-3", .5}, {"70+", .5}}}}}
		if i%2 == 0 {
			f.Eyes = &Eyes{{1, 2}, {3, 4}}
		}
		r.Faces = append(r.Faces, f)
	}
	return r
}

// A copy is equal and independent, whatever its memory held before, and soon
// costs nothing.
func TestCopyInto(t *testing.T) {
	var dst Reading
	for _, n := range []int{3, 1, 0, 4, 2} {
		src := crowd(n)
		src.CopyInto(&dst)
		if d := cmp.Diff(src, &dst); d != "" {
			t.Fatalf("%d faces: %s", n, d)
		}
		for i := range src.Faces {
			src.Faces[i].Heads[0].Probs[0].P = -1
			if dst.Faces[i].Heads[0].Probs[0].P == -1 {
				t.Fatal("the copy shares memory with the reading")
			}
			if src.Faces[i].Eyes != nil && src.Faces[i].Eyes == dst.Faces[i].Eyes {
				t.Fatal("the copy shares the eyes with the reading")
			}
		}
	}
	src := crowd(4)
	if n := testing.AllocsPerRun(100, func() { src.CopyInto(&dst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
