package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"mien/camera"
	"mien/camera/cameratest"
	"mien/camera/replay/portrait"
	"mien/runtime/peertest"
)

const (
	user     = "admin"
	password = `p@ss'w/rd S3cretMark`
	login    = "admin:p%40ss'w%2Frd%20S3cretMark"
)

// encode makes a second of video of one picture.
func encode(t testing.TB, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-loglevel", "error", "-f", "mjpeg", "-i", "pipe:0", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "5",
		"-pix_fmt", "yuv420p"}, append(args, "pipe:1")...)...)
	cmd.Stdin = bytes.NewReader(bytes.Repeat(portrait.JPEG(), 25))
	var said bytes.Buffer
	cmd.Stderr = &said
	video, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg is needed (apt-get install ffmpeg): %v: %s", err, said.String())
	}
	return video
}

// rtspCamera sends one second of video again and again, to whoever knows its
// password, until it is told to be silent.
type rtspCamera struct {
	server *gortsplib.Server
	stream *gortsplib.ServerStream
	silent atomic.Bool
	locked bool
}

func (c *rtspCamera) allowed(conn *gortsplib.ServerConn, r *base.Request) bool {
	return !c.locked || conn.VerifyCredentials(r, user, password)
}

func (c *rtspCamera) OnDescribe(x *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !c.allowed(x.Conn, x.Request) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func (c *rtspCamera) OnSetup(x *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !c.allowed(x.Conn, x.Request) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func (c *rtspCamera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// serve runs a camera and returns its address, without its password.
func serve(t testing.TB, locked bool) (*rtspCamera, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &rtspCamera{locked: locked}
	c.server = &gortsplib.Server{Handler: c, Listen: func(string, string) (net.Listener, error) { return l, nil }, RTSPAddress: l.Addr().String()}
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.Close)
	var units h264.AnnexB
	if err := units.Unmarshal(encode(t, "-bsf:v", "h264_metadata=aud=insert", "-f", "h264")); err != nil {
		t.Fatal(err)
	}
	video := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	var pictures [][][]byte
	for _, u := range units {
		switch h264.NALUType(u[0] & 31) {
		case h264.NALUTypeAccessUnitDelimiter:
			pictures = append(pictures, nil)
			continue
		case h264.NALUTypeSPS:
			video.SPS = u
		case h264.NALUTypePPS:
			video.PPS = u
		}
		pictures[len(pictures)-1] = append(pictures[len(pictures)-1], u)
	}
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{video}}
	c.stream = &gortsplib.ServerStream{Server: c.server, Desc: &description.Session{Medias: []*description.Media{media}}}
	if err := c.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stream.Close)
	packets, err := video.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
			}
			if c.silent.Load() {
				continue
			}
			all, err := packets.Encode(pictures[n%len(pictures)])
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range all {
				p.Timestamp = uint32(n * 3600)
				if err := c.stream.WritePacketRTP(media, p); err != nil {
					return
				}
			}
		}
	}()
	return c, "rtsp://" + l.Addr().String() + "/stream"
}

func withLogin(address string) string { return strings.Replace(address, "//", "//"+login+"@", 1) }

func open(t testing.TB, o Options) *Source {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Pictures over RTSP are those that the camera sends, black as 0 and white as
// 255.
func TestCamera(t *testing.T) {
	c, address := serve(t, true)
	cameratest.Run(t, cameratest.Camera{
		Open: func(t *testing.T) camera.Source {
			c.silent.Store(false)
			return open(t, Options{URL: withLogin(address), Width: 512, Height: 512, Timeout: 20 * time.Second})
		},
		Size: image.Pt(512, 512), Lossy: true, Allocs: 250, // the camera's own, which runs here: see TestAllocations
		Stall: func(camera.Source) { c.silent.Store(true) },
	})
	c.silent.Store(false)
	s := open(t, Options{URL: withLogin(address), Width: 512, Height: 512})
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	want, sum := portrait.Gray(), 0
	for i, p := range f.Pix {
		d := int(p) - int(want.Pix[i])
		sum += max(d, -d)
	}
	if mean := float64(sum) / float64(len(f.Pix)); mean > 4 {
		t.Errorf("pictures are %.1f grey levels off on average", mean)
	}
}

// Larger pictures are made smaller, in their own shape; smaller ones stay.
func TestSize(t *testing.T) {
	_, address := serve(t, false)
	for _, c := range []struct{ w, h, want int }{{320, 240, 240}, {1920, 1080, 512}} {
		s := open(t, Options{URL: address, Width: c.w, Height: c.h})
		var f camera.Frame
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		if got := f.Rect.Size(); got != image.Pt(c.want, c.want) {
			t.Errorf("%dx%d: pictures of %v", c.w, c.h, got)
		}
		s.Close()
	}
}

// The address is not among what everybody sees of a process: its arguments, or
// those of any child that it has.
func TestNoPasswordInProcessList(t *testing.T) {
	_, address := serve(t, true)
	t.Setenv("MIEN_TEST_SECRET", "S3cretMark")
	s := open(t, Options{URL: withLogin(address)})
	if err := s.Next(t.Context(), &camera.Frame{}); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for _, file := range append(all, fmt.Sprintf("/proc/%d/environ", s.child.Pid())) {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		ours = ours || strings.HasPrefix(file, fmt.Sprintf("/proc/%d/", s.child.Pid())) && bytes.Contains(b, []byte("image2pipe"))
		for _, part := range []string{"S3cretMark", login} {
			if bytes.Contains(b, []byte(part)) {
				t.Errorf("%s shows the password: %q", file, b)
			}
		}
	}
	if !ours {
		t.Error("the child is not among the processes that were looked at")
	}
}

// What goes wrong is said in one sentence, without the password.
func TestErrors(t *testing.T) {
	_, address := serve(t, true)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{URL: strings.Replace(address, "//", "//admin:S3cretMark@", 1)}, "401"},
		{Options{URL: address}, "401"},
		{Options{URL: "rtsp://admin:S3cretMark@127.0.0.1:1/a?key=S3cretMark"}, "refused"},
		{Options{URL: strings.Replace(web.URL, "http", "rtsp", 1) + "/?pwd=S3cretMark"}, "exit status"},
		{Options{URL: web.URL + "/live.m3u8?pwd=S3cretMark"}, "404"},
		{Options{URL: address, Program: "no-such-ffmpeg"}, "apt-get install ffmpeg"},
		{Options{URL: "file:///S3cretMark@/etc/passwd"}, "rtsp://HOST/PATH"},
		{Options{URL: "rtsp://S3cretMark@a\n"}, "rtsp://HOST/PATH"},
		{Options{URL: address, Width: -1}, "-1x0"},
		{Options{URL: "rtsps://a/b", CA: file}, "https alone"},
		{Options{URL: "https://a/b", CA: "/nonexistent"}, "no such file"},
	} {
		s, err := Open(t.Context(), c.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "S3cretMark") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: %v, want %q", c.o.URL, err, c.want)
		}
	}
}

