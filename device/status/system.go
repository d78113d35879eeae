package status

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"mien/device/page"
)

// System is what lies below the program, where it is this project's own.
type System interface {
	// Now says what the system is and how updates of it went, as JSON of its own.
	Now(ctx context.Context) (any, error)
	// Log is what the system and the program have said lately.
	Log(ctx context.Context) (string, error)
	// Update takes an image of the whole system, and its signature in minisign's
	// format. The system restarts soon after it has returned nil.
	Update(ctx context.Context, image io.Reader, signature []byte) error
}

// mostImage is how large an image may be, in bytes.
const mostImage = 128 << 20

// signatureHeader carries the signature of an image, in base64.
const signatureHeader = "Minisign"

// ErrBusy says that an update is being received already.
var ErrBusy = errors.New("another image is being received: wait until it is written, or has been refused")

// systemed serves where the system is our own, and only those who have shown a token.
func (s *Server) systemed(next http.HandlerFunc) http.HandlerFunc {
	if s.o.System == nil {
		return func(w http.ResponseWriter, _ *http.Request) {
			page.Refuse(w, http.StatusNotFound, "system", "this device does not run the mien image: its system has tools of its own")
		}
	}
	return s.shown("the system can be looked at and updated", next)
}

func (s *Server) systemNow(w http.ResponseWriter, r *http.Request) {
	now, err := s.o.System.Now(r.Context())
	var b []byte
	if err == nil {
		b, err = json.Marshal(now)
	}
	if err != nil {
		page.Refuse(w, http.StatusServiceUnavailable, "system", err.Error())
		return
	}
	page.SendJSON(w, http.StatusOK, b)
}

func (s *Server) systemLog(w http.ResponseWriter, r *http.Request) {
	text, err := s.o.System.Log(r.Context())
	if err != nil {
		page.Refuse(w, http.StatusServiceUnavailable, "system", err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text)
}

// pieceWithin is how long a piece of an image may be awaited, and
// takenWithin how long the whole may take.
const (
	pieceWithin = 20 * time.Second
	takenWithin = 10 * time.Minute
)

// systemImage takes an update. The client has pieceWithin for each piece, and not
// the time that other requests have for the whole.
func (s *Server) systemImage(w http.ResponseWriter, r *http.Request) {
	signature, err := base64.StdEncoding.DecodeString(r.Header.Get(signatureHeader))
	if err != nil || len(signature) == 0 {
		page.Refuse(w, http.StatusBadRequest, "signature", "the header "+signatureHeader+" has to carry the .minisig file of the image, in base64")
		return
	}
	ctl := http.NewResponseController(w)
	ctl.SetWriteDeadline(time.Now().Add(takenWithin)) // a recorder in a test has none
	err = s.o.System.Update(r.Context(), &patient{r.Body, ctl}, signature)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, ErrBusy):
		page.Refuse(w, http.StatusConflict, "busy", err.Error())
	case errors.As(err, &large):
		page.Refuse(w, http.StatusRequestEntityTooLarge, "image", "no image of a card is that large")
	case err != nil:
		page.Refuse(w, http.StatusUnprocessableEntity, "image", err.Error())
	default:
		s.systemNow(w, r)
	}
}

// patient gives each piece of a body a time of its own.
type patient struct {
	io.Reader
	ctl *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	p.ctl.SetReadDeadline(time.Now().Add(pieceWithin))
	return p.Reader.Read(b)
}
