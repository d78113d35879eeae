package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mien/runtime/peertest"
)

// serve is a server that says something when somebody comes.
func serve(t testing.TB, says []byte) string {
	t.Helper()
	return "nats://" + peertest.Listen(t, func(c net.Conn) {
		_, _ = c.Write(says)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, c)
	})
}

// Whatever a stranger in the hub's place says, it is an error.
func TestStrangers(t *testing.T) {
	const in = "INFO {}\r\nPONG\r\n"
	for says, want := range map[string]string{
		"":                                         "timeout",
		"SSH-2.0-OpenSSH\r\n":                      "no NATS server",
		"INFO {\r\n":                               "no NATS server",
		"INFO {}\r\n-ERR 'no'\r\n":                 "no",
		in + "MSG a\r\n":                           "a message of 1 words",
		in + "MSG a 0 99999999999\r\n":             "bytes",
		in + "MSG a 0 -1\r\n":                      "bytes",
		in + "HMSG a 0 9 3\r\nabc\r\n":             "headers of",
		in + "-ERR 'Stale Connection'\r\n":         "Stale Connection",
		in + strings.Repeat("x", 1<<20):            "buffer full",
		"INFO {\"tls_required\":true}\r\nmore\r\n": "clear",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		c, err := Dial(ctx, Options{Servers: []string{serve(t, []byte(says))}, Report: func(error) {}})
		if err == nil {
			<-c.Done()
			err = c.Err()
		}
		if err == nil || !strings.Contains(err.Error(), want) && !(want == "timeout" && errors.Is(err, io.EOF)) {
			t.Errorf("%.40q: %v, want %q", says, err, want)
		}
		cancel()
	}
}

// silent is a connection on which nothing can be heard but what is in r.
type silent struct {
	net.Conn
	r io.Reader
}

func (s silent) Read(b []byte) (int, error)     { return s.r.Read(b) }
func (silent) Write(b []byte) (int, error)      { return len(b), nil }
func (silent) Close() error                     { return nil }
func (silent) SetReadDeadline(time.Time) error  { return nil }
func (silent) SetWriteDeadline(time.Time) error { return nil }

// What a server says ends in an error, and never in a panic.
func FuzzServer(f *testing.F) {
	for _, s := range []string{"MSG a.b 0 3\r\nabc\r\n", "HMSG a 1 r 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", "PING\r\nPONG\r\n+OK\r\n", "-ERR 'Permissions Violation for Publish to \"x\"'\r\n",
		"INFO {}\r\n", "HMSG a 0 30 30\r\nNATS/1.0 503\r\nNats-Msg-Id: 7\r\n\r\n\r\n", "MSG  0 0\r\n\r\n", "MSG a 0 2097152\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		c := &Conn{o: Options{Report: func(error) {}}, conn: silent{r: bytes.NewReader(says)}, reply: make(chan any, 1), wants: "a.b", done: make(chan struct{})}
		c.r = bufio.NewReader(c.conn)
		c.hears = map[string]func(*Message){"1": func(m *Message) { m.Header("Nats-Msg-Id") }}
		c.read()
		if c.Err() == nil {
			t.Error("it has no end")
		}
	})
}
