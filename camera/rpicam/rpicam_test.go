package rpicam

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"mien/camera"
	"mien/camera/cameratest"
)

// fakeMode makes this test's own program behave as rpicam-vid.
const fakeMode = "MIEN_FAKE_RPICAM"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" {
		os.Exit(fake(mode))
	}
	os.Exit(m.Run())
}

// fake is rpicam-vid as far as this package knows it.
func fake(mode string) int {
	set := flag.NewFlagSet("rpicam-vid", flag.ContinueOnError)
	codec, output := set.String("codec", "h264", ""), set.String("output", "", "")
	timeout, number := set.Int("timeout", 5000, ""), set.Int("camera", 0, "")
	w, h := set.Int("width", 0, ""), set.Int("height", 0, "")
	set.Int("verbose", 1, "")
	set.Float64("framerate", 30, "")
	set.Bool("nopreview", false, "")
	set.Bool("flush", false, "")
	set.Bool("hflip", false, "")
	if err := set.Parse(os.Args[1:]); err != nil || *codec != "yuv420" || *output != "-" || *timeout != 0 {
		fmt.Fprintln(os.Stderr, "ERROR: bad arguments", os.Args[1:], err)
		return 2
	}
	if *number != 0 {
		fmt.Fprintln(os.Stderr, "starting\nERROR: *** no cameras available ***")
		return 255
	}
	if mode == "deaf" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGPIPE)
	}
	if mode == "pi5" || mode == "pi4" || mode == "hasty" {
		return pads(mode, *w, *h)
	}
	colour := make([]byte, *w**h/2)
	for n := uint64(1); ; n++ {
		if mode == "six" && n == 7 || mode == "stall" && n == 3 {
			if mode == "six" {
				fmt.Fprintln(os.Stderr, "camera unplugged")
				return 1
			}
			time.Sleep(time.Hour)
		}
		_, err := os.Stdout.Write(cameratest.Pattern(*w, *h, n).Pix)
		if _, err2 := os.Stdout.Write(colour); err != nil || err2 != nil {
			if mode == "deaf" {
				time.Sleep(time.Hour)
			}
			return 1
		}
	}
}

// pads writes pictures as a board does that pads rows, a hundred a second; the
// padding is bright noise. In a hurry it does not wait between them.
func pads(mode string, w, h int) int {
	stride := (w + 63) / 64 * 64
	if mode != "pi4" {
		stride = (w + 127) / 128 * 128
	}
	noise := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, stride*h*3/2)
	for n := uint64(1); ; n++ {
		for i := range b {
			b[i] = byte(200 + noise.IntN(56))
		}
		p := cameratest.Pattern(w, h, n)
		for y := range h {
			copy(b[y*stride:], p.Pix[y*w:][:w])
		}
		if mode != "hasty" {
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := os.Stdout.Write(b); err != nil {
			return 1
		}
	}
}

// Boards pad rows to different lengths; the picture is the same.
func TestPaddedRows(t *testing.T) {
	for _, mode := range []string{"pi4", "pi5"} {
		for _, w := range []int{128, 320, 448, 576, 640, 704, 960} {
			t.Run(fmt.Sprint(mode, " ", w), func(t *testing.T) {
				s := start(t, mode, Options{Width: w, Height: 96, Grace: 200 * time.Millisecond})
				defer s.Close()
				var f camera.Frame
				for range 3 {
					if err := s.Next(t.Context(), &f); err != nil {
						t.Fatal(err)
					}
					if f.Rect != image.Rect(0, 0, w, 96) || f.Stride < w {
						t.Fatalf("%v in rows of %d", f.Rect, f.Stride)
					}
					// Which picture it is the first pixel says.
					first, found := f.GrayAt(0, 0), false
					for n := range uint64(200) {
						want := cameratest.Pattern(w, 96, n)
						if want.GrayAt(0, 0) != first {
							continue
						}
						found = true
						for y := range 96 {
							for x := range w {
								if f.GrayAt(x, y) != want.GrayAt(x, y) {
									t.Fatalf("pixel %d,%d is %d, want %d", x, y, f.GrayAt(x, y).Y, want.GrayAt(x, y).Y)
								}
							}
						}
						break
					}
					if !found {
						t.Fatal("the first pixel is no picture's")
					}
				}
			})
		}
	}
}

