package replay

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mien/camera"
	"mien/camera/cameratest"
	"mien/camera/replay/portrait"
)

const frames = 6

func pattern(seq uint64) *image.Gray { return cameratest.Pattern(66, 50, seq) }

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func encoded(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// y4mFile is a recording in one colour space; colour bytes are 1.
func y4mFile(header string, colour int) []byte {
	var b bytes.Buffer
	b.WriteString(header + "\n")
	for n := range uint64(frames) {
		b.WriteString("FRAME Ip\n")
		b.Write(pattern(n + 1).Pix)
		b.Write(bytes.Repeat([]byte{1}, colour))
	}
	return b.Bytes()
}

func open(path string, o Options) func(*testing.T) camera.Source {
	return func(t *testing.T) camera.Source {
		s, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	var stream bytes.Buffer
	for n := range uint64(frames) {
		file := encoded(t, pattern(n+1))
		stream.Write(file)
		name := fmt.Sprintf("%03d.jpg", n)
		if n == 2 { // one that the package's own decoder does not read
			var b bytes.Buffer
			if err := png.Encode(&b, pattern(n+1)); err != nil {
				t.Fatal(err)
			}
			file, name = b.Bytes(), "002.png"
		}
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		open func(*testing.T) camera.Source
		off  int
		mem  float64
	}{
		// Reading a file allocates; nobody's camera is a folder.
		{"folder", open(dir, Options{}), 8, 20},
		{"y4m 420", open(write(t, "a.y4m", y4mFile("YUV4MPEG2 W66 H50 F30:1 Ip A1:1 C420jpeg", 2*33*25)), Options{}), 0, 0},
		{"y4m 422", open(write(t, "a.y4m", y4mFile("YUV4MPEG2 W66 H50 F30:1 C422", 2*33*50)), Options{}), 0, 0},
		{"y4m 444", open(write(t, "a.y4m", y4mFile("YUV4MPEG2 W66 H50 F30000:1001 C444", 2*66*50)), Options{}), 0, 0},
		{"y4m mono", open(write(t, "a.Y4M", y4mFile("YUV4MPEG2 W66 H50 Cmono", 0)), Options{Real: true, Rate: 200}), 0, 0},
		{"mjpeg", open(write(t, "a.mjpeg", stream.Bytes()), Options{}), 8, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cameratest.Run(t, cameratest.Camera{Open: c.open, Size: image.Pt(66, 50), Frames: frames, Want: pattern, Off: c.off, Allocs: c.mem})
		})
	}
	t.Run("scene", func(t *testing.T) {
		cameratest.Run(t, cameratest.Camera{Open: func(*testing.T) camera.Source { return Demo(Options{Rate: 2}) }, Size: image.Pt(640, 480), Frames: 20})
	})
}

func TestLoopAndTime(t *testing.T) {
	for _, path := range []string{write(t, "a.y4m", y4mFile("YUV4MPEG2 W66 H50 F10:1 C420", 2*33*25)),
		write(t, "a.mjpg", append(encoded(t, pattern(1)), encoded(t, pattern(2))...)),
		write(t, "a.png", encoded(t, pattern(1)))} {
		s, err := Open(path, Options{Loop: true, Rate: 10})
		if err != nil {
			t.Fatal(err)
		}
		var f camera.Frame
		var first time.Time
		for n := range 20 {
			if err := s.Next(t.Context(), &f); err != nil {
				t.Fatalf("%s: picture %d: %v", path, n, err)
			}
			if n == 0 {
				first = f.Time
			}
		}
		if got := f.Time.Sub(first).Round(time.Millisecond); got != 1900*time.Millisecond || f.Seq != 20 {
			t.Errorf("%s: picture %d is %v after the first", path, f.Seq, got)
		}
		s.Close()
	}
}

func TestRealTimeWaits(t *testing.T) {
	s := NewScene(SceneOptions{Width: 8, Height: 8, Length: time.Hour, Options: Options{Real: true, Rate: 1e-3}})
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Next(ctx, &f); err != context.DeadlineExceeded {
		t.Errorf("a picture that is due in a quarter of an hour: %v", err)
	}
}

func TestBadRecordings(t *testing.T) {
	good := y4mFile("YUV4MPEG2 W66 H50 C420", 2*33*25)
	for _, c := range []struct{ name, data, want string }{
		{"a.y4m", "", "y4m header"},
		{"a.y4m", "RIFF\n", "YUV4MPEG2"},
		{"a.y4m", "YUV4MPEG2 W0 H2\n", "0x2"},
		{"a.y4m", "YUV4MPEG2 W99999999 H99999999\n", "99999999x"},
		{"a.y4m", "YUV4MPEG2 Wa H2\n", "Wa"},
		{"a.y4m", "YUV4MPEG2 W4 H2 F30:0\n", "F30:0"},
		{"a.y4m", "YUV4MPEG2 W4 H2 C420p10\n", "420p10"},
		{"a.y4m", string(good[:len(good)-5]), "cut"},
		{"a.y4m", string(good[:40]) + strings.Repeat("x", 9000), "cut"},
		{"a.mjpeg", "hello", "no JPEG"},
		{"a.mjpeg", string(portrait.JPEG()[:3000]), "cut"},
		{"a.jpg", "hello", "no picture of a kind"},
		{"a.txt", "hello", "not a folder"},
	} {
		path := write(t, c.name, []byte(c.data))
		s, err := Open(path, Options{})
		var f camera.Frame
		for err == nil {
			err = s.Next(t.Context(), &f)
		}
		if err == io.EOF || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want the path and %q", c.data[:min(len(c.data), 30)], err, c.want)
		}
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("an empty folder was opened")
	}
	if _, err := Open("/nonexistent", Options{}); err == nil {
		t.Error("a missing file was opened")
	}
	if _, err := Open(t.TempDir(), Options{Rate: -1}); err == nil {
		t.Error("a negative rate was accepted")
	}
}