// However ffmpeg writes what it knows, the password is taken out.
func TestTidy(t *testing.T) {
	o := Options{URL: withLogin("rtsp://cam/a?key=S3cretKey")}
	for _, said := range []string{"Impossible to open '" + o.URL + "'", "Impossible to open '" + strings.ReplaceAll(o.URL, "'", `'\''`) + "'",
		"user " + password, "user " + login, "Error opening http://x:S3cretMark@b/seg.ts?token=S3cretKey: no"} {
		if got := o.tidy(said); strings.Contains(got, "S3cret") {
			t.Errorf("%q shows as %q", said, got)
		}
	}
}

// A camera that falls silent is told, and its child is gone afterwards,
// however it behaves.
func TestStall(t *testing.T) {
	c, address := serve(t, false)
	s := open(t, Options{URL: address, Timeout: 500 * time.Millisecond, Grace: 200 * time.Millisecond})
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	c.silent.Store(true)
	var err error
	for err == nil {
		err = s.Next(t.Context(), &f)
	}
	if !strings.Contains(err.Error(), "no frame for 500ms") {
		t.Error(err)
	}
	if err := syscall.Kill(s.child.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(s.child.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

// A camera that goes away ends the stream with an error, and can be opened
// again once it is back.
func TestLost(t *testing.T) {
	c, address := serve(t, false)
	s := open(t, Options{URL: address})
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	c.server.Close()
	var err error
	for err == nil {
		err = s.Next(t.Context(), &f)
	}
	if errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "ffmpeg: rtsp://127.0.0.1") {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{URL: address}); err == nil {
		t.Error("a camera that is gone was opened")
	}
}

// pretend returns a program that writes what script does, in place of ffmpeg.
func pretend(t testing.TB, script string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// A picture that a cancelled call had begun is passed over: the next is whole.
func TestCancelledWithin(t *testing.T) {
	s := open(t, Options{URL: "rtsp://cam/", Program: pretend(t, `printf 'P5\n2 2\n255\nab'; sleep 0.5; printf 'cdP5\n2 1\n255\nef'; sleep 60`)})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var f camera.Frame
	if err := s.Next(ctx, &f); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := s.Next(t.Context(), &f); err != nil || string(f.Pix) != "ef" || f.Seq != 1 {
		t.Errorf("%q, number %d, %v", f.Pix, f.Seq, err)
	}
}

// A picture costs no memory once the first is through.
func TestAllocations(t *testing.T) {
	s := open(t, Options{URL: "rtsp://cam/", Program: pretend(t, `while :; do printf 'P5\n2 2\n255\nabcd'; done`)})
	var f camera.Frame
	if n := testing.AllocsPerRun(20, func() {
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations a picture", n)
	}
}

// What is no picture is an error that says what it is.
func TestNoPicture(t *testing.T) {
	for _, written := range []string{"hello", `P5\n9999 1\n255\n`, `P5\n2 2\n65535\n`, `P6\n2 2\n255\n`, `P5 1111111111111111111111111111111111111`} {
		s, err := Open(t.Context(), Options{URL: "rtsp://cam/", Program: pretend(t, "printf '"+written+"'")})
		if err == nil {
			s.Close()
			t.Errorf("%q was taken", written)
		}
	}
}

// Video over HTTPS is read from a camera whose certificate is trusted, and from
// no other.
func TestHTTPS(t *testing.T) {
	video := encode(t, "-f", "mpegts")
	ca := filepath.Join(t.TempDir(), "it's a ca.pem")
	srv := peertest.HTTPS(t, ca, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(video) })
	s := open(t, Options{URL: srv.URL + "/a.ts", CA: ca})
	if err := s.Next(t.Context(), &camera.Frame{}); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{URL: srv.URL + "/a.ts"}); err == nil {
		t.Error("a certificate of nobody known was trusted")
	}
}
