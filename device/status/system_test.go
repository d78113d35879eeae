package status

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// fakeSystem takes images that are signed "good".
type fakeSystem struct {
	image int
	busy  bool
}

func (f *fakeSystem) Now(context.Context) (any, error) {
	return map[string]any{"name": "v1", "newest": 7}, nil
}
func (f *fakeSystem) Log(context.Context) (string, error) { return "init: all is well\n", nil }
func (f *fakeSystem) Update(_ context.Context, image io.Reader, signature []byte) error {
	if f.busy {
		return ErrBusy
	}
	b, err := io.ReadAll(image)
	if err == nil && string(signature) != "good" {
		err = errors.New("not signed by a known key")
	}
	if err == nil {
		f.image = len(b)
	}
	return err
}

// Where the system is our own its log can be read and an update be sent, by who
// has the token; an image is larger than any other request may be.
func TestSystem(t *testing.T) {
	const token = "0123456789abcdef"
	f := &fakeSystem{}
	_, url := start(t, Options{Token: token, System: f}, newScene())
	ask := func(method, path, auth, signature string, body io.Reader) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			r.Header.Set("Authorization", "Bearer "+auth)
		}
		if signature != "" {
			r.Header.Set(signatureHeader, base64.StdEncoding.EncodeToString([]byte(signature)))
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, text := ask("GET", "/v1/system/log", token, "", nil); code != 200 || text != "init: all is well\n" {
		t.Errorf("log: %d %q", code, text)
	}
	if code, text := ask("GET", "/v1/system", token, "", nil); code != 200 || !strings.Contains(text, `"newest":7`) {
		t.Errorf("system: %d %q", code, text)
	}
	large := func() io.Reader { return strings.NewReader(strings.Repeat("x", 1<<20)) }
	if code, _ := ask("PUT", "/v1/system/image", "", "good", large()); code != 401 || f.image != 0 {
		t.Errorf("without a token: %d, %d bytes", code, f.image)
	}
	if code, _ := ask("PUT", "/v1/system/image", token, "", large()); code != 400 {
		t.Errorf("without a signature: %d", code)
	}
	f.busy = true
	if code, text := ask("PUT", "/v1/system/image", token, "good", large()); code != 409 || !strings.Contains(text, "being received") || f.image != 0 {
		t.Errorf("beside another image: %d %s", code, text)
	}
	f.busy = false
	if code, text := ask("PUT", "/v1/system/image", token, "bad", large()); code != 422 || !strings.Contains(text, "known key") {
		t.Errorf("badly signed: %d %s", code, text)
	}
	if code, text := ask("PUT", "/v1/system/image", token, "good", large()); code != 200 || f.image != 1<<20 || !strings.Contains(text, `"newest":7`) {
		t.Errorf("well signed: %d %s, %d bytes", code, text, f.image)
	}
}

// Who listens on loopback without a token shows what the device sees, not what its
// system says, and takes no update.
func TestSystemWantsAToken(t *testing.T) {
	f := &fakeSystem{}
	_, url := start(t, Options{System: f}, newScene())
	for _, q := range []string{"GET /v1/system", "GET /v1/system/log", "PUT /v1/system/image"} {
		method, path, _ := strings.Cut(q, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader("image"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(signatureHeader, base64.StdEncoding.EncodeToString([]byte("good")))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 403 || !strings.Contains(string(b), "status.token") || f.image != 0 {
			t.Errorf("%s: %d %s, %v", q, resp.StatusCode, b, err)
		}
	}
}
