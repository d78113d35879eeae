// Package page is what the board's page and the hub's share: who may ask, how a
// request is answered or refused, and how a page looks. What it serves listens on
// loopback alone, or asks for a token.
package page

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Options say where to listen and who may ask.
type Options struct {
	// Addr is host:port, or :port for every network. A name or an address that
	// is not loopback needs a Token.
	Addr string
	// Token is what clients have to show, as "Authorization: Bearer TOKEN" or
	// typed into the page. At least 16 characters, or sha256: and its hash. If
	// set it is asked for on loopback too.
	Token string
	// Hosts are further names by which clients may call the server, beside its
	// addresses and localhost: a page of another site can point a name of its
	// own at this server, and that name is refused.
	Hosts []string
	// Proxies are the addresses and networks of reverse proxies whose word
	// about their clients is believed, for limits and sessions. What comes
	// through any proxy needs the token.
	Proxies []string
	// Requests a second that one address may make, in bursts of three times as
	// many.
	Requests float64
	// MaxConns is how many connections are held at all.
	MaxConns int
	// Setup says that without a token nothing is shown but the way to give one.
	// Then the address may be one that other machines reach.
	Setup bool
	Words Words
}

// Words are how answers speak of the server, and names that two servers on one
// machine may not share.
type Words struct {
	It     string // what it is: "device"
	Token  string // where its token is set
	Hosts  string // where its names are added
	Cookie string // of its sessions: browsers do not tell ports apart
}

// minToken is the shortest token: 16 hexadecimal digits are 64 bits.
const minToken = 16

// ErrToken is wrapped by errors about the token, and not the address.
var ErrToken = errors.New("token")

// Check says what is wrong with the options, as New does.
func (o *Options) Check() error {
	_, err := o.check()
	return err
}

// CheckAddress says why nobody can listen on an address.
func CheckAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("page: address %q: %w (want host:port, for instance 127.0.0.1:8080)", addr, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return fmt.Errorf("page: address %q: port %q is not between 1 and 65535", addr, port)
	}
	return nil
}

func (o *Options) check() (local bool, err error) {
	if err := CheckAddress(o.Addr); err != nil {
		return false, err
	}
	for _, p := range o.Proxies {
		if _, err := ParseProxy(p); err != nil {
			return false, err
		}
	}
	if err := CheckToken(o.Token); err != nil {
		return false, err
	}
	if local = Loopback(o.Addr); !local && o.Token == "" && !o.Setup {
		return false, fmt.Errorf("page: %q can be reached from other machines: set a token, or listen on 127.0.0.1", o.Addr)
	}
	return local, nil
}

// Loopback reports whether an address is for this machine alone.
func Loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr) // empty where it is none
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Route is one path.
type Route struct {
	Pattern string
	Serve   http.HandlerFunc
	Open    bool  // needs no token: it is the same for everybody and says nothing
	Most    int64 // bytes of body that are read
}

const mostBody = 4 << 10

// Open is a path that is the same for everybody.
func Open(pattern string, serve http.HandlerFunc) Route { return Route{pattern, serve, true, mostBody} }

// Closed is a path for those who may ask.
func Closed(pattern string, serve http.HandlerFunc) Route {
	return Route{pattern, serve, false, mostBody}
}

// writeTimeout is how long a client may leave an answer unread.
const writeTimeout = 10 * time.Second

// Handler serves the routes to those who may ask.
func (g *Guard) Handler(routes []Route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		serve := r.Serve
		if !r.Open {
			serve = g.authorised(serve)
		}
		mux.HandleFunc(r.Pattern, func(w http.ResponseWriter, asked *http.Request) {
			asked.Body = http.MaxBytesReader(w, asked.Body, r.Most)
			serve(w, asked)
		})
	}
	// Refuses what a page of another site makes a browser send, except reading.
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Refuse(w, http.StatusForbidden, "cross-origin", "a page of another site may not change anything here")
	}))
	return g.checked(cross.Handler(mux))
}

// checked applies what holds for every request.
func (g *Guard) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if !g.called(r.Host) {
			Refuse(w, http.StatusMisdirectedRequest, "host", fmt.Sprintf("this %s is not called %.80q; use its address, or add the name to %s", g.o.Words.It, r.Host, g.o.Words.Hosts))
			return
		}
		if !g.asking.bucketOf(g.Client(r)).Allow() {
			w.Header().Set("Retry-After", "1")
			Refuse(w, http.StatusTooManyRequests, "rate", "too many requests from this address")
			return
		}
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a recorder in a test has none
		next.ServeHTTP(w, r)
	})
}

