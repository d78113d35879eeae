package device_test

import (
	"image"
	"testing"
	"time"

	"mien/camera"
	"mien/camera/replay/portrait"
	"mien/device"
	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/track"
)

// A new pipeline goes on seeing who is there with its first frames, also of a
// camera that gives three a second: no track ends.
func TestAdoptedFacesAreSeenAtOnce(t *testing.T) {
	head := model.Heads()[0]
	pipeline := func(o face.Options) *device.Pipeline {
		o.Live = true
		finder, err := face.NewDetector(o)
		if err != nil {
			t.Fatal(err)
		}
		m := &inTurn{faces: &crowd{boxes: make([]image.Rectangle, 1)}, spec: model.Spec{Heads: []model.Head{head}}}
		p, err := device.NewPipeline(finder, m, &lastSeen{}, nil, device.PipelineOptions{Heads: []string{head.Name}, Track: track.Options{MinScore: face.SureScore}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	// Somebody far away, at the edge of the picture: to search it takes seconds.
	large := portrait.Gray()
	scene := image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range scene.Pix {
		scene.Pix[i] = 90
	}
	for y := range large.Rect.Dy() / 2 {
		for x := range large.Rect.Dx() / 2 {
			scene.SetGray(620-large.Rect.Dx()/2+x, 470-large.Rect.Dy()/2+y, large.GrayAt(2*x, 2*y))
		}
	}
	var p *device.Pipeline
	n, now := 0, time.Unix(0, 0)
	look := func() *device.Reading {
		now = now.Add(350 * time.Millisecond)
		n++
		r, err := p.Process(&camera.Frame{Gray: *scene, Seq: uint64(n), Time: now})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	p = pipeline(face.Options{})
	for len(look().Faces) == 0 {
		if n > 200 {
			t.Fatal("the portrait is nobody")
		}
	}
	for range 10 {
		look()
	}
	for _, o := range []face.Options{{}, {MinSize: 50}, {MaxFaces: 3}} {
		next := pipeline(o)
		next.Adopt(p)
		p = next
		for i := range 8 {
			if r := look(); len(r.Faces) != 1 || r.Faces[0].ID != 1 {
				t.Fatalf("%+v: frame %d after the change: %+v", o, i, r.Faces)
			}
		}
	}
}
