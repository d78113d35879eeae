package data

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/face"
	"mien/runtime/model"
)

// Marks are told in pixels of the prepared face: two bright spots stand where
// the heads say.
func TestLandmarks(t *testing.T) {
	dir := t.TempDir()
	var table strings.Builder
	table.WriteString("file,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x\n")
	for i := range 40 {
		img := drawn(uint64(i), landmarksSide)
		for k := range img.Pix {
			img.Pix[k] /= 4
		}
		spot := func(x, y int) {
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					img.Pix[(y+dy)*img.Stride+x+dx] = 255
				}
			}
		}
		spot(30, 36)
		spot(46, 34)
		name := string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".png"
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), b.Bytes())
		table.WriteString(name + ",30,36,46,34,40\n")
	}
	table.WriteString("x.png,30,36,90,34,40\ny.png,30,eye,46,34,40\n")
	put(t, filepath.Join(dir, "landmarks.csv"), []byte(table.String()))
	s := load(t, "landmarks:"+dir, Options{Heads: face.EyeHeads()})
	if len(s.Samples) != 40 || len(s.Bad) != 2 || !strings.Contains(s.Bad[0].Err.Error(), `right_eye_x "90"`) {
		t.Fatalf("%d samples, bad %v", len(s.Samples), s.Bad)
	}
	places := map[float64]bool{}
	for _, x := range s.Samples {
		var v [4]float64
		for i, h := range s.Heads {
			v[i] = x.Number(i, h.Values())
		}
		places[v[0]] = true
		img := &image.Gray{Pix: x.Face, Stride: model.Side, Rect: image.Rect(0, 0, model.Side, model.Side)}
		for i := 0; i < 4; i += 2 {
			if g := img.GrayAt(int(v[i]+0.5), int(v[i+1]+0.5)).Y; g < 180 {
				t.Errorf("%s: grey %d at %.1f,%.1f, where an eye is said to be", x.Path, g, v[i], v[i+1])
			}
		}
		if apart := v[2] - v[0]; math.Abs(apart-18.5) > 3 {
			t.Errorf("%s: the eyes are %.1f pixels apart", x.Path, apart)
		}
		if x.Marks&NoFace != 0 {
			t.Errorf("%s: a face was looked for", x.Path)
		}
	}
	if len(places) < 10 {
		t.Errorf("all are framed alike: %v", places)
	}
	put(t, filepath.Join(dir, "landmarks.csv"), []byte("file,left_eye_x\n"))
	wantError(t, "landmarks:"+dir, "left_eye_y", "landmarks.csv")
}
