package deploy

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pretended is the page of a board that takes an image, is away while it
// restarts, and then says what became of it.
func pretended(t *testing.T, end string) string {
	t.Helper()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":"token","detail":"this device asks for its token"}`)
			return
		}
		if r.Method == http.MethodPut {
			b, err := io.ReadAll(r.Body)
			sig, _ := base64.StdEncoding.DecodeString(r.Header.Get("Minisign"))
			if err != nil || string(b) != "image" || string(sig) != "signature" {
				t.Errorf("the board gets %q signed %q (%v)", b, sig, err)
			}
			fmt.Fprint(w, `{"name":"v1","newest":2,"trial":{"version":2}}`)
			return
		}
		switch asked++; asked {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			fmt.Fprint(w, `{"name":"v2","newest":2,"trial":{"version":2}}`)
		default:
			fmt.Fprint(w, end)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "v2.img")
	for name, text := range map[string]string{file: "image", file + ".minisig": "signature"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ end, token, name, want string }{
		{`{"name":"v2","newest":2}`, "secret", "v2", ""},
		{`{"name":"v1","newest":2,"fallen":[{"version":2,"why":"it did not prove itself in 2 starts"}]}`, "secret", "", "did not prove itself"},
		{"", "wrong", "", "asks for its token"},
	} {
		name, err := Image(t.Context(), ImageOptions{Page: pretended(t, c.end), Token: c.token, Image: file, Out: io.Discard, Every: time.Millisecond})
		if name != c.name || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %q, %v", c, name, err)
		}
	}
	if err := os.Remove(file + ".minisig"); err != nil {
		t.Fatal(err)
	}
	if _, err := Image(t.Context(), ImageOptions{Page: "http://127.0.0.1:1", Image: file, Out: io.Discard}); err == nil || !strings.Contains(err.Error(), "minisign -Sm") {
		t.Errorf("unsigned: %v", err)
	}
}
