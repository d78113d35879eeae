package cameratest

import (
	"context"
	"image"
	"io"
	"sync"
	"time"

	"mien/camera"
)

// Fake is a camera that a test pushes pictures into.
type Fake struct {
	pictures chan *image.Gray
	lost     chan struct{}
	once     sync.Once
	err      error
	seq      uint64
	Start    time.Time     // time of the first picture; zero means now
	Interval time.Duration // between pictures; 0 means they carry the time they are taken at
}

var _ camera.Source = (*Fake)(nil)

// NewFake returns a camera with no pictures yet.
func NewFake() *Fake {
	return &Fake{pictures: make(chan *image.Gray, 1024), lost: make(chan struct{})}
}

// Show makes img the next picture. The fake keeps it until it is taken.
func (f *Fake) Show(img *image.Gray) { f.pictures <- img }

// End makes io.EOF follow the pictures that are still to be taken.
func (f *Fake) End() { f.Lose(io.EOF) }

// Lose makes err follow the pictures that are still to be taken: the camera
// was unplugged.
func (f *Fake) Lose(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.lost)
	})
}

// Next waits for a picture.
func (f *Fake) Next(ctx context.Context, out *camera.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case img := <-f.pictures:
		f.fill(out, img)
		return nil
	default:
	}
	select {
	case img := <-f.pictures:
		f.fill(out, img)
		return nil
	case <-f.lost:
		// A picture shown before the loss comes first.
		select {
		case img := <-f.pictures:
			f.fill(out, img)
			return nil
		default:
			return f.err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Fake) fill(out *camera.Frame, img *image.Gray) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out.Resize(w, h)
	for y := range h {
		copy(out.Pix[y*w:][:w], img.Pix[y*img.Stride:])
	}
	out.Time = time.Now()
	if f.Interval > 0 {
		if f.Start.IsZero() {
			f.Start = out.Time
		}
		out.Time = f.Start.Add(time.Duration(f.seq) * f.Interval)
	}
	f.seq++
	out.Seq = f.seq
}

// Close ends the fake: what was not taken is lost.
func (f *Fake) Close() error {
	f.Lose(camera.ErrClosed)
	for {
		select {
		case <-f.pictures:
		default:
			return nil
		}
	}
}

// Pattern returns a picture of w by h pixels that differs from number to
// number in every part, smooth enough to survive compression.
func Pattern(w, h int, number uint64) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Pix[y*w+x] = uint8(40 + (x*2+y+int(number)*9)%160)
		}
	}
	return img
}
