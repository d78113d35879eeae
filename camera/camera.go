// Package camera says what a camera gives the rest of mien: grey frames, one
// at a time, in memory that the caller owns. Drivers live in the packages
// below it; nothing here knows of any hardware.
package camera

import (
	"context"
	"errors"
	"image"
	"time"
)

// Frame is one picture. Its pixels are luma, 0 black to 255 white;
// faces are read from grey, so colour never leaves the driver.
//
// A Frame is reused from picture to picture: a Source grows Gray.Pix when it
// is too small and leaves it alone otherwise.
type Frame struct {
	image.Gray
	Time time.Time // when the picture was taken
	Seq  uint64    // counts the pictures of a source, from 1; gaps are pictures lost in the driver
}

// Resize makes f a w by h picture. It allocates only when f has never held
// one as large; the pixels are undefined afterwards.
func (f *Frame) Resize(w, h int) {
	if n := w * h; cap(f.Pix) < n {
		f.Pix = make([]byte, n)
	} else {
		f.Pix = f.Pix[:n]
	}
	f.Stride = w
	f.Rect = image.Rect(0, 0, w, h)
}

// ErrClosed is what Next returns once its source has been closed.
var ErrClosed = errors.New("camera: closed")

// Source is a camera, or what stands in for one.
type Source interface {
	// Next waits for the next picture and fills f with it. It returns io.EOF
	// when a recording has ended, the context's error when it is cancelled,
	// and any other error when the camera is lost: the caller then closes the
	// source and opens it again, for a source never retries by itself.
	Next(ctx context.Context, f *Frame) error
	Close() error
}
