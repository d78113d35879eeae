package status

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mien/device/page"
)

// Settings is the device's configuration, for whoever shows the token.
type Settings interface {
	// Configuration is what the file says now.
	Configuration() (Configuration, error)
	// Change says what is wrong with a change, and takes it if nothing is and
	// that was asked for.
	Change(Change) (Verdict, error)
	// Undo takes the file before back.
	Undo() (Verdict, error)
	// Restart starts the device again, with all that the file says.
	Restart()
	// Identify lets a free pin of the header change its level a few times and
	// leaves it as it was; it returns at once.
	Identify(pin string) error
}

// Configuration is all keys with their values.
type Configuration struct {
	Version  string    `json:"version"`   // of the file; a change says of which it is one
	Fresh    bool      `json:"fresh"`     // nobody has said yet what the device is to do
	Undo     int       `json:"undo"`      // how many files before this one are kept
	Pending  []string  `json:"pending"`   // keys that wait for a restart
	Settings []Setting `json:"settings"`  // in the order of the sample
	Free     []Pin     `json:"free_pins"` // of the header, that nothing uses
	// Simulated says that there are no pins here but those in memory.
	Simulated bool     `json:"simulated"`
	Lines     []string `json:"lines"` // which lines there are with the enabled heads
}

// Setting is one key.
type Setting struct {
	Key     string `json:"key"`   // with its groups, as in camera.source
	Doc     string `json:"doc"`   // what it means
	Group   string `json:"group"` // what its group is for, at the first key of one
	Kind    string `json:"kind"`  // text, secret, whole, number, span, switch, list or table
	Value   string `json:"value"` // a list with commas, a table with an entry a line; empty when it is secret
	Secret  bool   `json:"secret"`
	Set     bool   `json:"set"`     // is not the default
	Restart bool   `json:"restart"` // takes effect when the device starts again
}

// Change asks for other values of some keys.
type Change struct {
	Of      string            `json:"of"`      // version of the file
	Changes map[string]string `json:"changes"` // by key
	Take    bool              `json:"take"`    // if nothing is wrong; else it is only looked at
}

// Verdict is what came of a change.
type Verdict struct {
	Taken    bool      `json:"taken"`
	Problems []Problem `json:"problems"`
	Pending  []string  `json:"pending"` // keys that wait for a restart
}

// Problem is what is wrong with a key; of the file as a whole the key is empty.
type Problem struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

// ErrStale says that the file is not the one any more of which a change was
// meant.
var ErrStale = errors.New("the configuration has been changed meanwhile: load the page again")

// configured serves where the page configures the device, and only those who have
// shown a token: without one anybody could change what the device does.
func (s *Server) configured(next http.HandlerFunc) http.HandlerFunc {
	if s.o.Settings == nil {
		return func(w http.ResponseWriter, _ *http.Request) {
			page.Refuse(w, http.StatusNotFound, "settings", "this device is not configured by its page")
		}
	}
	return s.shown("the configuration can be changed", next)
}

// shown serves only those who have shown a token. On loopback a device may have none,
// and is then watched by everybody there, and no more.
func (s *Server) shown(what string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.auth.Needed() {
			page.Refuse(w, http.StatusForbidden, "unclaimed", what+" here once the device has a token: set status.token in its file")
			return
		}
		next(w, r)
	}
}

func (s *Server) configuration(w http.ResponseWriter, _ *http.Request) {
	c, err := s.o.Settings.Configuration()
	s.answer(w, &c, err)
}

func (s *Server) change(w http.ResponseWriter, r *http.Request) {
	var c Change
	if !page.Receive(w, r, &c) {
		return
	}
	v, err := s.o.Settings.Change(c)
	s.answer(w, &v, err)
}

func (s *Server) undo(w http.ResponseWriter, _ *http.Request) {
	v, err := s.o.Settings.Undo()
	s.answer(w, &v, err)
}

func (s *Server) restart(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusNoContent)
	s.o.Settings.Restart()
}

