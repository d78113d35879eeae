package status

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
	for _, configured := range []string{token, hashed + sum, hashed + strings.ToUpper(sum)} {
		s, err := New(Options{Token: configured})
		if err != nil {
			t.Fatal(err)
		}
		for shown, want := range map[string]int{token: http.StatusOK, hashed + sum: http.StatusUnauthorized, sum: http.StatusUnauthorized, "": http.StatusUnauthorized} {
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/v1/status", nil)
			r.Header.Set("Authorization", "Bearer "+shown)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("token %.10s..., shown %.10q...: %d, want %d", configured, shown, w.Code, want)
			}
		}
	}
	for _, wrong := range []string{hashed, hashed + sum[1:], hashed + sum + "00", hashed + strings.Repeat("x", 64), "short", strings.Repeat(" ", 20), token + " "} {
		if _, err := New(Options{Token: wrong}); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// A port that there is not is refused before anybody listens.
func TestPort(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:80": true, "127.0.0.1:0": true, "[::1]:65535": true, "127.0.0.1:65536": false, "127.0.0.1:99999": false,
		"127.0.0.1:-1": false, "127.0.0.1:": false, "127.0.0.1:http": false, "127.0.0.1:00": false, "127.0.0.1: 80": false} {
		if err := (Options{Addr: addr}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
