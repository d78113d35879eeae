package page

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const secretToken = "0123456789abcdef"

// site is a guard with something to guard.
type site struct {
	*Guard
	handler http.Handler
}

func server(t *testing.T, o Options) *site {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:8080"
	}
	if o.Requests == 0 {
		o.Requests = 20
	}
	o.Words = Words{It: "device", Token: "status.token on the device", Hosts: "status.hosts", Cookie: "test-session"}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(http.ResponseWriter, *http.Request) {}
	return &site{g, g.Handler(append(Assets(), Open("GET /{$}", nothing), Closed("GET /v1/info", nothing), Closed("PUT /v1/consent", nothing),
		Open("POST /v1/session", g.LogIn), Open("DELETE /v1/session", g.LogOut),
		Closed("GET /v1/events", func(_ http.ResponseWriter, r *http.Request) { <-SessionOf(r).Ended() })))}
}

func ask(s *site, method, path, host string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(`{"given":true}`))
	r.Host, r.RemoteAddr = host, "127.0.0.1:5000"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func shows(kv ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i+1 < len(kv); i += 2 {
			r.Header.Set(kv[i], kv[i+1])
		}
	}
}

// Behind a proxy on loopback everybody comes from loopback: what a proxy
// forwards needs the token, whichever header says that it does.
func TestForwardedNeedsToken(t *testing.T) {
	open, closed := server(t, Options{Requests: 1e6}), server(t, Options{Token: secretToken, Requests: 1e6})
	for _, path := range []string{"/v1/info", "/v1/events"} {
		for _, h := range append([]string{"x-forwarded-for", "VIA"}, forwardings...) {
			if w := ask(open, "GET", path, "localhost", shows(h, "203.0.113.9")); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "status.token") {
				t.Errorf("%s with %s: %d %s", path, h, w.Code, w.Body)
			}
			if w := ask(closed, "GET", path, "localhost", shows(h, "203.0.113.9")); w.Code != http.StatusUnauthorized && w.Code != http.StatusTooManyRequests {
				t.Errorf("%s with %s and a token set: %d", path, h, w.Code)
			}
		}
	}
	if w := ask(open, "PUT", "/v1/consent", "localhost", shows("X-Forwarded-For", "")); w.Code != http.StatusForbidden {
		t.Errorf("consent through a proxy: %d", w.Code)
	}
	if w := ask(open, "POST", "/v1/session", "localhost", shows("Forwarded", "for=1.2.3.4")); w.Code != http.StatusForbidden {
		t.Errorf("a session through a proxy: %d", w.Code)
	}
	if w := ask(server(t, Options{Token: secretToken}), "GET", "/v1/info", "localhost", shows("Authorization", "Bearer "+secretToken, "X-Forwarded-For", "203.0.113.9")); w.Code != 200 {
		t.Errorf("with the token: %d", w.Code)
	}
	if w := ask(open, "GET", "/v1/info", "localhost", nil); w.Code != 200 {
		t.Errorf("without a proxy: %d", w.Code)
	}
}

