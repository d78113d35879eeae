package httpmjpeg

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mien/camera"
	"mien/camera/cameratest"
	"mien/runtime/peertest"
)

const period = 8 // pictures differ from number to number, up to here

func want(seq uint64) *image.Gray { return cameratest.Pattern(96, 64, seq%period) }

func parts(t testing.TB) [][]byte {
	var out [][]byte
	for n := range uint64(period) {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, want(n), &jpeg.Options{Quality: 97}); err != nil {
			t.Fatal(err)
		}
		head := fmt.Sprintf("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", b.Len())
		out = append(out, append([]byte(head), append(b.Bytes(), "\r\n"...)...))
	}
	return out
}

// serve runs a camera that sends n pictures, at most one a millisecond, then
// stalls; n below 0 means without end. It sends raw HTTP, so that the test's
// own side allocates nothing.
func serve(t *testing.T, n int) string {
	pictures := parts(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	return "http://" + peertest.Listen(t, func(c net.Conn) {
		var request [4096]byte
		if _, err := c.Read(request[:]); err != nil {
			return
		}
		if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")); err != nil {
			return
		}
		for i := 1; i != n+1; i++ {
			if _, err := c.Write(pictures[i%period]); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
		<-done
	}) + "/stream"
}

func start(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	cameratest.Run(t, cameratest.Camera{
		Open:  func(t *testing.T) camera.Source { return start(t, Options{URL: serve(t, -1)}) },
		Size:  image.Pt(96, 64),
		Want:  want,
		Off:   6,
		Lossy: true,
		Stall: func(camera.Source) {},
	})
}

func TestStall(t *testing.T) {
	s := start(t, Options{URL: serve(t, 1), Timeout: 300 * time.Millisecond})
	defer s.Close()
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	if err := s.Next(t.Context(), &f); err == nil || !strings.Contains(err.Error(), "no picture for 300ms") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Next(ctx, &f); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

// A slow reader gets the newest picture, and numbers tell what it missed.
func TestNewestWins(t *testing.T) {
	s := start(t, Options{URL: serve(t, 40)})
	defer s.Close()
	for {
		s.mu.Lock()
		n := s.number
		s.mu.Unlock()
		if n == 40 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil || f.Seq != 40 {
		t.Errorf("picture %d, %v; want 40", f.Seq, err)
	}
}

func TestEndAndDamage(t *testing.T) {
	pictures := parts(t)
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "me" || p != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		broken := bytes.Replace(pictures[1], []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1)
		_, _ = w.Write(broken)
		w.(http.Flusher).Flush()
		<-release
		_, _ = w.Write(pictures[2])
	}))
	defer srv.Close()
	address := strings.Replace(srv.URL, "//", "//me:secret@", 1)
	s := start(t, Options{URL: address})
	defer s.Close()
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	var f camera.Frame
	if err := s.Next(t.Context(), &f); err != nil || f.Seq != 2 {
		t.Fatalf("picture %d, %v; want the second", f.Seq, err)
	}
	if err := s.Next(t.Context(), &f); err == nil || !strings.Contains(err.Error(), "ended the stream") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	_, err := Open(t.Context(), Options{URL: strings.Replace(srv.URL, "//", "//me:wrongpass@", 1)})
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "wrongpass") {
		t.Errorf("wrong password: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it never answers
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for _, c := range []struct{ url, want string }{
		{"", "http://HOST"}, {"camera.local/stream", "http://HOST"}, {"ftp://x/", "http://HOST"}, {"http://%zz", "http://HOST"}, {"http://fe80::1:80/", "http://HOST"},
		{"http://u:hush@" + nobody.Addr().String() + "/", "refused"},
		{"http://u:hush@" + l.Addr().String() + "/", "no answer for 100ms"},
	} {
		_, err := Open(t.Context(), Options{URL: c.url, Timeout: 100 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", c.url, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{URL: "http://" + l.Addr().String() + "/"}); err == nil || !strings.HasSuffix(err.Error(), ": context deadline exceeded") {
		t.Errorf("what does not answer: %q", err)
	}
}
