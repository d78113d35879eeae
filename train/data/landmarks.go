package data

import (
	"fmt"
	"image"
	"path/filepath"
	"strconv"
	"strings"

	"mien/runtime/face"
	"mien/runtime/model"
)

// Faces with marked eyes, such as those of Sun, Wang and Tang 2013 ("Deep
// convolutional network cascade for facial point detection") in pictures of
// landmarksSide: landmarks.csv has file, left_eye_x and left_eye_y, right_eye_x
// and right_eye_y, in pixels from the centre of the first.
//
// Each is framed as the eye net looks at a face, by the marks themselves, and
// as far off as a finder may be: which way, the file's name decides.
const landmarksSide = 80

// eyeColumns are those of the marks, in the order of face.EyeHeads.
var eyeColumns = []string{"left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y"}

func listLandmarks(dir string, _ []model.Head) (*listing, error) {
	const name = "landmarks.csv"
	rel, err := within(dir, name)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, rel, name)
	t, err := openTable(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	file, at := t.column("file", "path", "image"), make([]int, len(eyeColumns))
	for i, name := range eyeColumns {
		if at[i] = t.column(name); at[i] < 0 || file < 0 {
			return nil, fmt.Errorf("%s: header %q: want file, %s", path, strings.Join(t.head, ","), strings.Join(eyeColumns, ", "))
		}
	}
	l := &listing{}
	err = t.rows(l, func(row []string, line int) error {
		var v [4]float64
		for i, c := range at {
			f, err := strconv.ParseFloat(strings.TrimSpace(row[c]), 64)
			if err != nil || !(f >= 0 && f < landmarksSide) {
				return fmt.Errorf("%s %q is no pixel of a picture of %dx%[3]d", eyeColumns[i], row[c], landmarksSide)
			}
			v[i] = f
		}
		it := item{}
		var err error
		if it.path, err = local(row[file]); err != nil {
			return err
		}
		whole := image.Rect(0, 0, landmarksSide, landmarksSide)
		square := seen(it.path, face.Point{X: v[0], Y: v[1]}, face.Point{X: v[2], Y: v[3]}, whole)
		it.path = filepath.Join(rel, it.path)
		it.box = box{square.Min.X, square.Min.Y, square.Dx(), square.Dy()}
		for i, h := range face.EyeHeads() {
			corner := square.Min.X
			if i%2 == 1 {
				corner = square.Min.Y
			}
			it.says = append(it.says, number(h.Name, (v[i]+0.5-float64(corner))/float64(square.Dx())*model.Side-0.5))
		}
		l.items = append(l.items, it)
		return nil
	})
	return l, err
}

// How far off a finder's window is at most, as a share of its side.
const (
	offPlace = 0.08
	offSize  = 0.12
)

// seen returns the square of a picture that holds the face with those eyes.
func seen(path string, left, right face.Point, whole image.Rectangle) image.Rectangle {
	draw := func(i uint64) float64 { return 2*unit(mix(hashString(path)^mix(i))) - 1 }
	mx, my := (left.X+right.X)/2, (left.Y+right.Y)/2
	grow := 1 + offSize*draw(1)
	dx, dy := (right.X-left.X)/2*grow, (right.Y-left.Y)/2*grow
	off := offPlace * face.WindowOf(left, right)
	mx, my = mx+off*draw(2), my+off*draw(3)
	return face.EyeSquare(face.Point{X: mx - dx, Y: my - dy}, face.Point{X: mx + dx, Y: my + dy}, whole)
}
