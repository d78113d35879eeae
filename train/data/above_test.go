package data

import (
	"path/filepath"
	"testing"

	"mien/runtime/face"
)

// An archive unpacks into a folder of its own, so that a published set is read
// from the folder above its own, too.
func TestFolderAbove(t *testing.T) {
	drawnRow := csvHead + row(1, "3", "Training")
	files := map[string]map[string]string{ // "": a picture
		"fairface":  {"fairface_label_val.csv": "file,age,gender,race\nval/1.jpg,3-9,Female,Black\n", "val/1.jpg": ""},
		"fer2013":   {"fer2013.csv": drawnRow},
		"ferplus":   {"fer2013.csv": drawnRow, "fer2013new.csv": "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\nTraining,1.png,0,10,0,0,0,0,0,0,0,0\n"},
		"landmarks": {"landmarks.csv": "file,left_eye_x,left_eye_y,right_eye_x,right_eye_y\n1.jpg,30,36,46,34\n", "1.jpg": ""},
		"rafdb":     {"basic/EmoLabel/list_patition_label.txt": "train_1.jpg 5\n", "basic/Image/aligned/train_1_aligned.jpg": ""},
		"utkface":   {"20_1_1_1.jpg": ""},
	}
	for _, k := range kinds {
		if k.Strict {
			continue // the user's own layout
		}
		if files[k.Name] == nil {
			t.Errorf("%s is not tried", k.Name)
		}
		dir := t.TempDir()
		for name, text := range files[k.Name] {
			path := filepath.Join(dir, "unpacked", name)
			if text == "" {
				putFace(t, 1, 80, path)
			} else {
				put(t, path, []byte(text))
			}
		}
		o := Options{}
		if k.Name == "landmarks" {
			o.Heads = face.EyeHeads()
		}
		for _, at := range []string{filepath.Join(dir, "unpacked"), dir} {
			if s := load(t, k.Name+":"+at, o); len(s.Samples) != 1 || len(s.Bad) > 0 {
				t.Errorf("%s:%s: %d samples, bad %v", k.Name, at, len(s.Samples), s.Bad)
			}
		}
	}
}
