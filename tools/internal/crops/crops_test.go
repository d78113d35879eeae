package crops

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/runtime/face"
	"mien/runtime/model"
)

// A face of the model's size is taken as it is, a larger one framed, a tiny one
// and an empty folder refused.
func TestRead(t *testing.T) {
	cropper, err := face.NewCropper()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := Files(dir); err == nil || !strings.Contains(err.Error(), "no .png or .jpg") {
		t.Errorf("%v", err)
	}
	write := func(name string, side int) (string, *image.Gray) {
		img := image.NewGray(image.Rect(0, 0, side, side))
		for i := range img.Pix {
			img.Pix[i] = uint8(i * 7)
		}
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		return path, img
	}
	same, img := write("same.png", model.Side)
	if got, err := Read(same, cropper); err != nil || !slices.Equal(got, img.Pix) {
		t.Errorf("a face of the model's size was changed (%v)", err)
	}
	large, _ := write("sub.PNG", 80)
	if got, err := Read(large, cropper); err != nil || len(got) != model.Side*model.Side {
		t.Errorf("%d pixels, %v", len(got), err)
	}
	tiny, _ := write("tiny.png", 4)
	if _, err := Read(tiny, cropper); err == nil || !strings.Contains(err.Error(), "4x4 is not a face") {
		t.Errorf("%v", err)
	}
	if got, err := Files(dir); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}
