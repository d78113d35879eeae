package cameratest

import (
	"errors"
	"image"
	"testing"

	"mien/camera"
)

func TestFake(t *testing.T) {
	Run(t, Camera{
		Open: func(t *testing.T) camera.Source {
			f := NewFake()
			for n := range uint64(6) {
				f.Show(Pattern(64, 48, n+1))
			}
			f.End()
			return f
		},
		Size: image.Pt(64, 48), Frames: 6,
		Want: func(seq uint64) *image.Gray { return Pattern(64, 48, seq) },
	})
	Run(t, Camera{
		Open: func(t *testing.T) camera.Source {
			f := NewFake()
			for n := range uint64(8) {
				f.Show(Pattern(32, 16, n+1))
			}
			return f
		},
		Stall: func(camera.Source) {},
	})
}

func TestFakeLost(t *testing.T) {
	f := NewFake()
	gone := errors.New("unplugged")
	f.Show(Pattern(8, 8, 1))
	f.Lose(gone)
	var frame camera.Frame
	if err := f.Next(t.Context(), &frame); err != nil {
		t.Fatal(err)
	}
	if err := f.Next(t.Context(), &frame); err != gone {
		t.Errorf("%v, want %v", err, gone)
	}
}
