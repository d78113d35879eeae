package httpmjpeg

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"image/jpeg"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mien/camera"
	"mien/runtime/peertest"
)

func still1(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, want(1), &jpeg.Options{Quality: 97}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// answer serves one answer to everything.
func answer(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func withUser(address, user string) string { return strings.Replace(address, "//", "//"+user+"@", 1) }

// What is no stream is told from one by one sentence that says what it is, and
// obeys no terminal.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name         string
		status       int
		kind, auth   string
		body         string
		user, expect string
	}{
		{"log-in page", 200, "text/html; charset=utf-8", "", "<html>Login</html>", "", "web page"},
		{"log-in page that does not say so", 200, "", "", "<!DOCTYPE html><html>Login</html>", "", "web page"},
		{"API", 200, "application/json", "", "{}", "", `"application/json"`},
		{"H.264", 200, "video/mp4", "", "....", "", "sends video"},
		{"PNG", 200, "image/png", "", "....", "", `"image/png"`},
		{"nothing there", 404, "text/plain", "", "", "", "nothing at \"/\\x1b[31m\""},
		{"failure", 500, "text/plain", "", "", "", "500"},
		{"basic", 401, "", `Basic realm="cam"`, "", "", "wants a name and a password (Basic authentication)"},
		{"digest", 401, "", `Digest realm="cam", nonce="abc", qop="auth"`, "", "", "wants a name and a password (Digest authentication)"},
		{"digest refused", 401, "", `digest realm="cam", nonce="abc", qop="auth"`, "", "me:hush", "refuses this name and password"},
		{"basic refused", 401, "", `basic realm="cam"`, "", "me:hush", "refuses this name and password"},
		{"strange authentication", 401, "", "Negotiate", "", "me:hush", `not known here: "Negotiate"`},
		{"forbidden", 403, "", "", "", "me:hush", "refuses"},
		{"forbidden to strangers", 403, "", "", "", "", "lets nobody in without a name"},
		{"empty", 200, "multipart/x-mixed-replace; boundary=a", "", "", "", "ended without a picture"},
		{"no pictures", 200, "", "", "hello", "", "ended without a picture"},
		{"cut pictures", 200, "multipart/x-mixed-replace; boundary=a", "", string(still1(t)[:300]) + string(still1(t)[:300]), "", "2 cut"},
	} {
		srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{c.kind}
			if c.auth != "" {
				w.Header().Set("WWW-Authenticate", c.auth)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		address := srv.URL + "/%1B[31m"
		if c.user != "" {
			address = withUser(address, c.user)
		}
		s, err := Open(t.Context(), Options{URL: address})
		if err == nil {
			err = s.Next(t.Context(), &camera.Frame{})
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.expect) || strings.Contains(err.Error(), "hush") || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: %q, want %q", c.name, err, c.expect)
		}
	}
}

// What speaks something else, or packs its pictures, is told as that.
func TestOtherLanguages(t *testing.T) {
	for head, want := range map[string]string{
		"RTSP/1.0 400 Bad Request\r\n\r\n":                      "does not speak HTTP",
		"SSH-2.0-OpenSSH_9.2\r\n":                               "does not speak HTTP",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f": `packs what it sends ("gzip")`,
	} {
		s, err := Open(t.Context(), Options{URL: raw(t, func(c net.Conn) { fmt.Fprint(c, head) })})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "net/http") {
			t.Errorf("%q: %v, want %q", head, err, want)
		}
	}
}

// What a raw peer says in its head is not printed as it is either.
func TestTerminalEscapes(t *testing.T) {
	for _, head := range []string{
		"HTTP/1.1 200\x1b[2J OK\r\n\r\n", "\x1b[2J\r\n\r\n", "HTTP/1.1 500 \x1b[2J\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: http://\x1b[2J/\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: \x1b[2J/\x1b\r\nTransfer-Encoding: \x1b[2J\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: \x1b[2J\r\n\r\n",
		"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"\x1b[2J\"\r\n\r\n", "HTTP/1.1 200 OK\r\nX\x1b[2J\r\n\r\n",
	} {
		address := raw(t, func(c net.Conn) { fmt.Fprint(c, head) })
		s, err := Open(t.Context(), Options{URL: address})
		if err == nil {
			err = s.Next(t.Context(), &camera.Frame{})
			s.Close()
		}
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\n\r") {
			t.Errorf("%q: %q", head, err)
		}
	}
}

// raw runs a peer that gets to answer a request as it likes.
func raw(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	return "http://" + peertest.Listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			serve(c)
		}
	}) + "/"
}

// digestGuard answers 401 until a request proves that it knows the password,
// as RFC 7616 has it. Each nonce serves a few requests.
type digestGuard struct {
	serve  http.HandlerFunc
	nonces atomic.Int64
	given  atomic.Int64
	clear  atomic.Bool // a password came in the clear
	form   string      // of its header
}

func (g *digestGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := r.Header.Get("Authorization")
	if _, _, ok := r.BasicAuth(); ok {
		g.clear.Store(true)
	}
	field := func(name string) string {
		_, v, _ := strings.Cut(h, name+"=")
		v, _, _ = strings.Cut(strings.TrimPrefix(v, `"`), ",")
		return strings.Trim(v, `" `)
	}
	sum := func(s string) string { b := md5.Sum([]byte(s)); return hex.EncodeToString(b[:]) }
	nonce := fmt.Sprintf("n%d", g.nonces.Load())
	want := sum(strings.Join([]string{sum("me:cam:p@ss"), nonce, field("nc"), field("cnonce"), "auth", sum("GET:" + r.URL.RequestURI())}, ":"))
	if !strings.HasPrefix(h, "Digest ") || field("response") != want {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(cmp.Or(g.form, "%s"), fmt.Sprintf(`Digest realm="cam", nonce="%s", qop="auth", algorithm=MD5`, nonce)))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if g.given.Add(1)%3 == 0 {
		g.nonces.Add(1)
	}
	g.serve(w, r)
}

