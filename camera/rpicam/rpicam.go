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
	"strings"
	"sync"
	"syscall"
	"time"

	"mien/camera"
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
	cmd     *exec.Cmd
	out     *os.File
	said    tail
	exited  chan struct{}
	exit    error
	stride  int    // bytes of a row, once they are known
	before  int    // bytes that came before they were
	scratch []byte // for what is not wanted
	behind  int    // bytes left of a picture that was given up
	seq     uint64
	close   sync.Once
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
	s := &Source{o: o, exited: make(chan struct{}), scratch: make([]byte, 64<<10)}
	if err := s.start(program); err != nil {
		return nil, fmt.Errorf("rpicam: %s: %w", program, err)
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

func (s *Source) start(program string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.cmd = exec.Command(program, s.args()...)
	s.cmd.Stdout, s.cmd.Stderr = w, &s.said
	// A signal meant for us, such as Ctrl-C, is not for the child: it is told
	// by Close.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = s.cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(err, r.Close())
	}
	s.out = r
	go func() {
		s.exit = s.cmd.Wait()
		close(s.exited)
	}()
	return nil
}

// String says what camera this is and what it sends.
func (s *Source) String() string {
	return fmt.Sprintf("%s, camera %d, %dx%d yuv420", s.cmd.Path, s.o.Camera, s.o.Width, s.o.Height)
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
	n, err := s.read(ctx, f.Pix)
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
		n, err := s.read(ctx, s.scratch[:min(s.behind, len(s.scratch))])
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
	return fmt.Errorf("rpicam: %s pads rows of %d pixels, and how far cannot be told: choose a width that is a multiple of 128, such as 640", s.cmd.Path, short)
}

// burst reads and forgets what comes without a pause, and says how much it was.
func (s *Source) burst(ctx context.Context, pause time.Duration) (n int, err error) {
	if n, err = s.read(ctx, s.scratch[:1]); err != nil {
		return n, err
	}
	for n < s.picture(s.o.Width)*4 {
		if err := s.out.SetReadDeadline(time.Now().Add(pause)); err != nil {
			return n, s.lost(err)
		}
		k, err := s.out.Read(s.scratch)
		n += k
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return n, nil
		case err != nil:
			return n, s.lost(err)
		}
	}
	return n, nil
}

// read fills b, and says how much of it where it cannot.
func (s *Source) read(ctx context.Context, b []byte) (n int, err error) {
	var waited time.Duration
	for n < len(b) {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		// Short waits, so that cancelling is noticed.
		const nap = 100 * time.Millisecond
		if err := s.out.SetReadDeadline(time.Now().Add(nap)); err != nil {
			return n, s.lost(err)
		}
		k, err := s.out.Read(b[n:])
		n += k
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if waited += nap; waited >= s.o.Timeout {
				return n, s.lost(fmt.Errorf("no frame for %v", s.o.Timeout))
			}
		case err != nil:
			return n, s.lost(err)
		default:
			waited = 0
		}
	}
	return n, nil
}

// lost explains an error with what the child said last.
func (s *Source) lost(err error) error {
	select {
	case <-s.exited:
		err = cmp.Or(s.exit, errors.New("it ended"))
	case <-time.After(200 * time.Millisecond): // between closing its output and ending
	}
	if said := s.said.last(); said != "" {
		return fmt.Errorf("rpicam: %s: %w: %s", s.cmd.Path, err, said)
	}
	return fmt.Errorf("rpicam: %s: %w", s.cmd.Path, err)
}

// Close ends the child and waits until it is gone.
func (s *Source) Close() error {
	var err error
	s.close.Do(func() {
		s.closed = true
		err = s.end()
	})
	return err
}

func (s *Source) end() error {
	// Its whole group: it may have children of its own.
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	err := s.out.Close()
	select {
	case <-s.exited:
		return err
	case <-time.After(s.o.Grace):
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.exited
	return err
}

// tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - keep; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

// last returns the last line that says something.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return camera.Printable(strings.TrimSpace(lines[len(lines)-1]))
}
