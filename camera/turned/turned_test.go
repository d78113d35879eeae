package turned

import (
	"fmt"
	"image"
	"testing"

	"mien/camera"
	"mien/camera/cameratest"
	"mien/runtime/upright"
)

// drops is a camera that drops pictures.
type drops struct{ *cameratest.Fake }

func (drops) Dropped() (d camera.Dropped) {
	d.Counts[camera.Cut] = 7
	return d
}

func TestTurned(t *testing.T) {
	for _, turn := range []upright.Turn{{Degrees: 90}, {Degrees: 180}, {Degrees: 270}, {Mirror: true}, {Degrees: 90, Mirror: true}} {
		t.Run(fmt.Sprintf("%d %v", turn.Degrees, turn.Mirror), func(t *testing.T) {
			w, h := turn.Size(64, 48)
			cameratest.Run(t, cameratest.Camera{
				Open: func(t *testing.T) camera.Source {
					f := cameratest.NewFake()
					for n := range uint64(6) {
						f.Show(cameratest.Pattern(64, 48, n+1))
					}
					f.End()
					s, err := New(drops{f}, turn)
					if err != nil {
						t.Fatal(err)
					}
					if d := s.(camera.Dropper).Dropped(); d.Total() != 7 {
						t.Errorf("dropped %v", d)
					}
					return s
				},
				Size: image.Pt(w, h), Frames: 6,
				Want: func(seq uint64) *image.Gray { return turn.Image(cameratest.Pattern(64, 48, seq)).(*image.Gray) },
			})
		})
	}
	f := cameratest.NewFake()
	if s, err := New(f, upright.Turn{}); err != nil || s != camera.Source(f) {
		t.Errorf("a camera that stands upright is not left as it is: %v", err)
	}
	if _, err := New(f, upright.Turn{Degrees: 45}); err == nil {
		t.Error("45 degrees were accepted")
	}
}

func BenchmarkTurn(b *testing.B) {
	src, dst := cameratest.Pattern(640, 480, 1), image.NewGray(image.Rect(0, 0, 480, 640))
	for b.Loop() {
		upright.Turn{Degrees: 90}.Gray(dst, src)
	}
}