// Where the rows' length cannot be told nothing is guessed.
func TestPaddingUnknown(t *testing.T) {
	s := start(t, "hasty", Options{Width: 704, Height: 480, Grace: 200 * time.Millisecond})
	defer s.Close()
	err := s.Next(t.Context(), &camera.Frame{})
	if err == nil && s.stride != 768 || err != nil && !strings.Contains(err.Error(), "multiple of 128") {
		t.Errorf("rows of %d: %v", s.stride, err)
	}
}

func start(t *testing.T, mode string, o Options) *Source {
	t.Helper()
	t.Setenv(fakeMode, mode)
	o.Program = os.Args[0]
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	cameratest.Run(t, cameratest.Camera{
		Open: func(t *testing.T) camera.Source {
			return start(t, "endless", Options{Width: 128, Height: 64, Rate: 30, Args: []string{"--hflip"}, Grace: 200 * time.Millisecond})
		},
		Size: image.Pt(128, 64),
		Want: func(seq uint64) *image.Gray { return cameratest.Pattern(128, 64, seq) },
		Stall: func(s camera.Source) {
			if err := syscall.Kill(s.(*Source).child.Pid(), syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
		},
	})
}

// A picture that was given up half way does not shift those after it.
func TestCancelInThePicture(t *testing.T) {
	s := start(t, "endless", Options{Width: 640, Height: 480})
	defer s.Close()
	var f camera.Frame
	if _, err := s.child.Read(t.Context(), make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	s.behind = 640*480*3/2 - 1000
	if err := s.Next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	want := cameratest.Pattern(640, 480, 2)
	for i := range want.Pix {
		if f.Pix[i] != want.Pix[i] {
			t.Fatalf("pixel %d is %d, want %d", i, f.Pix[i], want.Pix[i])
		}
	}
}

func drain(t *testing.T, s *Source) error {
	var f camera.Frame
	for {
		if err := s.Next(t.Context(), &f); err != nil {
			return err
		}
	}
}

func TestChildEnds(t *testing.T) {
	s := start(t, "six", Options{Width: 64, Height: 64})
	if err := drain(t, s); err == nil || !strings.Contains(err.Error(), "exit status 1: camera unplugged") {
		t.Errorf("%v", err)
	}
	if s.seq != 6 {
		t.Errorf("%d frames, want 6", s.seq)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = start(t, "six", Options{Camera: 1})
	defer s.Close()
	if err := drain(t, s); err == nil || !strings.Contains(err.Error(), "no cameras available") {
		t.Errorf("%v", err)
	}
}

func TestChildStalls(t *testing.T) {
	s := start(t, "stall", Options{Width: 64, Height: 64, Timeout: 300 * time.Millisecond})
	defer s.Close()
	if err := drain(t, s); err == nil || !strings.Contains(err.Error(), "no frame for 300ms") {
		t.Errorf("%v", err)
	}
}

// A child that does not listen is killed; none is left behind.
func TestChildIsGone(t *testing.T) {
	for _, mode := range []string{"endless", "stall", "deaf"} {
		s := start(t, mode, Options{Width: 64, Height: 64, Grace: 200 * time.Millisecond})
		var f camera.Frame
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if err := syscall.Kill(s.child.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: the child is still there: %v", mode, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Width: 650}, "multiple of 64"},
		{Options{Height: 481}, "multiple of 64"},
		{Options{Rate: -1}, "-1 frames"},
		{Options{Program: "no-such-rpicam-vid"}, "apt-get install rpicam-apps"},
	} {
		if _, err := Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}
