package device_test

import (
	"image"
	"testing"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/track"
)

// crowd sees faces where it is told.
type crowd struct{ boxes []image.Rectangle }

func (c *crowd) Detect(_ *image.Gray, f []face.Face) []face.Face {
	for _, b := range c.boxes {
		f = append(f, face.Face{Box: b})
	}
	return f
}

// inTurn answers with the first label for the first face of a frame, with the
// second for the second, and so on.
type inTurn struct {
	faces *crowd
	n     int
	spec  model.Spec
}

func (m *inTurn) Predict(_ *image.Gray, s *model.Scores) error {
	clear(s.Heads[0])
	s.Heads[0][m.n%len(m.faces.boxes)] = 1
	m.n++
	return nil
}
func (m *inTurn) Spec() *model.Spec { return &m.spec }
func (*inTurn) Engine() string      { return "in turn" }
func (*inTurn) Close() error        { return nil }

type lastSeen struct{ signal.Seen }

func (l *lastSeen) Update(_ time.Time, s signal.Seen) {
	l.Seen = signal.Seen{Face: s.Face, Labels: append([]int(nil), s.Labels...)}
}

// The lines and the reading's subject are the same face in every frame: the
// largest at first, and that one for as long as it stays, whoever comes.
func TestSubject(t *testing.T) {
	head := model.Heads()[0]
	small, large, huge := image.Rect(10, 10, 110, 110), image.Rect(300, 100, 560, 360), image.Rect(120, 120, 420, 420)
	c, l := &crowd{boxes: []image.Rectangle{small, large}}, &lastSeen{}
	m := &inTurn{faces: c, spec: model.Spec{Heads: []model.Head{head}}}
	g := track.Gates{MinSize: -1, MinSharpness: -1, MinBrightness: -1, MaxBrightness: -1, MinContrast: -1, MaxTilt: -1, MaxTurn: -1}
	p, err := device.NewPipeline(c, m, l, nil, device.PipelineOptions{Heads: []string{head.Name}, Track: track.Options{Gates: g}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(-time.Hour)
	look := func(n int, boxes ...image.Rectangle) (r *device.Reading) {
		c.boxes = boxes
		for range n {
			var f camera.Frame
			f.Resize(640, 480)
			now = now.Add(40 * time.Millisecond)
			m.n = 0
			f.Time = now
			if r, err = p.Process(&f); err != nil {
				t.Fatal(err)
			}
			who := r.SubjectFace()
			if (who != nil) != l.Face || l.Face != (len(r.Faces) > 0) {
				t.Fatalf("subject %+v of %d faces, lines %+v", who, len(r.Faces), l.Seen)
			}
			if who == nil {
				continue
			}
			if want := l.Labels[0]; who.Heads[0].Uncertain != (want < 0) || want >= 0 && who.Heads[0].Label != head.Labels[want] {
				t.Fatalf("the reading's subject is %q, the lines say %d", who.Heads[0].Label, want)
			}
		}
		return r
	}
	if r := look(60, small, large); r.SubjectFace().Box != device.BoxOf(large) || r.SubjectFace().Heads[0].Label != head.Labels[1] {
		t.Errorf("of two the larger drives: %+v", r.SubjectFace())
	}
	who := look(30, small, large, huge)
	if len(who.Faces) != 3 || who.SubjectFace().Box != device.BoxOf(large) {
		t.Errorf("somebody larger comes: %+v", who.SubjectFace())
	}
	if r := look(60, small, huge); r.SubjectFace().Box != device.BoxOf(huge) {
		t.Errorf("the subject left: %+v", r.SubjectFace())
	}
	if r := look(60); r.Subject != 0 || r.SubjectFace() != nil {
		t.Errorf("nobody is there: %+v", r)
	}
}