// secure forbids the browser everything that the page does not need: no
// script, style or picture from elsewhere, no frame around it, no plug-in.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

type sessionKey struct{}

// SessionOf returns the session in which r is asked; nil when it is in none.
func SessionOf(r *http.Request) *Session {
	s, _ := r.Context().Value(sessionKey{}).(*Session)
	return s
}

func (g *Guard) authorised(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, session := g.judge(r)
		if v != welcome {
			g.deny(w, v)
			return
		}
		if session != nil {
			r = r.WithContext(context.WithValue(r.Context(), sessionKey{}, session))
		}
		next(w, r)
	}
}

// deny answers a request that is not welcome.
func (g *Guard) deny(w http.ResponseWriter, v verdict) {
	switch v {
	case lockedOut:
		w.Header().Set("Retry-After", "2")
		Refuse(w, http.StatusTooManyRequests, "rate", "too many wrong tokens from this address: nothing is looked at for a while")
	case proxied:
		Refuse(w, http.StatusForbidden, "proxy", "this came through a proxy, behind which everybody looks the same: set "+g.o.Words.Token)
	case unclaimed:
		Refuse(w, http.StatusForbidden, "unclaimed", "nobody has set this device up yet: open its page, which begins with that")
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="mien"`)
		Refuse(w, http.StatusUnauthorized, "token", "this "+g.o.Words.It+" asks for its token (Authorization: Bearer TOKEN)")
	}
}

// LogIn gives a page that shows the token a cookie, because a page's event
// stream cannot carry a header. Scripts cannot read the cookie, and no other
// site can make the browser send it.
func (g *Guard) LogIn(w http.ResponseWriter, r *http.Request) {
	if !g.Needed() {
		if v, _ := g.judge(r); v != welcome {
			g.deny(w, v)
			return
		}
	}
	failures := g.failing.bucketOf(g.Client(r))
	if g.Needed() && failures.Tokens() < 1 {
		g.deny(w, lockedOut)
		return
	}
	var body struct {
		Token string `json:"token"`
	}
	if !Receive(w, r, &body) {
		return
	}
	if g.Needed() && !g.tokenOK(body.Token) {
		failures.Allow()
		g.deny(w, wrong)
		return
	}
	g.Begin(w, r)
}

// Begin gives the client a session.
func (g *Guard) Begin(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(g.o.Words.Cookie); err == nil {
		g.sessions.end(c.Value) // one at a time
	}
	http.SetCookie(w, &http.Cookie{Name: g.o.Words.Cookie, Value: g.sessions.begin(), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: g.secure(r), MaxAge: int(sessionLife / time.Second)})
	w.WriteHeader(http.StatusNoContent)
}

// LogOut ends the session, and the streams that it watches.
func (g *Guard) LogOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(g.o.Words.Cookie); err == nil {
		g.sessions.end(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: g.o.Words.Cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
	w.WriteHeader(http.StatusNoContent)
}

// Listen opens the address of the options. It fails at once when the address
// is taken, so that the program can say so before anything else starts.
func (g *Guard) Listen() (net.Listener, error) {
	l, err := net.Listen("tcp", g.o.Addr)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return limitListener(l, g.o.MaxConns, g.trusted), nil
}

var silent = log.New(io.Discard, "", 0)

// Serve answers on l until ctx ends, then closes it and every connection. It
// returns nil after that, and an error when l fails by itself.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          silent,
	}
	if l, ok := l.(*limited); ok {
		hs.ConnState = l.state
	}
	stop := context.AfterFunc(ctx, func() { hs.Close() }) // streams never end by themselves: there is nothing to wait for
	defer stop()
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

//go:embed web
var files embed.FS

// Assets are what the pages share: colours and shapes, the sign, and the script
// with what their scripts begin with.
func Assets() []Route {
	return []Route{
		Open("GET /style.css", Asset(files, "web/style.css", "text/css; charset=utf-8")),
		Open("GET /common.js", Asset(files, "web/common.js", "text/javascript; charset=utf-8")),
		Open("GET /icon.svg", Asset(files, "web/icon.svg", "image/svg+xml")),
	}
}
