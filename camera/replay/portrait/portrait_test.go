package portrait

import "testing"

func TestGray(t *testing.T) {
	img := Gray()
	if img.Rect.Dx() != Side || img.Rect.Dy() != Side || img.Rect.Min.X != 0 {
		t.Fatalf("the picture is %v", img.Rect)
	}
	// Pupils are darker than the cheek below them.
	for _, eye := range []struct{ x, y int }{{LeftEye.X, LeftEye.Y}, {RightEye.X, RightEye.Y}} {
		if pupil, cheek := img.GrayAt(eye.x, eye.y).Y, img.GrayAt(eye.x, eye.y+25).Y; pupil+40 > cheek {
			t.Errorf("at %v: pupil %d, cheek %d", eye, pupil, cheek)
		}
	}
	if !Face.In(img.Rect) {
		t.Errorf("face %v is not in the picture", Face)
	}
	img.Pix[0]++
	if Gray().Pix[0] == img.Pix[0] {
		t.Error("two callers share one picture")
	}
}
