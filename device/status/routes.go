package status

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mien/device/page"
)

//go:embed web openapi.json
var files embed.FS

// writeTimeout is how long a client may leave one write unread before it is
// cut off. What it misses meanwhile is dropped, not kept.
const writeTimeout = 10 * time.Second

// table lists every route. A test holds it against openapi.json.
func (s *Server) table() []page.Route {
	return append(page.Assets(), []page.Route{
		page.Open("GET /{$}", page.Asset(files, "web/index.html", "text/html; charset=utf-8")),
		page.Open("GET /app.js", page.Asset(files, "web/app.js", "text/javascript; charset=utf-8")),
		page.Open("GET /settings", page.Asset(files, "web/settings.html", "text/html; charset=utf-8")),
		page.Open("GET /settings.js", page.Asset(files, "web/settings.js", "text/javascript; charset=utf-8")),
		page.Open("GET /v1/openapi.json", page.Asset(files, "openapi.json", "application/json")),
		page.Open("GET /v1/schema.json", page.Content(Schema, "application/schema+json")),
		page.Open("POST /v1/session", s.auth.LogIn),
		page.Open("DELETE /v1/session", s.auth.LogOut),
		page.Closed("GET /v1/info", s.info),
		page.Closed("GET /v1/readings", s.readings),
		page.Closed("GET /v1/status", s.statusNow),
		page.Closed("GET /v1/events", s.events),
		page.Closed("GET /v1/preview.jpg", s.picture),
		page.Closed("PUT /v1/consent", s.consent),
		page.Closed("GET /v1/history", s.history),
		page.Open("GET /v1/claim", s.claimed),
		page.Open("POST /v1/claim", s.claim),
		page.Closed("GET /v1/config", s.configured(s.configuration)),
		page.Closed("PATCH /v1/config", s.configured(s.change)),
		page.Closed("POST /v1/config/undo", s.configured(s.undo)),
		page.Closed("POST /v1/identify", s.configured(s.identify)),
		page.Closed("PUT /v1/look", s.configured(s.look)),
		page.Closed("POST /v1/restart", s.configured(s.restart)),
		page.Closed("GET /v1/system", s.systemed(s.systemNow)),
		page.Closed("GET /v1/system/log", s.systemed(s.systemLog)),
		{Pattern: "PUT /v1/system/image", Serve: s.systemed(s.systemImage), Most: mostImage},
		page.Closed("GET /healthz", s.health),
		page.Closed("GET /metrics", s.metrics),
	}...)
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	b, _, _ := s.hub.latest()
	page.SendJSON(w, http.StatusOK, b)
}

func (s *Server) readings(w http.ResponseWriter, _ *http.Request) {
	_, b, _ := s.hub.latest()
	page.SendJSON(w, http.StatusOK, b)
}

func (s *Server) statusNow(w http.ResponseWriter, _ *http.Request) {
	_, _, b := s.hub.latest()
	page.SendJSON(w, http.StatusOK, b)
}

func (s *Server) history(w http.ResponseWriter, _ *http.Request) {
	if s.o.History == nil {
		page.Refuse(w, http.StatusNotFound, "history", "nothing is counted on this device: see history.days")
		return
	}
	s.answer(w, &History{s.o.Info.History, s.o.History()}, nil)
}

// health is for watchdogs: 200 while the device is ready, 503 otherwise.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	now := s.hub.health()
	code := http.StatusOK
	if !now.Ready {
		code = http.StatusServiceUnavailable
	}
	b, _ := json.Marshal(map[string]any{"ready": now.Ready, "state": now.State, "reason": now.Reason}) // a bool and strings
	page.SendJSON(w, code, b)
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	if s.o.Consent == nil {
		page.Refuse(w, http.StatusNotFound, "consent", "this device is not set to ask for consent over HTTP")
		return
	}
	var body struct {
		Given *bool `json:"given"`
	}
	if !page.Receive(w, r, &body) {
		return
	}
	if body.Given == nil {
		page.Refuse(w, http.StatusBadRequest, "body", `want {"given": true} or {"given": false}`)
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
		page.Refuse(w, http.StatusServiceUnavailable, "streams", fmt.Sprintf("%d are watching already", s.o.MaxStreams))
		return
	}
	defer s.hub.leave(c)
	var ended <-chan struct{} // of the session; nil never ends
	if x := page.SessionOf(r); x != nil {
		ended = x.Ended()
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
