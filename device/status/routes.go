package status

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"time"
)

//go:embed web openapi.json
var files embed.FS

var silent = log.New(io.Discard, "", 0)

// writeTimeout is how long a client may leave one write unread before it is
// cut off. What it misses meanwhile is dropped, not kept.
const writeTimeout = 10 * time.Second

// route is one path of the API. Open ones need no token: they are the same
// for everybody and say nothing about the device.
type route struct {
	pattern string
	open    bool
	serve   http.HandlerFunc
}

// table lists every route. A test holds it against openapi.json.
func (s *Server) table() []route {
	return []route{
		{"GET /{$}", true, asset("web/index.html", "text/html; charset=utf-8")},
		{"GET /style.css", true, asset("web/style.css", "text/css; charset=utf-8")},
		{"GET /app.js", true, asset("web/app.js", "text/javascript; charset=utf-8")},
		{"GET /icon.svg", true, asset("web/icon.svg", "image/svg+xml")},
		{"GET /v1/openapi.json", true, asset("openapi.json", "application/json")},
		{"GET /v1/schema.json", true, content(Schema, "application/schema+json")},
		{"POST /v1/session", true, s.logIn},
		{"DELETE /v1/session", true, s.logOut},
		{"GET /v1/info", false, s.info},
		{"GET /v1/readings", false, s.readings},
		{"GET /v1/status", false, s.statusNow},
		{"GET /v1/events", false, s.events},
		{"GET /v1/preview.jpg", false, s.picture},
		{"PUT /v1/consent", false, s.consent},
		{"GET /healthz", false, s.health},
		{"GET /metrics", false, s.metrics},
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		serve := r.serve
		if !r.open {
			serve = s.authorised(serve)
		}
		mux.HandleFunc(r.pattern, serve)
	}
	// Refuses what a page of another site makes a browser send, except reading.
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "cross-origin", "a page of another site may not change anything here")
	}))
	return s.checked(cross.Handler(mux))
}

// checked applies what holds for every request.
func (s *Server) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if !s.auth.called(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "host", fmt.Sprintf("this device is not called %.80q; use its address, or add the name to the status page's hosts", r.Host))
			return
		}
		if !s.auth.asking.bucketOf(s.auth.client(r)).Allow() {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "rate", "too many requests from this address")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
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

func (s *Server) authorised(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, session := s.auth.judge(r)
		if v != welcome {
			deny(w, v)
			return
		}
		if session != nil {
			r = r.WithContext(context.WithValue(r.Context(), sessionKey{}, session))
		}
		next(w, r)
	}
}