// The client is what a trusted proxy says, and nobody else's word counts.
func TestClientBehindProxies(t *testing.T) {
	g := server(t, Options{Token: secretToken, Proxies: []string{"127.0.0.1", "10.0.0.0/24", "fd00::/8"}})
	for _, c := range []struct {
		from, want string
		headers    []string
	}{
		{"127.0.0.1:5", "127.0.0.1", nil},
		{"127.0.0.1:5", "203.0.113.9", []string{"X-Forwarded-For", "203.0.113.9"}},
		{"127.0.0.1:5", "203.0.113.9", []string{"X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.0.0.7"}}, // the client made the first up
		{"127.0.0.1:5", "203.0.113.9", []string{"Forwarded", `for=6.6.6.6, For="203.0.113.9:4711";proto=https`}},
		{"127.0.0.1:5", "2001:db8::1", []string{"Forwarded", `for="[2001:db8::1]:9"`}},
		{"127.0.0.1:5", "203.0.113.9", []string{"X-Real-Ip", "203.0.113.9"}},
		{"[::ffff:127.0.0.1]:5", "203.0.113.9", []string{"X-Forwarded-For", "203.0.113.9"}},
		{"[fd00::1]:5", "203.0.113.9", []string{"X-Forwarded-For", "203.0.113.9"}},
		{"127.0.0.1:5", "127.0.0.1", []string{"X-Forwarded-For", "unknown"}},
		{"127.0.0.1:5", "10.0.0.7", []string{"X-Forwarded-For", "10.0.0.7"}},
		{"192.0.2.1:5", "192.0.2.1", []string{"X-Forwarded-For", "203.0.113.9"}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.from
		shows(c.headers...)(r)
		if got := g.Client(r); got != netip.MustParseAddr(c.want) {
			t.Errorf("from %s with %v: %s, want %s", c.from, c.headers, got, c.want)
		}
	}
	for _, p := range []string{"", "hall", "10.0.0.0/33", "10.0.0.1:80"} {
		if _, err := New(Options{Addr: "127.0.0.1:80", Proxies: []string{p}}); err == nil {
			t.Errorf("proxy %q is accepted", p)
		}
	}
}

// Limits are counted by client: one that guesses behind a trusted proxy locks
// itself out and nobody else; without trust all behind it are one.
func TestLimitsArePerClient(t *testing.T) {
	for trusted, want := range map[string]int{"127.0.0.1": 200, "127.0.0.2": 429} {
		s := server(t, Options{Token: secretToken, Requests: 1000, Proxies: []string{trusted}})
		for i := range 50 {
			ask(s, "GET", "/v1/info", "localhost", shows("Authorization", fmt.Sprint("Bearer ", i), "X-Forwarded-For", "203.0.113.9"))
		}
		w := ask(s, "GET", "/v1/info", "localhost", shows("Authorization", "Bearer "+secretToken, "X-Forwarded-For", "203.0.113.10"))
		if w.Code != want {
			t.Errorf("trusting %s: another client gets %d, want %d", trusted, w.Code, want)
		}
	}
}

// A locked-out address is not looked at: not its tokens, the right one
// included, not its logins, not its cookies.
func TestLockedOutIsNotEvaluated(t *testing.T) {
	guess := map[string]func(s *site, token string) int{
		"bearer": func(s *site, token string) int {
			return ask(s, "GET", "/v1/info", "localhost", shows("Authorization", "Bearer "+token)).Code
		},
		"cookie": func(s *site, token string) int {
			return ask(s, "GET", "/v1/info", "localhost", shows("Cookie", s.o.Words.Cookie+"="+token)).Code
		},
		"login": func(s *site, token string) int {
			return ask(s, "POST", "/v1/session", "localhost", func(r *http.Request) {
				r.Body = io.NopCloser(strings.NewReader(`{"token":"` + token + `"}`))
			}).Code
		},
	}
	for name, try := range guess {
		synctest.Test(t, func(t *testing.T) {
			s := server(t, Options{Token: secretToken, Requests: 10000})
			looked := 0
			for range 10 { // 260 guesses in 10 s
				for i := range 26 {
					if try(s, fmt.Sprint("guess-", i)) == http.StatusUnauthorized {
						looked++
					}
				}
				time.Sleep(time.Second)
			}
			if looked < 10 || looked > 16 {
				t.Errorf("%s: %d of 260 guesses in 10 s were looked at", name, looked)
			}
			for range 20 {
				try(s, "guess")
			}
			for other, right := range guess {
				if other != "cookie" && right(s, secretToken) != http.StatusTooManyRequests {
					t.Errorf("%s: the right token by %s is looked at", name, other)
				}
			}
			time.Sleep(time.Minute)
			if code := guess["bearer"](s, secretToken); code != 200 {
				t.Errorf("%s: a minute later %d", name, code)
			}
		})
	}
}

func logIn(t *testing.T, s *site) *http.Cookie {
	t.Helper()
	w := ask(s, "POST", "/v1/session", "localhost", func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(`{"token":"` + secretToken + `"}`))
	})
	c := w.Result().Cookies()
	if w.Code != http.StatusNoContent || len(c) != 1 {
		t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	return c[0]
}