func TestAuthentication(t *testing.T) {
	file := still1(t)
	snapshot := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(file)
	}
	guard := &digestGuard{serve: snapshot}
	first, last, comma := &digestGuard{serve: snapshot, form: `%s, Basic realm="cam"`}, &digestGuard{serve: snapshot, form: `basic realm="a, b",  %s`}, &digestGuard{serve: snapshot, form: "%s,"}
	for name, h := range map[string]http.Handler{
		"digest": guard, "digest and basic in one header": first, "basic and digest": last, "digest and a comma": comma,
		"basic": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, p, _ := r.BasicAuth(); u != "me" || p != "p@ss" {
				w.Header().Set("WWW-Authenticate", `Basic realm="cam"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			snapshot(w, r)
		}),
		"nobody asks": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Error("a password was sent to a camera that does not want any")
			}
			snapshot(w, r)
		}),
	} {
		srv := answer(t, h.ServeHTTP)
		// The nonce of the digest changes on the way.
		s := start(t, Options{URL: withUser(srv.URL+"/shot.jpg?size=1", "me:p%40ss")})
		var f camera.Frame
		for range 5 {
			if err := s.Next(t.Context(), &f); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		s.Close()
	}
	for _, g := range []*digestGuard{guard, first, last, comma} {
		if g.clear.Load() || g.nonces.Load() == 0 {
			t.Errorf("%q: password in the clear %v, nonces %d", g.form, g.clear.Load(), g.nonces.Load())
		}
	}
}

// A camera that gives one picture each time is asked again and again, not more
// often than it may be; a bad picture costs itself.
func TestSnapshots(t *testing.T) {
	file := still1(t)
	for _, kind := range []string{"image/jpeg", "application/octet-stream", ""} {
		var asked atomic.Int64
		srv := answer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{kind}
			b := file
			if n := asked.Add(1); n == 2 && kind == "image/jpeg" {
				b = file[:len(file)/2]
			}
			_, _ = w.Write(b)
		})
		s := start(t, Options{URL: srv.URL, Rate: 1000})
		begin := time.Now()
		var f camera.Frame
		for i := range 4 {
			if err := s.Next(t.Context(), &f); err != nil {
				t.Fatalf("%q: picture %d: %v", kind, i+1, err)
			}
		}
		if d := time.Since(begin); d < 3*time.Second/fastest {
			t.Errorf("%q: four pictures in %v", kind, d)
		}
		if d := s.Dropped(); kind == "image/jpeg" && d.Counts[camera.Cut] != 1 {
			t.Errorf("dropped: %v", d)
		}
		srv.CloseClientConnections()
		s.Close()
	}
}

// A camera's own certificate is trusted when it is named, and only then.
func TestCA(t *testing.T) {
	file := still1(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	srv := peertest.HTTPS(t, ca, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(file) })
	s := start(t, Options{URL: srv.URL, CA: ca})
	if err := s.Next(t.Context(), &camera.Frame{}); err != nil {
		t.Error(err)
	}
	s.Close()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	plain := answer(t, func(w http.ResponseWriter, _ *http.Request) {})
	mute := httptest.NewUnstartedServer(nil)
	mute.Listener = onlyTLS{mute.Listener}
	mute.Config.ErrorLog = srv.Config.ErrorLog
	mute.StartTLS()
	defer mute.Close()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{URL: srv.URL}, "camera.ca"},
		{Options{URL: srv.URL, CA: empty}, "no certificate"},
		{Options{URL: srv.URL, CA: "/nonexistent"}, "no such file"},
		{Options{URL: strings.Replace(srv.URL, "https", "http", 1)}, "begin the address with https://"},
		{Options{URL: strings.Replace(mute.URL, "https", "http", 1)}, "begin the address with https://"},
		{Options{URL: strings.Replace(plain.URL, "http", "https", 1)}, "begin the address with http://"},
	} {
		if s, err := Open(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
			if err == nil {
				s.Close()
			}
		}
	}
}

// onlyTLS hangs up without a word at whoever does not begin with a handshake
// of TLS.
type onlyTLS struct{ net.Listener }

func (l onlyTLS) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		b := bufio.NewReader(c)
		if first, err := b.Peek(1); err == nil && first[0] == 22 {
			return &peeked{c, b}, nil
		}
		c.Close()
	}
}

type peeked struct {
	net.Conn
	b *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.b.Read(b) }

// Answers that are not quite HTTP are understood.
func TestAlmostHTTP(t *testing.T) {
	file := string(still1(t))
	for _, head := range []string{"ICY 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200\r\n\r\n"} {
		address := raw(t, func(c net.Conn) {
			for _, b := range []byte(head) { // in the smallest pieces
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
			fmt.Fprint(c, file, "\r\n--frame\r\n", file)
		})
		s := start(t, Options{URL: address})
		if err := s.Next(t.Context(), &camera.Frame{}); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		s.Close()
	}
}

// A stream of nothing but bad pictures says what was wrong with them.
func TestReasons(t *testing.T) {
	arithmetic := bytes.Replace(still1(t), []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1)
	address := raw(t, func(c net.Conn) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		for {
			if _, err := c.Write(arithmetic); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	s := start(t, Options{URL: address, Timeout: 300 * time.Millisecond})
	defer s.Close()
	err := s.Next(t.Context(), &camera.Frame{})
	if err == nil || !strings.Contains(err.Error(), "unsupported") || !strings.Contains(err.Error(), "arithmetic-coded") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Next(ctx, &camera.Frame{}); err != context.Canceled {
		t.Errorf("%v", err)
	}
}