// deny answers a request that is not welcome.
func deny(w http.ResponseWriter, v verdict) {
	switch v {
	case lockedOut:
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusTooManyRequests, "rate", "too many wrong tokens from this address: nothing is looked at for a while")
	case proxied:
		refuse(w, http.StatusForbidden, "proxy", "this came through a proxy, behind which everybody looks the same: set status.token on the device")
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="mien"`)
		refuse(w, http.StatusUnauthorized, "token", "this device asks for its token (Authorization: Bearer TOKEN)")
	}
}

// logIn gives a page that shows the token a cookie, because a page's event
// stream cannot carry a header. Scripts cannot read the cookie, and no other
// site can make the browser send it.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	if !s.auth.needed && forwarded(r) {
		deny(w, proxied)
		return
	}
	failures := s.auth.failing.bucketOf(s.auth.client(r))
	if s.auth.needed && failures.Tokens() < 1 {
		deny(w, lockedOut)
		return
	}
	var body struct {
		Token string `json:"token"`
	}
	if !receive(w, r, &body) {
		return
	}
	if s.auth.needed && !s.auth.tokenOK(body.Token) {
		failures.Allow()
		deny(w, wrong)
		return
	}
	if c, err := r.Cookie(cookieName); err == nil {
		s.auth.sessions.end(c.Value) // one at a time
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: s.auth.sessions.begin(), Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: s.auth.secure(r), MaxAge: int(sessionLife / time.Second)})
	w.WriteHeader(http.StatusNoContent)
}

// logOut ends the session, and the streams that it watches.
func (s *Server) logOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		s.auth.sessions.end(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	b, _, _ := s.hub.latest()
	sendJSON(w, http.StatusOK, b)
}

func (s *Server) readings(w http.ResponseWriter, _ *http.Request) {
	_, b, _ := s.hub.latest()
	sendJSON(w, http.StatusOK, b)
}

func (s *Server) statusNow(w http.ResponseWriter, _ *http.Request) {
	_, _, b := s.hub.latest()
	sendJSON(w, http.StatusOK, b)
}

// health is for watchdogs: 200 while the device is ready, 503 otherwise.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	now := s.hub.health()
	code := http.StatusOK
	if !now.Ready {
		code = http.StatusServiceUnavailable
	}
	b, _ := json.Marshal(map[string]any{"ready": now.Ready, "state": now.State, "reason": now.Reason}) // a bool and strings
	sendJSON(w, code, b)
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	if s.o.Consent == nil {
		refuse(w, http.StatusNotFound, "consent", "this device is not set to ask for consent over HTTP")
		return
	}
	var body struct {
		Given *bool `json:"given"`
	}
	if !receive(w, r, &body) {
		return
	}
	if body.Given == nil {
		refuse(w, http.StatusBadRequest, "body", `want {"given": true} or {"given": false}`)
		return
	}
	s.o.Consent(*body.Given)
	w.WriteHeader(http.StatusNoContent)
}

// events streams until the client goes or falls silent. Each write has a
// deadline of its own; a client that reads slowly misses messages and is told
// how many.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64) // 0 when it is none
	c := s.hub.join(last)
	if c == nil {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "streams", fmt.Sprintf("%d are watching already", s.o.MaxStreams))
		return
	}
	defer s.hub.leave(c)
	var ended <-chan struct{} // of the session; nil never ends
	if x, ok := r.Context().Value(sessionKey{}).(*session); ok {
		ended = x.ended
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // tells nginx to hand events on at once
	ctl := http.NewResponseController(w)
	ctl.SetReadDeadline(time.Time{}) // the request is over: the stream may last
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	var batch []message
	var buf bytes.Buffer
	buf.WriteString("retry: 2000\n\n")
	for {
		var lost uint64
		batch, lost = c.take(batch[:0])
		if lost > 0 {
			fmt.Fprintf(&buf, "event: lost\ndata: {\"messages\":%d}\n\n", lost)
		}
		for _, m := range batch {
			write(&buf, m)
		}
		ctl.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(buf.Bytes()); err != nil {
			return
		}
		if err := ctl.Flush(); err != nil {
			return
		}
		buf.Reset()
		select {
		case <-r.Context().Done():
			return
		case <-ended:
			return
		case <-c.wake:
		case <-alive.C:
			buf.WriteString(":\n\n") // a comment, so that a dead connection is noticed
		}
	}
}

// write appends m in the format of server-sent events. JSON as encoding/json
// writes it has no line breaks.
func write(b *bytes.Buffer, m message) {
	b.WriteString("id: ")
	b.WriteString(strconv.FormatUint(m.id, 10))
	b.WriteString("\nevent: ")
	b.WriteString(m.kind)
	b.WriteString("\ndata: ")
	b.Write(m.data)
	b.WriteString("\n\n")
}

// receive reads a small JSON body, and answers by itself when it is none.
func receive(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		refuse(w, http.StatusBadRequest, "body", "the body is not the JSON object that is wanted; see /v1/openapi.json")
		return false
	}
	return true
}

// refuse answers with an error that a program can branch on and a person can read.
func refuse(w http.ResponseWriter, code int, kind, text string) {
	b, _ := json.Marshal(map[string]string{"error": kind, "detail": text})
	sendJSON(w, code, b)
}

// sendJSON ends with a new line, for those who ask from a shell.
func sendJSON(w http.ResponseWriter, code int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(b)
	io.WriteString(w, "\n")
}

func asset(name, kind string) http.HandlerFunc {
	b, err := files.ReadFile(name)
	if err != nil {
		b = []byte(err.Error()) // cannot happen: the compiler has embedded it
	}
	return content(b, kind)
}

func content(b []byte, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	}
}
