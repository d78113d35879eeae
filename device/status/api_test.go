package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mien/device"
	"mien/device/signal"
)

type event struct{ id, kind, data string }

// listen reads n events of the kinds wanted (all kinds if none) from url.
func listen(t testing.TB, req *http.Request, n int, kinds ...string) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, b)
	}
	var out []event
	var e event
	for sc := bufio.NewScanner(resp.Body); len(out) < n && sc.Scan(); {
		switch k, v, _ := strings.Cut(sc.Text(), ": "); k {
		case "id":
			e.id = v
		case "event":
			e.kind = v
		case "data":
			e.data = v
		case "":
			if e.kind != "" && (len(kinds) == 0 || slices.Contains(kinds, e.kind)) {
				out = append(out, e)
			}
			e = event{}
		}
	}
	if len(out) < n {
		t.Fatalf("the stream ended after %d of %d events", len(out), n)
	}
	return out
}

func get(t testing.TB, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var kindToSchema = map[string]string{"reading": "Reading", "status": "Status", "info": "Info", "track": "Track",
	"transition": "Transition", "lost": "Lost"}

func TestEventsKeepToTheSchema(t *testing.T) {
	_, url := start(t, Options{Outbox: func() Outbox { return Outbox{Queued: 3} }}, newScene())
	seen := map[string]bool{}
	for _, e := range listen(t, get(t, url+"/v1/events"), 40) {
		seen[e.kind] = true
		valid(t, kindToSchema[e.kind], []byte(e.data))
	}
	for _, k := range []string{"info", "status", "reading", "track", "transition"} {
		if !seen[k] {
			t.Errorf("no %s among the events", k)
		}
	}
}

// api is the part of openapi.json that the tests read.
type api struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				} `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
		Security *[]any `json:"security"`
	} `json:"paths"`
}

// Each route is described, each description has its route, and each answer is
// one of those described, in type and content.
func TestOpenAPIIsTheHandlers(t *testing.T) {
	b, err := files.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc api
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	const token = "0123456789abcdef"
	sc := newScene()
	given := make(chan bool, 8)
	s, url := start(t, Options{Token: token, Preview: true, Consent: func(v bool) { given <- v }}, sc)
	var described, routed []string
	for path, ops := range doc.Paths {
		for method := range ops {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range s.table() {
		method, path, _ := strings.Cut(strings.ReplaceAll(r.Pattern, "{$}", ""), " ")
		routed = append(routed, method+" "+path)
		op := doc.Paths[path][strings.ToLower(method)]
		if open := op.Security != nil; open != r.Open {
			t.Errorf("%s: described as open: %v, is: %v", r.Pattern, open, r.Open)
		}
		bodies := map[string][]string{"POST": {`{"token":"` + token + `"}`, `{"token":"x"}`, `{`, `{"token":"x","y":1}`}, "PUT": {`{"given":true}`, `{}`, `[]`}}[method]
		if bodies == nil {
			bodies = []string{""}
		}
		if path == "/v1/preview.jpg" {
			bodies = []string{"", "again"} // first nobody has looked yet
		}
		for i, body := range bodies {
			for _, auth := range []string{"Bearer " + token, "Bearer wrong-" + fmt.Sprint(i), ""} {
				if body == "again" {
					time.Sleep(300 * time.Millisecond)
				}
				req, _ := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
				if auth != "" {
					req.Header.Set("Authorization", auth)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				var got []byte
				if path != "/v1/events" || resp.StatusCode != 200 {
					got, _ = io.ReadAll(resp.Body)
				}
				resp.Body.Close()
				answer, ok := op.Responses[fmt.Sprint(resp.StatusCode)]
				if !ok {
					t.Errorf("%s %s: answers %s, which is not described", r.Pattern, body, resp.Status)
					continue
				}
				if wantAuth := !r.Open && auth != "Bearer "+token; wantAuth != (resp.StatusCode == 401) && method == "GET" && resp.StatusCode != 429 {
					t.Errorf("%s with %q: %s", r.Pattern, auth, resp.Status)
				}
				mime, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
				content, ok := answer.Content[mime]
				if !ok && len(answer.Content) > 0 {
					t.Errorf("%s: %s is %q, not as described", r.Pattern, resp.Status, mime)
				}
				if ref := content.Schema.Ref; ref != "" {
					valid(t, ref[strings.LastIndex(ref, "/")+1:], got)
				}
			}
		}
	}
	slices.Sort(described)
	slices.Sort(routed)
	if d := cmp.Diff(described, routed); d != "" {
		t.Errorf("described and routed differ: %s", d)
	}
	if len(given) != 1 || !<-given {
		t.Error("consent did not arrive")
	}
}

func TestBeyondLoopbackOnlyWithToken(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:0": true, "localhost:0": true, "[::1]:0": true, "": true, "127.9.9.9:1": true,
		":8080": false, "0.0.0.0:80": false, "[::]:80": false, "192.168.1.2:80": false, "pi.local:80": false} {
		if _, err := New(Options{Addr: addr}); (err == nil) != ok {
			t.Errorf("%q without a token: %v", addr, err)
		}
		if _, err := New(Options{Addr: addr, Token: "0123456789abcdef"}); err != nil {
			t.Errorf("%q with a token: %v", addr, err)
		}
	}
	for _, o := range []Options{{Addr: "8080"}, {Addr: "::"}, {Token: "short"}, {Rate: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

// ask serves one request without a network.
func ask(s *Server, method, path, host string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(`{"given":true}`))
	r.Host, r.RemoteAddr = host, "127.0.0.1:5000"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// A name that resolves to this address but is not this device's is refused:
// that is how a page of another site would read the answers.
func TestHostIsChecked(t *testing.T) {
	local, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	open, err := New(Options{Addr: ":8080", Token: "0123456789abcdef", Hosts: []string{"hall.local"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][2]bool{"127.0.0.1:8080": {true, true}, "localhost": {true, true}, "LOCALHOST.:80": {true, true}, "[::1]:9": {true, true},
		"evil.example": {}, "127.0.0.1.evil.example": {}, "192.168.1.5:8080": {false, true}, "hall.local:8080": {false, true}, "": {}, "localhost.evil.example": {}} {
		for i, s := range []*Server{local, open} {
			if w := ask(s, "GET", "/", host, nil); (w.Code == 200) != want[i] {
				t.Errorf("server %d called %q: %d", i, host, w.Code)
			}
		}
	}
}

// What another site's page makes a browser send changes nothing.
func TestCrossSiteRequestsAreRefused(t *testing.T) {
	given := 0
	s, err := New(Options{Consent: func(bool) { given++ }})
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(*http.Request){
		"fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"origin":         func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"other port":     func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:9999") },
	} {
		if w := ask(s, "PUT", "/v1/consent", "127.0.0.1:8080", set); w.Code != http.StatusForbidden || given != 0 {
			t.Errorf("%s: %d, consent given %d times", name, w.Code, given)
		}
	}
	own := func(r *http.Request) {
		r.Header.Set("Origin", "http://127.0.0.1:8080")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if w := ask(s, "PUT", "/v1/consent", "127.0.0.1:8080", own); w.Code != http.StatusNoContent || given != 1 {
		t.Errorf("own page: %d %s, consent given %d times", w.Code, w.Body, given)
	}
}

func TestLimits(t *testing.T) {
	s, err := New(Options{Requests: 2, Token: "0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 20 {
		if w := ask(s, "GET", "/", "localhost", nil); w.Code == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 10 {
		t.Errorf("%d of 20 requests at once refused", refused)
	}
	if w := ask(s, "GET", "/", "localhost", func(r *http.Request) { r.RemoteAddr = "10.0.0.9:1" }); w.Code != 200 {
		t.Errorf("another address pays for it: %d", w.Code)
	}
	guesses := 0
	s, _ = New(Options{Requests: 1000, Token: "0123456789abcdef"})
	for i := range 100 {
		w := ask(s, "GET", "/v1/info", "localhost", func(r *http.Request) { r.Header.Set("Authorization", fmt.Sprint("Bearer ", i)) })
		if w.Code == http.StatusUnauthorized {
			guesses++
		}
	}
	if guesses > 10 {
		t.Errorf("%d wrong tokens tried in a moment", guesses)
	}
}

func TestConnectionsAndStreamsAreLimited(t *testing.T) {
	_, url := start(t, Options{MaxStreams: 2, MaxConns: 4}, newScene())
	for range 2 {
		resp, err := http.Get(url + "/v1/events")
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		defer resp.Body.Close()
	}
	resp, err := http.Get(url + "/v1/events")
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("third stream of two: %v, %v", resp, err)
	}
	resp.Body.Close()
	var open int
	for range 8 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			continue
		}
		defer c.Close()
		io.WriteString(c, "GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, _ := c.Read(make([]byte, 12)); n > 0 {
			open++
		}
	}
	if open == 0 || open > 2 {
		t.Errorf("%d more connections were served beside 2 streams, of 4 in all", open)
	}
}

// A client that stops reading loses messages and is told how many; the
// pipeline's calls and another client notice nothing.
func TestSlowClientLosesItsOwn(t *testing.T) {
	h := newHub(&Options{MaxStreams: 4, Rate: 1e9})
	slow, quick := h.join(0), h.join(0)
	var got []message
	for i := range 1000 {
		h.event("transition", &signal.Transition{Line: fmt.Sprint(i)})
		h.pass(true)
		got, _ = quick.take(got)
	}
	n := 0
	for _, m := range got {
		if m.kind == "transition" {
			if want := fmt.Sprintf(`"line":"%d"`, n); !bytes.Contains(m.data, []byte(want)) {
				t.Fatalf("event %d is %s", n, m.data)
			}
			n++
		}
	}
	kept, lost := slow.take(nil)
	if n != 1000 || len(kept) != clientSize || int(lost) != 1000+3-clientSize {
		t.Errorf("quick got %d of 1000; slow kept %d and lost %d", n, len(kept), lost)
	}
	if !bytes.Contains(kept[len(kept)-1].data, []byte(`"999"`)) {
		t.Errorf("slow kept the old, not the new: %s", kept[len(kept)-1].data)
	}
}

func TestPastIsToldOnce(t *testing.T) {
	h := newHub(&Options{MaxStreams: 4, Rate: 10})
	for i := range 40 {
		h.event("transition", &signal.Transition{Line: fmt.Sprint(i)})
		h.event("transition", &signal.Transition{Line: "heartbeat"}) // is told to who watches, not remembered
		h.pass(false)
	}
	count := func(last uint64) (n int) {
		msgs, _ := h.join(last).take(nil)
		for _, m := range msgs {
			if m.kind == "transition" {
				n++
			}
		}
		return n
	}
	if a, b, c := count(0), count(70), count(999); a != pastSize || b != 5 || c != pastSize {
		t.Errorf("told %d to a new watcher, %d to one that missed 5, %d after a restart", a, b, c)
	}
}

// When readings stop, because the camera is lost or consent was withdrawn,
// the last one is not shown for ever.
func TestFacesAreForgotten(t *testing.T) {
	h := newHub(&Options{MaxStreams: 4, Rate: 10})
	h.take(newScene().reading())
	h.pass(true)
	h.forget(time.Now())
	if _, r, _ := h.latest(); !bytes.Contains(r, []byte(`"happy"`)) {
		t.Fatalf("the reading is gone at once: %s", r)
	}
	h.forget(time.Now().Add(2 * silence))
	_, r, _ := h.latest()
	if !bytes.Contains(r, []byte(`"faces":[]`)) || !bytes.Contains(r, []byte(`"seq":1`)) {
		t.Errorf("still %s", r)
	}
	valid(t, "Reading", r)
}

// Feeding costs the pipeline no allocation per frame, watched or not.
func TestReadingAllocatesNothing(t *testing.T) {
	h := newHub(&Options{MaxStreams: 4, Rate: 10})
	sc := newScene()
	sc.people = 3
	r := sc.reading()
	h.take(r)
	if n := testing.AllocsPerRun(200, func() { h.take(r) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func TestPreviewOnlyWhenEnabledAndWatched(t *testing.T) {
	off, _ := New(Options{})
	on, _ := New(Options{Preview: true})
	img := image.NewGray(image.Rect(0, 0, 1280, 720))
	for i := range img.Pix {
		img.Pix[i] = 200
	}
	off.Frame(img)
	on.Frame(img)
	if len(off.preview.img.Pix)+len(on.preview.img.Pix) != 0 {
		t.Fatal("a picture was kept that nobody asked for")
	}
	if w := ask(off, "GET", "/v1/preview.jpg", "localhost", nil); w.Code != 404 {
		t.Errorf("preview off: %d", w.Code)
	}
	off.Frame(img)
	if len(off.preview.img.Pix) != 0 {
		t.Error("asking made a disabled preview keep a picture")
	}
	if w := ask(on, "GET", "/v1/preview.jpg", "localhost", nil); w.Code != 503 {
		t.Errorf("first look: %d", w.Code)
	}
	on.Frame(img)
	w := ask(on, "GET", "/v1/preview.jpg", "localhost", nil)
	got, err := jpeg.Decode(w.Body)
	if err != nil || got.Bounds().Dx() > previewWidth {
		t.Fatalf("%d, %v", w.Code, err)
	}
	if g, _, _, _ := got.At(100, 100).RGBA(); g>>8 < 190 || g>>8 > 210 {
		t.Errorf("grey %d, want about 200", g>>8)
	}
	on.preview.wanted.Store(0)
	on.preview.taken = time.Now().Add(-time.Minute)
	if w := ask(on, "GET", "/v1/preview.jpg", "localhost", nil); w.Code != 503 || on.preview.img.Pix[0] != 0 {
		t.Errorf("a picture a minute old: %d, first pixel %d", w.Code, on.preview.img.Pix[0])
	}
}

func TestHealthAndMetrics(t *testing.T) {
	sc := newScene()
	_, url := start(t, Options{Outbox: func() Outbox { return Outbox{Connected: true, Queued: 7} }}, sc)
	fetch := func(path string) (int, string) {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	listen(t, get(t, url+"/v1/events"), 3, "reading")
	if code, body := fetch("/healthz"); code != 200 {
		t.Errorf("ready: %d %s", code, body)
	}
	_, m := fetch("/metrics")
	for _, want := range []string{"mien_ready 1", "mien_faces 2", `mien_line_active{line="face"} 1`, `mien_stage_seconds_total{stage="predict"}`,
		"mien_mqtt_queued 7", "mien_temperature_celsius 51.2", `mien_held_down{why="under-voltage"} 1`, `mien_held_down{why="hot"} 0`, "go_goroutines"} {
		if !strings.Contains(m, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	sc.ready.Store(false)
	if code, body := fetch("/healthz"); code != 503 || !strings.Contains(body, "video0") {
		t.Errorf("not ready: %d %s", code, body)
	}
}

// Whatever is asked, the server answers with a code that it means, its safety
// headers, and without the token never with data.
func FuzzAPI(f *testing.F) {
	for _, seed := range []struct{ method, target, host, auth, cookie, body string }{
		{"GET", "/", "localhost", "", "", ""}, {"GET", "/v1/readings", "localhost:80", "Bearer 0123456789abcdef", "", ""},
		{"POST", "/v1/session", "127.0.0.1", "", "", `{"token":"0123456789abcdef"}`}, {"PUT", "/v1/consent", "[::1]", "Bearer x", "a=b", `{"given":true}`},
		{"GET", "/v1/events/../info", "localhost", "", "mien-session=x", ""}, {"DELETE", "//metrics?x=%00", "evil", "Basic", "", "\x00"},
		{"HEAD", "/healthz", "localhost", "Bearer ", "mien-session=", "{}{}"}, {"PUT", "/v1/consent", "localhost", "Bearer 0123456789abcdef", "", `{"given":null}`},
	} {
		f.Add(seed.method, seed.target, seed.host, seed.auth, seed.cookie, seed.body)
	}
	const token = "0123456789abcdef"
	s, err := New(Options{Token: token, Requests: 1e9, Consent: func(bool) {}})
	if err != nil {
		f.Fatal(err)
	}
	s.Reading(&device.Reading{Seq: 424242})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v1/session", strings.NewReader(`{"token":"`+token+`"}`))
	r.Host = "localhost"
	s.Handler().ServeHTTP(w, r)
	session := w.Result().Cookies()[0].Value
	f.Fuzz(func(t *testing.T, method, target, host, auth, cookie, body string) {
		r, err := http.NewRequest(method, "http://localhost", strings.NewReader(body))
		if err != nil {
			return // no such request can reach a handler
		}
		path, query, _ := strings.Cut(target, "?")
		r.URL.Path, r.URL.RawQuery, r.Host, r.RemoteAddr = path, query, host, "127.0.0.1:1"
		r.Header["Authorization"], r.Header["Cookie"] = []string{auth}, []string{cookie}
		ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond) // event streams last
		defer cancel()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r.WithContext(ctx))
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable || w.Code < 200 {
			t.Errorf("%s %q: %d", method, path, w.Code)
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Error("no policy")
		}
		knows := auth == "Bearer "+token || strings.Contains(cookie, session)
		for _, secret := range []string{`"faces":[`, `"health":{`, `"header":[`, "mien_ready"} {
			if !knows && strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s %q without the token: %s", method, path, secret)
			}
		}
	})
}
