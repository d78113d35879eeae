package page

import (
	"container/list"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// Guard decides who may ask: by the name they call the server, by how often
// they ask, and by the token.
type Guard struct {
	o        Options
	local    bool // listens on loopback alone
	hosts    []string
	proxies  []netip.Prefix                    // whose word about their clients is believed
	key      atomic.Pointer[[sha256.Size]byte] // the digest of the token; nil while there is none
	sessions *sessions
	asking   *limiter
	failing  *limiter
}

// New checks the options.
func New(o Options) (*Guard, error) {
	local, err := o.check()
	if err != nil {
		return nil, err
	}
	g := &Guard{o: o, local: local, sessions: newSessions(),
		asking:  newLimiter(rate.Limit(o.Requests), int(3*o.Requests)+1),
		failing: newLimiter(0.5, 10),
	}
	if o.Token != "" {
		g.SetToken(o.Token)
	}
	for _, h := range o.Hosts {
		g.hosts = append(g.hosts, plain(h))
	}
	for _, p := range o.Proxies {
		if prefix, err := ParseProxy(p); err == nil { // check has looked
			g.proxies = append(g.proxies, prefix)
		}
	}
	return g, nil
}

// Hashed begins a token that is given as its SHA-256 in hexadecimal: who reads
// the configuration then still does not know the token.
const Hashed = "sha256:"

// digest returns the hash of the token that clients have to show.
func digest(token string) [sha256.Size]byte {
	if code, ok := strings.CutPrefix(token, Hashed); ok {
		var sum [sha256.Size]byte
		if b, err := hex.DecodeString(code); err == nil && copy(sum[:], b) == sha256.Size && len(b) == sha256.Size {
			return sum
		}
	}
	return sha256.Sum256([]byte(token))
}

// CheckToken says what is wrong with a token.
func CheckToken(token string) error {
	if code, ok := strings.CutPrefix(token, Hashed); ok {
		if b, err := hex.DecodeString(code); err != nil || len(b) != sha256.Size {
			return fmt.Errorf("page: the %w is wrong: %s has to be followed by %d hexadecimal digits (printf %%s TOKEN | sha256sum prints them)", ErrToken, Hashed, 2*sha256.Size)
		}
		return nil
	}
	if strings.TrimSpace(token) != token {
		return fmt.Errorf("page: the %w begins or ends with a blank, which requests leave away", ErrToken)
	}
	if token != "" && len(token) < minToken {
		return fmt.Errorf("page: the %w has %d characters, at least %d are needed (head -c16 /dev/urandom | xxd -p makes one)", ErrToken, len(token), minToken)
	}
	return nil
}

// ParseProxy reads the address of a proxy, 10.0.0.7, or of a network of them,
// 10.0.0.0/24.
func ParseProxy(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("page: proxy %q is neither an address nor a network such as 10.0.0.0/24", s)
	}
	return p.Masked(), nil
}

// plain is a host name without port, brackets and last dot, in lower case.
func plain(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// called says whether host, as the client wrote it, is a name of this server.
// A page of another site can make the browser resolve its own name to this
// address and then read the answers as its own ("DNS rebinding"); it cannot
// make the browser send another name than that one.
func (g *Guard) called(host string) bool {
	host = plain(host)
	if host == "" {
		return false
	}
	if host == "localhost" || slices.Contains(g.hosts, host) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || !g.local)
}

// forwardings are the headers with which a proxy says that it asks for
// somebody else (RFC 7239, RFC 9110 for Via, and what there was before).
var forwardings = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
	"X-Real-Ip", "X-Client-Ip", "X-Original-Forwarded-For", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "Via"}

// Forwarded says whether r came through a proxy.
func Forwarded(r *http.Request) bool {
	return slices.ContainsFunc(forwardings, func(h string) bool { return len(r.Header.Values(h)) > 0 })
}

