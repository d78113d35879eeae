package data

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"mien/runtime/model"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for i := range 6 {
		putFace(t, uint64(i), 48, dir, "train", "happy", fmt.Sprintf("%d.jpg", i))
	}
	putFace(t, 0, 48, dir, "train", "sad", "same as 0.jpg")
	putFace(t, 1, 48, dir, "test", "happy", "same as 1.jpg")
	put(t, filepath.Join(dir, "test", "happy", "cut.jpg"), jpegOf(t, drawn(9, 48), 90)[:300])
	r, err := Check(context.Background(), "fer2013:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Listed != 9 || len(r.Set.Samples) != 8 {
		t.Errorf("listed %d, read %d", r.Listed, len(r.Set.Samples))
	}
	if bad := r.Set.Bad; len(bad) != 1 || filepath.Base(bad[0].Path) != "cut.jpg" || bad[0].Err == nil {
		t.Errorf("bad: %v", bad)
	}
	if len(r.Duplicates) != 2 || r.Conflicts != 1 || r.Crossing != 1 {
		t.Errorf("%s", r)
	}
	if n := r.Set.Counts(0, All); n[3] != 7 || n[4] != 1 {
		t.Errorf("counts %v", n)
	}
	if n := r.Set.Counts(0, Test); n[3] != 1 || n[4] != 0 {
		t.Errorf("counts in test %v", n)
	}
}

// A face stands on the sheet as it is prepared, beside its label.
func TestSheet(t *testing.T) {
	dir := t.TempDir()
	putFace(t, 1, 60, dir, "30_0_1_a.jpg")
	putFace(t, 2, 60, dir, "50_0_3_b.jpg")
	s := load(t, "utkface:"+dir, Options{})
	img := s.Sheet()
	// gender male, race African-American, age 20-39, age 40-69
	if want := 4*(model.Side+sheetGap) + sheetGap; img.Rect.Dy() != want {
		t.Fatalf("sheet is %d high, want %d", img.Rect.Dy(), want)
	}
	top := sheetGap + (model.Side + sheetGap) // the row of the one African-American face
	for y := range model.Side {
		for x := range model.Side {
			if got, want := img.GrayAt(sheetText+x, top+y).Y, s.Samples[0].Face[y*model.Side+x]; got != want {
				t.Fatalf("pixel %d,%d is %d, want %d", x, y, got, want)
			}
		}
	}
	ink := 0
	for y := range model.Side {
		for x := range sheetText {
			if img.GrayAt(x, top+y).Y == 0 {
				ink++
			}
		}
	}
	if ink < 50 {
		t.Errorf("the label has %d dark pixels", ink)
	}
}
