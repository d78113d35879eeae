package page

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// idleAfter is how long a connection has to be without a request before
// another may take its place.
const idleAfter = 2 * time.Second

// limitListener holds at most n connections, and of one address at most seven
// eighths of them, so that nobody can shut all others out. One more takes the
// place of the one that has been idle longest, or is closed at once: a flood
// cannot fill the kernel's queue with waiting clients. Whole tells of
// addresses that stand for many clients, which proxies do.
func limitListener(l net.Listener, n int, whole func(netip.Addr) bool) *limited {
	n = max(n, 1)
	return &limited{Listener: l, most: n, each: (7*n + 7) / 8, whole: whole, held: map[*counted]struct{}{}}
}

type limited struct {
	net.Listener
	most, each int
	whole      func(netip.Addr) bool
	mu         sync.Mutex
	held       map[*counted]struct{}
}

// counted is a connection that is held.
type counted struct {
	net.Conn
	l    *limited
	from netip.Addr
	idle time.Time // since when it has no request; zero while it has one
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		x := &counted{Conn: c, l: l, from: subscriber(addrOf(c.RemoteAddr().String())), idle: time.Now()}
		if l.admit(x) {
			return x, nil
		}
		c.Close()
	}
}

func (l *limited) admit(x *counted) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := 0
	for c := range l.held {
		if c.from == x.from {
			same++
		}
	}
	switch {
	case same >= l.each && !l.whole(x.from):
		if !l.displace(func(c *counted) bool { return c.from == x.from }) {
			return false
		}
	case len(l.held) >= l.most:
		if !l.displace(func(*counted) bool { return true }) {
			return false
		}
	}
	l.held[x] = struct{}{}
	return true
}

// displace closes the connection that has been idle longest, if one has been
// long enough.
func (l *limited) displace(may func(*counted) bool) bool {
	var oldest *counted
	for c := range l.held {
		if may(c) && !c.idle.IsZero() && (oldest == nil || c.idle.Before(oldest.idle)) {
			oldest = c
		}
	}
	if oldest == nil || time.Since(oldest.idle) < idleAfter {
		return false
	}
	delete(l.held, oldest)
	oldest.Conn.Close()
	return true
}

// state is told by the server what a connection does.
func (l *limited) state(c net.Conn, s http.ConnState) {
	x, ok := c.(*counted)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s {
	case http.StateActive:
		x.idle = time.Time{}
	case http.StateIdle:
		x.idle = time.Now()
	}
}

func (c *counted) Close() error {
	c.l.mu.Lock()
	delete(c.l.held, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}
