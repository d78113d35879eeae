package status

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// guard decides who may ask: by the name they call the device, by how often
// they ask, and by the token.
type guard struct {
	local   bool
	hosts   []string
	token   [sha256.Size]byte
	needed  bool
	session string // what the cookie of a page that has shown the token holds
	asking  *limiter
	failing *limiter
}

const cookieName = "mien-session"

func newGuard(o Options, local bool) *guard {
	g := &guard{local: local, hosts: o.Hosts, needed: o.Token != "", token: digest(o.Token),
		asking:  newLimiter(rate.Limit(o.Requests), int(3*o.Requests)+1),
		failing: newLimiter(0.5, 8),
	}
	// A session lasts as long as the program: the key is new at each start.
	key := make([]byte, 32)
	rand.Read(key) // never fails since Go 1.24
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(o.Token))
	g.session = base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	return g
}

// called says whether host, as the client wrote it, is a name of this device.
// A page of another site can make the browser resolve its own name to this
// address and then read the answers as its own ("DNS rebinding"); it cannot
// make the browser send another name than that one.
func (g *guard) called(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || slices.Contains(g.hosts, host) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || !g.local)
}

// hashed begins a token that is given as its SHA-256 in hexadecimal: who reads
// the configuration then still does not know the token.
const hashed = "sha256:"

// digest returns the hash of the token that clients have to show.
func digest(token string) [sha256.Size]byte {
	if code, ok := strings.CutPrefix(token, hashed); ok {
		var sum [sha256.Size]byte
		if b, err := hex.DecodeString(code); err == nil && copy(sum[:], b) == sha256.Size && len(b) == sha256.Size {
			return sum
		}
	}
	return sha256.Sum256([]byte(token))
}

func checkToken(token string) error {
	if code, ok := strings.CutPrefix(token, hashed); ok {
		if b, err := hex.DecodeString(code); err != nil || len(b) != sha256.Size {
			return fmt.Errorf("status: the %w is wrong: %s has to be followed by %d hexadecimal digits (printf %%s TOKEN | sha256sum prints them)", ErrToken, hashed, 2*sha256.Size)
		}
		return nil
	}
	if token != "" && len(token) < minToken {
		return fmt.Errorf("status: the %w has %d characters, at least %d are needed (head -c16 /dev/urandom | xxd -p makes one)", ErrToken, len(token), minToken)
	}
	return nil
}

func (g *guard) tokenOK(t string) bool {
	got := sha256.Sum256([]byte(t))
	return subtle.ConstantTimeCompare(got[:], g.token[:]) == 1
}

// allowed says whether r shows the token, or a session made from it.
func (g *guard) allowed(r *http.Request) bool {
	if !g.needed {
		return true
	}
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return g.tokenOK(t)
	}
	c, err := r.Cookie(cookieName)
	return err == nil && subtle.ConstantTimeCompare([]byte(c.Value), []byte(g.session)) == 1
}

// limiter gives each address its own bucket, and remembers a bounded number.
type limiter struct {
	mu    sync.Mutex
	limit rate.Limit
	burst int
	known map[string]*list.Element
	order *list.List // most recent first
}

type bucket struct {
	who string
	*rate.Limiter
}

const maxAddresses = 1024

func newLimiter(limit rate.Limit, burst int) *limiter {
	return &limiter{limit: limit, burst: burst, known: map[string]*list.Element{}, order: list.New()}
}

// bucketOf returns the bucket of r's address. All addresses of an IPv6 /64
// share one: that is what a single subscriber has.
func (l *limiter) bucketOf(r *http.Request) *rate.Limiter {
	who, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		who = r.RemoteAddr
	}
	if ip := net.ParseIP(who); ip != nil && ip.To4() == nil {
		who = ip.Mask(net.CIDRMask(64, 128)).String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.known[who]; ok {
		l.order.MoveToFront(e)
		return e.Value.(bucket).Limiter
	}
	if l.order.Len() >= maxAddresses {
		old := l.order.Back()
		delete(l.known, old.Value.(bucket).who)
		l.order.Remove(old)
	}
	b := bucket{who, rate.NewLimiter(l.limit, l.burst)}
	l.known[who] = l.order.PushFront(b)
	return b.Limiter
}

// limitListener holds at most n connections; one more is closed at once, so
// that a flood cannot fill the kernel's queue with waiting clients.
func limitListener(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, max(n, 1))}
}

type limited struct {
	net.Listener
	free chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &counted{Conn: c, done: func() { <-l.free }}, nil
		default:
			c.Close()
		}
	}
}

type counted struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *counted) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
