package status

import (
	"errors"
	"image"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// recorder is a Settings that notes what it was asked for.
type recorder struct{ asked []string }

func (r *recorder) Configuration() (Configuration, error) {
	r.asked = append(r.asked, "read")
	return Configuration{Version: "1"}, nil
}
func (r *recorder) Change(c Change) (Verdict, error) {
	r.asked = append(r.asked, "change")
	if c.Of != "1" {
		return Verdict{}, ErrStale
	}
	return Verdict{Taken: c.Take}, nil
}
func (r *recorder) Undo() (Verdict, error) { r.asked = append(r.asked, "undo"); return Verdict{}, nil }
func (r *recorder) Restart()               { r.asked = append(r.asked, "restart") }
func (r *recorder) Identify(pin string) error {
	r.asked = append(r.asked, "identify")
	if pin != "GPIO17" {
		return errors.New("no such pin")
	}
	return nil
}

// waiting is a device that nobody has set up.
func waiting(t *testing.T, until time.Time) (s *Server, taken *[]string, rec *recorder) {
	t.Helper()
	taken, rec = &[]string{}, &recorder{}
	s, err := New(Options{Addr: ":8080", Hosts: []string{"mien.local"}, Setup: true, Settings: rec, Requests: 1000,
		Claim: &Claim{Until: until, Take: func(token string) error { *taken = append(*taken, token); return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	return s, taken, rec
}

// do sends a request of a body, by a client of an address.
func do(s *Server, method, path, from, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "mien.local:8080", from
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

const good = `{"token":"0123456789abcdef"}`

// Who may claim a device, and who may not: the first, from near, in time, by
// itself and not by a page of another site.
func TestClaim(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	for name, c := range map[string]struct {
		until      time.Time
		from, body string
		change     func(*http.Request)
		want       int
	}{
		"the first of the network": {soon, "192.168.1.7:5", good, nil, 204},
		"a link-local neighbour":   {soon, "[fe80::7]:5", good, nil, 204},
		"its own page":             {soon, "10.0.0.7:5", good, set("Origin", "http://mien.local:8080"), 204},
		"of the open internet":     {soon, "198.51.100.7:5", good, nil, 403},
		"through a proxy":          {soon, "192.168.1.7:5", good, set("X-Forwarded-For", "192.168.1.9"), 403},
		"too late":                 {time.Now().Add(-time.Second), "192.168.1.7:5", good, nil, 403},
		"a page of another site":   {soon, "192.168.1.7:5", good, set("Origin", "https://evil.example"), 403},
		"fetched across sites":     {soon, "192.168.1.7:5", good, set("Sec-Fetch-Site", "cross-site"), 403},
		"by a name of another's":   {soon, "192.168.1.7:5", good, func(r *http.Request) { r.Host = "evil.example" }, 421},
		"too short":                {soon, "192.168.1.7:5", `{"token":"short"}`, nil, 400},
		"none":                     {soon, "192.168.1.7:5", `{"token":""}`, nil, 400},
		"a hash":                   {soon, "192.168.1.7:5", `{"token":"sha256:` + strings.Repeat("0", 64) + `"}`, nil, 400},
		"with a blank":             {soon, "192.168.1.7:5", `{"token":" 0123456789abcdef"}`, nil, 400},
		"a form":                   {soon, "192.168.1.7:5", `token=0123456789abcdef`, nil, 400},
	} {
		s, taken, _ := waiting(t, c.until)
		w := do(s, "POST", "/v1/claim", c.from, c.body, c.change)
		if w.Code != c.want || (len(*taken) == 1) != (c.want == 204) {
			t.Errorf("%s: %d %s, taken %q", name, w.Code, w.Body, *taken)
		}
		if shown := do(s, "GET", "/v1/info", "192.168.1.7:5", "", nil); shown.Code == 200 {
			t.Errorf("%s: the device shows itself without a token", name)
		}
		if c.want != 204 {
			continue
		}
		if again := do(s, "POST", "/v1/claim", c.from, good, nil); again.Code != 403 || len(*taken) != 1 {
			t.Errorf("%s: claimed twice: %d", name, again.Code)
		}
		cookie := w.Result().Cookies()
		if len(cookie) != 1 || !cookie[0].HttpOnly || cookie[0].SameSite != http.SameSiteStrictMode {
			t.Fatalf("%s: cookies %v", name, cookie)
		}
		if in := do(s, "GET", "/v1/config", c.from, "", func(r *http.Request) { r.AddCookie(cookie[0]) }); in.Code != 200 {
			t.Errorf("%s: the session opens nothing: %d", name, in.Code)
		}
	}
}

func TestNear(t *testing.T) {
	for ip, want := range map[string]bool{"127.0.0.1": true, "10.1.2.3": true, "192.168.0.9": true, "172.16.0.1": true, "172.32.0.1": false, "169.254.1.1": true,
		"fe80::1": true, "fd12::1": true, "2001:db8::1": false, "8.8.8.8": false} {
		if got := near(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	if near(netip.Addr{}) {
		t.Error("no address is near")
	}
}

// Nothing of the configuration is to be had or changed without the token, by a
// page of another site, or where the device has no token at all.
func TestSettingsNeedTheToken(t *testing.T) {
	const token = "0123456789abcdef"
	calls := []struct{ method, path, body string }{{"GET", "/v1/config", ""}, {"PATCH", "/v1/config", `{"of":"1","changes":{},"take":true}`},
		{"POST", "/v1/config/undo", ""}, {"POST", "/v1/restart", ""}, {"POST", "/v1/identify", `{"pin":"GPIO17"}`}, {"PUT", "/v1/look", `{"given":true}`}}
	shows := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	rec := &recorder{}
	with, err := New(Options{Token: token, Settings: rec, Hosts: []string{"mien.local"}, Requests: 1000})
	if err != nil {
		t.Fatal(err)
	}
	without, err := New(Options{Settings: rec, Hosts: []string{"mien.local"}, Requests: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		if w := do(with, c.method, c.path, "127.0.0.1:5", c.body, nil); w.Code != 401 {
			t.Errorf("%s %s without the token: %d", c.method, c.path, w.Code)
		}
		if w := do(without, c.method, c.path, "127.0.0.1:5", c.body, nil); w.Code != 403 {
			t.Errorf("%s %s of a device without a token: %d", c.method, c.path, w.Code)
		}
		if c.method == "GET" {
			continue // whose answer the browser does not give to another site
		}
		if w := do(with, c.method, c.path, "127.0.0.1:5", c.body, func(r *http.Request) { shows(r); r.Header.Set("Origin", "https://evil.example") }); w.Code != 403 {
			t.Errorf("%s %s by a page of another site: %d", c.method, c.path, w.Code)
		}
	}
	if len(rec.asked) > 0 {
		t.Errorf("done nevertheless: %q", rec.asked)
	}
	for _, c := range calls {
		if w := do(with, c.method, c.path, "127.0.0.1:5", c.body, shows); w.Code != 200 && w.Code != 204 {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if w := do(with, "PATCH", "/v1/config", "127.0.0.1:5", `{"of":"0","changes":{},"take":true}`, shows); w.Code != 409 {
		t.Errorf("a stale change: %d", w.Code)
	}
	if w := do(with, "POST", "/v1/identify", "127.0.0.1:5", `{"pin":"GPIO2"}`, shows); w.Code != 409 {
		t.Errorf("a pin that is none: %d", w.Code)
	}
}

// A preview that is off is lent to the session that asked, and to no other, and
// only as long as that looks.
func TestLookIsOnesOwn(t *testing.T) {
	s, _, _ := waiting(t, time.Now().Add(time.Hour))
	mine := do(s, "POST", "/v1/claim", "192.168.1.7:5", good, nil).Result().Cookies()[0]
	other := do(s, "POST", "/v1/session", "192.168.1.8:5", good, nil).Result().Cookies()[0]
	by := func(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }
	sees := func(c *http.Cookie) int {
		do(s, "GET", "/v1/preview.jpg", "192.168.1.7:5", "", by(c)) // the first look asks for a picture
		s.Frame(image.NewGray(image.Rect(0, 0, 64, 48)))
		return do(s, "GET", "/v1/preview.jpg", "192.168.1.7:5", "", by(c)).Code
	}
	if code := sees(mine); code != 404 || s.Lent() {
		t.Errorf("before consent: %d", code)
	}
	do(s, "PUT", "/v1/look", "192.168.1.7:5", `{"given":true}`, by(mine))
	if code := sees(other); code != 404 || !s.Lent() {
		t.Errorf("another session sees it: %d", code)
	}
	if code := sees(mine); code != 200 {
		t.Errorf("who agreed does not: %d", code)
	}
	do(s, "PUT", "/v1/look", "192.168.1.7:5", `{"given":false}`, by(mine))
	if code := sees(mine); code != 404 || s.Lent() {
		t.Errorf("after it was taken back: %d", code)
	}
	if s.preview.img.Pix != nil {
		t.Error("the picture is still held")
	}
	do(s, "PUT", "/v1/look", "192.168.1.7:5", `{"given":true}`, by(mine))
	s.preview.lease.Store(time.Now().Add(-time.Second).UnixNano())
	if code := sees(mine); code != 404 {
		t.Errorf("after nobody looked for a while: %d", code)
	}
}
