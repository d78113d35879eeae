// Package rpicam takes frames from a Raspberry Pi's CSI camera: from the
// program rpicam-vid, run as a child, for such a camera is not reachable
// through /dev/video0 any more.
//
// The child writes raw yuv420 pictures to its standard output one after the
// other, luma first. Source: rpicam-vid(1),
// https://www.raspberrypi.com/documentation/computers/camera_software.html.
package rpicam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"mien/camera"
	"mien/camera/internal/child"
)

// Options of a camera. Zero values take the defaults.
type Options struct {
	Width, Height int           // 0 means 640x480; the width is a multiple of 64 and at least 128 on a Raspberry Pi 5, the height of 2
	Rate          float64       // frames a second; 0 leaves it to the camera
	Camera        int           // number of the camera, for boards with two
	Program       string        // empty means rpicam-vid, or libcamera-vid, its name until 2023
	Args          []string      // more arguments, such as --hflip
	Timeout       time.Duration // without a frame after which the camera is lost; 0 means 5 s
	Grace         time.Duration // that the child has to end by itself when it is closed; 0 means 2 s
}

// Source is a running camera. It is a camera.Source.
type Source struct {
	o       Options
	program string
	child   child.Child
	stride  int    // bytes of a row, once they are known
	before  int    // bytes that came before they were
	scratch []byte // for what is not wanted
	behind  int    // bytes left of a picture that was given up
	seq     uint64
	closed  bool
}

var _ camera.Source = (*Source)(nil)

// Open starts the camera. That there is none shows at the first Next.
func Open(o Options) (*Source, error) {
	o.Width, o.Height = cmp.Or(o.Width, 640), cmp.Or(o.Height, 480)
	o.Timeout, o.Grace = cmp.Or(o.Timeout, 5*time.Second), cmp.Or(o.Grace, 2*time.Second)
	if err := o.Check(); err != nil {
		return nil, err
	}
	program, err := find(o.Program)
	if err != nil {
		return nil, err
	}
	s := &Source{o: o, program: program, child: child.Child{Name: "rpicam: " + program, Timeout: o.Timeout, Grace: o.Grace}, scratch: make([]byte, 64<<10)}
	if err := s.child.Start(exec.Command(program, s.args()...)); err != nil {
		return nil, err
	}
	return s, nil
}

// Check says what is wrong with the options, without starting anything.
func (o Options) Check() error {
	o.Width, o.Height = cmp.Or(o.Width, 640), cmp.Or(o.Height, 480)
	if o.Width < 64 || o.Height < 2 || o.Width > 8192 || o.Height > 8192 || o.Width%64 != 0 || o.Height%2 != 0 {
		return fmt.Errorf("rpicam: %dx%d: the width has to be a multiple of 64, the height of 2", o.Width, o.Height)
	}
	if !(o.Rate >= 0 && o.Rate <= 1000) || o.Camera < 0 {
		return fmt.Errorf("rpicam: camera %d at %g frames a second", o.Camera, o.Rate)
	}
	return nil
}

