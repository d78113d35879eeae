package httpmjpeg

import (
	"bytes"
	"context"
	"io"
	"net"
)

// Some cameras and phones answer as Shoutcast servers do, "ICY 200 OK". That is
// HTTP/1.0 in all but name.
var icy, http10 = []byte("ICY "), []byte("HTTP/1.0 ")

// dial connects, and reads such an answer as what it is.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &greeter{Conn: c}, nil
}

// greeter mends the first words of an answer.
type greeter struct {
	net.Conn
	begun bool
	first []byte // of the answer, and not yet read
}

func (g *greeter) Read(p []byte) (int, error) {
	if !g.begun {
		word := make([]byte, len(icy))
		n, err := io.ReadFull(g.Conn, word)
		g.begun, g.first = true, word[:n]
		if n == 0 {
			return 0, err
		}
		if bytes.Equal(word, icy) {
			g.first = http10
		}
	}
	if len(g.first) > 0 {
		n := copy(p, g.first)
		g.first = g.first[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}
