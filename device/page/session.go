package page

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

const (
	sessionLife = 12 * time.Hour
	maxSessions = 64
)

// Session is what a page has that has shown the token. It ends with its life
// or with a logout, and what it watches ends with it.
type Session struct {
	until time.Time
	ended chan struct{}
	timer *time.Timer
}

// Ended is closed when the session ends.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// sessions are known by the digest of what their cookie holds, so that the
// memory of this program does not tell it.
type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*Session
	now func() time.Time
}

func newSessions() *sessions {
	return &sessions{all: map[[sha256.Size]byte]*Session{}, now: time.Now}
}

// begin returns what the cookie of a new session holds. Of too many the one
// that would end first ends.
func (s *sessions) begin() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails since Go 1.24
	value := base64.RawURLEncoding.EncodeToString(key)
	id := sha256.Sum256([]byte(value))
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.all) >= maxSessions {
		var oldest [sha256.Size]byte
		for k, x := range s.all {
			if o := s.all[oldest]; o == nil || x.until.Before(o.until) {
				oldest = k
			}
		}
		s.drop(oldest)
	}
	x := &Session{until: s.now().Add(sessionLife), ended: make(chan struct{})}
	x.timer = time.AfterFunc(sessionLife, func() { s.end(value) })
	s.all[id] = x
	return value
}

// find returns the session of a cookie, or nil.
func (s *sessions) find(value string) *Session {
	id := sha256.Sum256([]byte(value))
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.all[id]
	if x != nil && !s.now().Before(x.until) {
		s.drop(id)
		return nil
	}
	return x
}

// end ends the session of a cookie, if it is one.
func (s *sessions) end(value string) {
	id := sha256.Sum256([]byte(value))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

func (s *sessions) drop(id [sha256.Size]byte) {
	if x := s.all[id]; x != nil {
		x.timer.Stop()
		close(x.ended)
		delete(s.all, id)
	}
}