// One bad picture costs itself and is counted, in a folder and in a stream, and
// however often the recording is played; without any good one it is an error.
func TestBadPicturesAreDropped(t *testing.T) {
	dir := t.TempDir()
	good := encoded(t, pattern(1))
	cut := good[:len(good)/2]
	for name, b := range map[string][]byte{"1.jpg": good, "2.jpg": cut, "3.png": []byte("hello"), "4.jpg": good, "5.jpg": cut[:200]} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stream := write(t, "a.mjpeg", slices.Concat(cut[:200], good, cut, good, cut))
	for _, path := range []string{dir, stream} {
		for _, loop := range []bool{false, true} {
			s, err := Open(path, Options{Loop: loop})
			if err != nil {
				t.Fatal(err)
			}
			var f camera.Frame
			n := 0
			for err = s.Next(t.Context(), &f); err == nil && n < 7; err = s.Next(t.Context(), &f) {
				n++
			}
			d := s.Dropped()
			if loop && (n != 7 || err != nil || d.Total() < 9) || !loop && (n != 2 || err != io.EOF || d.Total() != 3 || d.Counts[camera.Cut] < 2) {
				t.Errorf("%s, loop %v: %d pictures, then %v; dropped %v", path, loop, n, err, d)
			}
			s.Close()
		}
	}
	bad := write(t, "a.mjpeg", slices.Concat(cut, cut))
	s, err := Open(bad, Options{Loop: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Next(t.Context(), &camera.Frame{}); err == nil || err == io.EOF || !strings.Contains(err.Error(), "cut") {
		t.Errorf("nothing but cut pictures: %v", err)
	}
}

// The subject is where its keys say, as large and tilted as they say.
func TestSceneGeometry(t *testing.T) {
	dot := image.NewGray(image.Rect(0, 0, 200, 100))
	for i := range dot.Pix {
		dot.Pix[i] = 255
	}
	for y := 40; y < 60; y++ {
		for x := 90; x < 110; x++ {
			dot.Pix[y*200+x] = 0
		}
	}
	s := NewScene(SceneOptions{Picture: dot, Anchor: image.Pt(0, 50), Width: 400, Height: 400, Length: 2 * time.Second, Options: Options{Rate: 1},
		Keys: []Key{{X: 0.25, Y: 0.5, Scale: 1}, {At: 2 * time.Second, X: 0.75, Y: 0.5, Scale: 1, Tilt: 60}}})
	var f camera.Frame
	for n, tilt := range []float64{0, 30} {
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		// The dot is 100 pixels to the right of the anchor, turned with it.
		sin, cos := math.Sincos(tilt * math.Pi / 180)
		wantX, wantY := 100+100*float64(n)+100*cos, 200+100*sin
		var sx, sy, k float64
		for y := range 400 {
			for x := range 400 {
				if f.Pix[y*400+x] < 20 {
					sx, sy, k = sx+float64(x), sy+float64(y), k+1
				}
			}
		}
		if math.Hypot(sx/k-wantX, sy/k-wantY) > 1.5 {
			t.Errorf("picture %d: the dot is at %.1f,%.1f, want %.1f,%.1f", n, sx/k, sy/k, wantX, wantY)
		}
		if k < 300 || k > 440 {
			t.Errorf("picture %d: the dot has %.0f pixels, want nearly 400", n, k)
		}
	}
}

// What is faded out entirely is the wall alone.
func TestSceneFade(t *testing.T) {
	frame := func(fade float64) []byte {
		s := NewScene(SceneOptions{Picture: portrait.Gray(), Length: time.Second, Keys: []Key{{X: 0.2, Y: 0.2, Scale: 1, Fade: fade}}})
		var f camera.Frame
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		return f.Pix
	}
	s := NewScene(SceneOptions{Length: time.Second})
	var wall camera.Frame
	if err := s.Next(t.Context(), &wall); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(frame(1), wall.Pix) {
		t.Error("something is left")
	}
	if slices.Equal(frame(0.5), wall.Pix) || slices.Equal(frame(0.5), frame(0)) {
		t.Error("half faded is all or nothing")
	}
}

func FuzzY4M(f *testing.F) {
	f.Add(y4mFile("YUV4MPEG2 W66 H50 F30:1 C420", 2*33*25)[:5000])
	f.Add([]byte("YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcdFRAME\nabcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, err := newY4M(bytes.NewReader(b))
		if err != nil {
			return
		}
		y := r.(*y4m)
		if y.w*y.h > 1<<20 {
			return
		}
		var frame camera.Frame
		for r.frame(&frame) == nil {
			if len(frame.Pix) != y.w*y.h {
				t.Fatalf("%d pixels", len(frame.Pix))
			}
		}
	})
}
