// Package peertest is the other end of a connection for tests: a server that does
// with each connection as the test likes.
package peertest

import (
	"net"
	"testing"
)

// Listen serves at a free port of this machine until the test ends, and returns
// its address as HOST:PORT.
func Listen(t testing.TB, peer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l, peer)
	return l.Addr().String()
}

// Serve gives each connection to peer, in a goroutine of its own, and closes it
// when peer returns. The listener is closed when the test ends.
func Serve(t testing.TB, l net.Listener, peer func(net.Conn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				peer(c)
			}()
		}
	}()
}