func find(program string) (string, error) {
	names := []string{"rpicam-vid", "libcamera-vid"}
	if program != "" {
		names = []string{program}
	}
	var err error
	for _, n := range names {
		var path string
		if path, err = exec.LookPath(n); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("rpicam: %w (apt-get install rpicam-apps-lite)", err)
}

func (s *Source) args() []string {
	a := []string{"--codec", "yuv420", "--output", "-", "--timeout", "0", "--nopreview", "--flush", "--verbose", "0",
		"--camera", strconv.Itoa(s.o.Camera), "--width", strconv.Itoa(s.o.Width), "--height", strconv.Itoa(s.o.Height)}
	if s.o.Rate > 0 {
		a = append(a, "--framerate", strconv.FormatFloat(s.o.Rate, 'g', -1, 64))
	}
	return append(a, s.o.Args...)
}

// String says what camera this is and what it sends.
func (s *Source) String() string {
	return fmt.Sprintf("%s, camera %d, %dx%d yuv420", s.program, s.o.Camera, s.o.Width, s.o.Height)
}

// Next fills f with the next frame. It returns an error when the child has
// ended, or has sent nothing for Options.Timeout.
func (s *Source) Next(ctx context.Context, f *camera.Frame) error {
	if s.closed {
		return camera.ErrClosed
	}
	if s.stride == 0 {
		if err := s.measure(ctx); err != nil {
			return err
		}
	}
	// The rest of a picture that an earlier call gave up.
	if err := s.pass(ctx); err != nil {
		return err
	}
	w, h := s.o.Width, s.o.Height
	f.Resize(s.stride, h)
	n, err := s.child.Read(ctx, f.Pix)
	f.Time = time.Now()
	if n > 0 {
		s.behind = s.picture(s.stride) - n
	}
	if err != nil {
		return err
	}
	if err := s.pass(ctx); err != nil { // colour
		return err
	}
	if s.stride > w {
		for y := range h {
			copy(f.Pix[y*w:][:w], f.Pix[y*s.stride:])
		}
		f.Resize(w, h)
	}
	s.seq++
	f.Seq = s.seq
	return nil
}

// pass reads what is left of a picture.
func (s *Source) pass(ctx context.Context) error {
	for s.behind > 0 {
		n, err := s.child.Read(ctx, s.scratch[:min(s.behind, len(s.scratch))])
		s.behind -= n
		if err != nil {
			return err
		}
	}
	return nil
}

// picture is how many bytes a picture has whose rows have stride bytes: luma,
// and colour at half the resolution.
func (s *Source) picture(stride int) int { return stride * s.o.Height * 3 / 2 }

// The camera pads rows, and the child writes them as they are: to a multiple of
// 64 bytes up to Raspberry Pi 4, of 128 on Raspberry Pi 5 (libcamera's
// pipeline handlers vc4 and pisp). Nothing tells which, so it is measured: the
// child writes a picture at once and then waits for the next, and where it
// waits as many bytes have come as there are in so many pictures.
//
// A source that has just been opened is at the beginning of a picture, and so
// it is after measure, which throws the first few away.
func (s *Source) measure(ctx context.Context) error {
	const (
		pause = 4 * time.Millisecond // between pictures at 120 a second it is twice as long
		votes = 2                    // that decide
		most  = 32                   // pictures that are looked at
	)
	short, long := s.o.Width, (s.o.Width+127)/128*128
	if short == long || short < 128 {
		s.stride = short
		return nil
	}
	forShort, forLong := 0, 0
	for s.before < most*s.picture(long) {
		n, err := s.burst(ctx, pause)
		s.before += n
		if err != nil {
			return err
		}
		whole := func(stride int) bool { return s.before%s.picture(stride) == 0 }
		switch {
		case whole(short) && !whole(long):
			forShort++
		case whole(long) && !whole(short):
			forLong++
		}
		switch {
		case whole(short) && forShort >= votes+forLong:
			s.stride = short
			return nil
		case whole(long) && forLong >= votes+forShort:
			s.stride = long
			return nil
		}
	}
	return fmt.Errorf("rpicam: %s pads rows of %d pixels, and how far cannot be told: choose a width that is a multiple of 128, such as 640", s.program, short)
}

// burst reads and forgets what comes without a pause, and says how much it was.
func (s *Source) burst(ctx context.Context, pause time.Duration) (n int, err error) {
	if n, err = s.child.Read(ctx, s.scratch[:1]); err != nil {
		return n, err
	}
	for n < s.picture(s.o.Width)*4 {
		k, err := s.child.ReadWithin(pause, s.scratch)
		n += k
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return n, nil
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// Close ends the child and waits until it is gone.
func (s *Source) Close() error {
	s.closed = true
	return s.child.Close()
}