func (s *Server) identify(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Pin string `json:"pin"`
	}
	if !page.Receive(w, r, &body) {
		return
	}
	if err := s.o.Settings.Identify(body.Pin); err != nil {
		page.Refuse(w, http.StatusConflict, "pin", err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// answer sends v, or what went wrong.
func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, ErrStale):
		page.Refuse(w, http.StatusConflict, "stale", err.Error())
		return
	case err != nil:
		page.Refuse(w, http.StatusInternalServerError, "settings", err.Error())
		return
	}
	b, err := encode(v)
	if err != nil {
		page.Refuse(w, http.StatusInternalServerError, "settings", err.Error())
		return
	}
	page.SendJSON(w, http.StatusOK, b)
}

// Claim is how a device gets its first token: from the first who comes.
type Claim struct {
	// Take keeps the token.
	Take func(token string) error
	// Until is when it is too late: a device that nobody set up does not wait
	// for a stranger for ever.
	Until time.Time
}

// Claimed is what everybody is told: whether the device has a token, and if not
// whether it can be given one.
type Claimed struct {
	Claimed bool   `json:"claimed"`
	Open    bool   `json:"open"`
	Reason  string `json:"reason"` // why it cannot
	Run     string `json:"run"`    // another one after each start, so that who asked for one sees it
}

func (s *Server) claimState(r *http.Request) Claimed {
	c := Claimed{Claimed: s.auth.Needed(), Run: s.run}
	switch {
	case c.Claimed:
	case s.o.Claim == nil:
		c.Reason = "this device has been configured without a token"
	case time.Now().After(s.o.Claim.Until):
		c.Reason = "nobody has set the device up in time: switch it off and on, and come back within half an hour"
	case page.Forwarded(r) || !near(s.auth.Client(r)):
		c.Reason = "the device is set up from its own network"
	default:
		c.Open = true
	}
	return c
}

func (s *Server) claimed(w http.ResponseWriter, r *http.Request) {
	c := s.claimState(r)
	s.answer(w, &c, nil)
}

// near says whether a client is on the device's own network, as far as its
// address tells: of the open internet's only those are that one of the device's
// own links has, which with IPv6 is the usual case.
func near(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		link, err := netip.ParsePrefix(a.String())
		return err == nil && link.Contains(ip)
	})
}

// claim takes the token of the first who comes, and begins a session.
func (s *Server) claim(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token string `json:"token"`
	}
	if !page.Receive(w, r, &body) {
		return
	}
	s.claims.Lock()
	defer s.claims.Unlock()
	if c := s.claimState(r); !c.Open {
		if c.Claimed {
			c.Reason = "somebody has set the device up already: if that was not you, take its card or its file and write another token"
		}
		page.Refuse(w, http.StatusForbidden, "claimed", c.Reason)
		return
	}
	if strings.HasPrefix(body.Token, page.Hashed) || body.Token == "" {
		page.Refuse(w, http.StatusBadRequest, "token", "want the token itself, at least 16 characters")
		return
	}
	if err := page.CheckToken(body.Token); err != nil {
		page.Refuse(w, http.StatusBadRequest, "token", strings.TrimPrefix(err.Error(), "page: "))
		return
	}
	if err := s.o.Claim.Take(body.Token); err != nil {
		page.Refuse(w, http.StatusInternalServerError, "claim", err.Error())
		return
	}
	s.auth.SetToken(body.Token)
	s.auth.Begin(w, r)
}

// look lets the session that asks see the camera's picture for a while, for
// the walk that sets the device up; nobody else does.
func (s *Server) look(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Given *bool `json:"given"`
	}
	if !page.Receive(w, r, &body) {
		return
	}
	if body.Given == nil {
		page.Refuse(w, http.StatusBadRequest, "body", "given is missing: true or false")
		return
	}
	x := page.SessionOf(r)
	s.preview.lend(x, *body.Given)
	w.WriteHeader(http.StatusNoContent)
}

// Lent reports whether somebody sets the device up and sees its picture.
func (s *Server) Lent() bool { return s.preview.lent(time.Now()) }