// Client is the address for which r is asked: the one that it comes from, or
// behind trusted proxies the nearest that is none of them.
func (g *Guard) Client(r *http.Request) netip.Addr {
	at := addrOf(r.RemoteAddr)
	if !g.trusted(at) {
		return at
	}
	hops := named(r)
	for i := len(hops) - 1; i >= 0; i-- {
		hop := addrOf(hops[i])
		if !hop.IsValid() { // hidden, or nonsense: the proxy itself answers for it
			return at
		}
		if at = hop; !g.trusted(hop) {
			break
		}
	}
	return at
}

// named lists the clients that the headers name, the nearest last.
func named(r *http.Request) (hops []string) {
	for _, v := range r.Header.Values("X-Forwarded-For") {
		hops = append(hops, strings.Split(v, ",")...)
	}
	if len(hops) > 0 {
		return hops
	}
	for _, v := range r.Header.Values("Forwarded") {
		for _, hop := range strings.Split(v, ",") {
			who := ""
			for _, pair := range strings.Split(hop, ";") {
				if k, is, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(k, "for") {
					who = strings.Trim(is, `"`)
				}
			}
			hops = append(hops, who)
		}
	}
	if len(hops) == 0 {
		hops = r.Header.Values("X-Real-Ip")
	}
	return hops
}

// addrOf reads an address with or without port; the zero address if it is
// none.
func addrOf(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	}
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

func (g *Guard) trusted(ip netip.Addr) bool {
	return ip.IsValid() && slices.ContainsFunc(g.proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// secure says whether the client asks over TLS, as far as is known.
func (g *Guard) secure(r *http.Request) bool {
	return r.TLS != nil || g.trusted(addrOf(r.RemoteAddr)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// SetToken makes token the one that clients have to show.
func (g *Guard) SetToken(token string) {
	sum := digest(token)
	g.key.Store(&sum)
}

// Needed reports whether there is a token.
func (g *Guard) Needed() bool { return g.key.Load() != nil }

func (g *Guard) tokenOK(t string) bool {
	got, key := sha256.Sum256([]byte(t)), g.key.Load()
	return key != nil && subtle.ConstantTimeCompare(got[:], key[:]) == 1
}

// verdict is what the guard says of a request.
type verdict int

const (
	welcome   verdict = iota
	stranger          // shows nothing
	wrong             // shows a wrong token or a session that is none
	lockedOut         // has shown too many wrong ones: what it shows is not looked at
	proxied           // came through a proxy though no token is set
	unclaimed         // nobody has given the server a token yet
)

// judge says whether r shows the token, or a session begun with it.
func (g *Guard) judge(r *http.Request) (verdict, *Session) {
	if !g.Needed() {
		if g.o.Setup {
			return unclaimed, nil
		}
		if Forwarded(r) {
			return proxied, nil
		}
		return welcome, nil
	}
	bearer, shown := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	c, err := r.Cookie(g.o.Words.Cookie)
	if !shown && err != nil {
		return stranger, nil
	}
	failures := g.failing.bucketOf(g.Client(r))
	if failures.Tokens() < 1 {
		return lockedOut, nil
	}
	if shown {
		if g.tokenOK(bearer) {
			return welcome, nil
		}
	} else if s := g.sessions.find(c.Value); s != nil {
		return welcome, s
	}
	failures.Allow()
	return wrong, nil
}

// limiter gives each client its own bucket, and remembers a bounded number.
type limiter struct {
	mu    sync.Mutex
	limit rate.Limit
	burst int
	known map[netip.Addr]*list.Element
	order *list.List // most recent first
}

type bucket struct {
	who netip.Addr
	*rate.Limiter
}

const maxAddresses = 1024

func newLimiter(limit rate.Limit, burst int) *limiter {
	return &limiter{limit: limit, burst: burst, known: map[netip.Addr]*list.Element{}, order: list.New()}
}

// subscriber is the address by which limits are counted. All addresses of an
// IPv6 /64 are one: that is what a single subscriber has.
func subscriber(ip netip.Addr) netip.Addr {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// bucketOf returns the bucket of a client.
func (l *limiter) bucketOf(who netip.Addr) *rate.Limiter {
	who = subscriber(who)
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
