package track_test

import (
	"fmt"
	"image"
	"time"

	"mien/runtime/model"
	"mien/runtime/track"
)

// Each frame is associated with the faces so far, each face scored, and the
// frame committed. An answer is given once it has held for a while.
func Example() {
	spec := &model.Spec{Heads: []model.Head{model.Gender}}
	t, err := track.New(spec, track.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	start := time.Unix(1_700_000_000, 0)
	answers := spec.NewScores()
	copy(answers.Heads[0], []float32{0.02, 0.97, 0.01})
	for i := range 20 { // at 10 frames a second
		t.Associate(start.Add(time.Duration(i)*100*time.Millisecond), []track.Found{{Box: image.Rect(100+i, 100, 220+i, 220)}})
		t.Score(0, track.Quality{Size: 120, Sharpness: 500, Brightness: 128, Contrast: 50}, answers)
		for _, e := range t.Commit() {
			fmt.Printf("%.1f s: %s of face %d\n", float64(i)/10, e.Kind, e.Track.ID)
		}
	}
	for _, f := range t.Tracks(nil) {
		fmt.Println("face", f.ID, "is", model.Gender.Labels[f.Heads[0].Label])
	}
	// Output:
	// 0.2 s: begin of face 1
	// 0.3 s: update of face 1
	// face 1 is female
}
