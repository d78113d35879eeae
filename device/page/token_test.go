package page

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A token that is given by its hash opens, and the hash does not.
func TestTokenByItsHash(t *testing.T) {
	const token = "correct horse battery"
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(token)))
	for _, configured := range []string{token, Hashed + sum, Hashed + strings.ToUpper(sum)} {
		s := server(t, Options{Token: configured})
		for shown, want := range map[string]int{token: http.StatusOK, Hashed + sum: http.StatusUnauthorized, sum: http.StatusUnauthorized, "": http.StatusUnauthorized} {
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/v1/info", nil)
			r.Header.Set("Authorization", "Bearer "+shown)
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("token %.10s..., shown %.10q...: %d, want %d", configured, shown, w.Code, want)
			}
		}
	}
	for _, wrong := range []string{Hashed, Hashed + sum[1:], Hashed + sum + "00", Hashed + strings.Repeat("x", 64), "short", strings.Repeat(" ", 20), token + " "} {
		if _, err := New(Options{Addr: "127.0.0.1:80", Token: wrong}); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// A port that there is not is refused before anybody listens.
func TestPort(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:80": true, "127.0.0.1:0": true, "[::1]:65535": true, "127.0.0.1:65536": false, "127.0.0.1:99999": false,
		"127.0.0.1:-1": false, "127.0.0.1:": false, "127.0.0.1:http": false, "127.0.0.1:00": false, "127.0.0.1: 80": false} {
		if err := (&Options{Addr: addr}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