// Sessions differ, expire, and end with their logout, which ends no other and
// closes the streams that it watches.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := server(t, Options{Token: secretToken, Requests: 10000})
		a, b := logIn(t, s), logIn(t, s)
		get := func(c *http.Cookie) int {
			return ask(s, "GET", "/v1/info", "localhost", func(r *http.Request) { r.AddCookie(c) }).Code
		}
		if a.Value == b.Value || len(a.Value) < 43 || !a.HttpOnly || a.SameSite != http.SameSiteStrictMode || get(a) != 200 || get(b) != 200 {
			t.Fatalf("sessions %v and %v", a, b)
		}
		ended := make(chan struct{})
		go func() {
			ask(s, "GET", "/v1/events", "localhost", func(r *http.Request) { r.AddCookie(a) })
			close(ended)
		}()
		time.Sleep(time.Second)
		if w := ask(s, "DELETE", "/v1/session", "localhost", func(r *http.Request) { r.AddCookie(a) }); w.Code != http.StatusNoContent {
			t.Errorf("logout: %d", w.Code)
		}
		<-ended
		if get(a) != 401 || get(b) != 200 {
			t.Errorf("after one logout: %d and %d", get(a), get(b))
		}
		time.Sleep(sessionLife - time.Minute)
		if get(b) != 200 {
			t.Error("a session ends before its life")
		}
		time.Sleep(2 * time.Minute)
		if get(b) != 401 {
			t.Error("a session outlives its life")
		}
		for range 3 * maxSessions {
			logIn(t, s)
		}
		if n := len(s.sessions.all); n != maxSessions {
			t.Errorf("%d sessions", n)
		}
		for _, x := range s.sessions.all {
			x.timer.Stop()
		}
	})
}

// Who comes from ever new addresses fills no memory.
func TestAddressesAreForgotten(t *testing.T) {
	s := server(t, Options{})
	for i := range 5000 {
		ask(s, "GET", "/", "localhost", func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("10.1.%d.%d:1", i/256, i%256) })
	}
	if n := s.asking.order.Len(); n > maxAddresses || n != len(s.asking.known) {
		t.Errorf("%d addresses remembered", n)
	}
}

// A body is read as far as its path takes one.
func TestBodiesAreBounded(t *testing.T) {
	s := server(t, Options{Token: secretToken})
	if w := ask(s, "POST", "/v1/session", "localhost", func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(`{"token":"` + strings.Repeat(" ", mostBody) + `"}`))
	}); w.Code != http.StatusBadRequest {
		t.Errorf("a large body: %d", w.Code)
	}
}

// Names match without case, whatever case the configuration has.
func TestHostsMatchWithoutCase(t *testing.T) {
	s := server(t, Options{Hosts: []string{"Hall.Local", "DOOR.example."}})
	for _, host := range []string{"hall.local", "HALL.LOCAL:8080", "Hall.Local.", "door.example", "Door.Example:80"} {
		if w := ask(s, "GET", "/", host, nil); w.Code != 200 {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
	if w := ask(s, "GET", "/", "other.example", nil); w.Code != 421 {
		t.Errorf("another name: %d", w.Code)
	}
}

// One address that opens all the connections it can and says nothing shuts
// nobody out, and what is idle is closed.
func TestIdleConnectionsShutNobodyOut(t *testing.T) {
	s := server(t, Options{Addr: "127.0.0.1:0", MaxConns: 32})
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, s.handler) }()
	defer func() { cancel(); <-ended }()
	var held []net.Conn
	for range 60 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	get := func(from string) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && resp.StatusCode != 200 {
			err = fmt.Errorf("status %s", resp.Status)
		}
		return err
	}
	if err := get("127.0.0.2"); err != nil {
		t.Errorf("another address at once: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err = get("127.0.0.1"); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("the same address while its connections idle: %v", err)
	}
	for _, c := range held { // refused or closed for idling: all of them
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("an idle connection is held: %v", err)
		}
	}
}
