package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mien/camera/replay/portrait"
	"mien/device/config"
)

// board is a device that nobody has set up: no configuration, a camera in
// front of a face, a header in memory.
func board(t *testing.T) (page, file string) {
	t.Helper()
	file = write(t, "mien.yaml", config.Sample)
	return launch(t, file), file
}

// launch starts a device whose camera is in front of a face; its page is where it
// says, to be set up if it is to be. It ends with the test.
func launch(t *testing.T, file string) (page string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if data, err := os.ReadFile(file); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(file, bytes.ReplaceAll(data, []byte("ADDR"), []byte(addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	pictures := filepath.Join(t.TempDir(), "pictures")
	if err := os.Mkdir(pictures, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.jpg", "2.jpg", "3.jpg"} {
		if err := os.WriteFile(filepath.Join(pictures, name), portrait.JPEG(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var log bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"run", "-c", file, "--setup", addr, "--model", modelFile(t), "--replay", pictures, "--loop", "-q"}, io.Discard, &log)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%v\n%s", err, log.String())
		}
	})
	page = "http://" + addr
	for range 200 {
		if r, err := http.Get(page + "/v1/claim"); err == nil {
			r.Body.Close()
			return page
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the page does not answer")
	return ""
}

// send asks as a program does that has the token.
func send(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
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

// versionNow is of the file that the page changes.
func versionNow(t *testing.T, page, token string) string {
	t.Helper()
	_, body := send(t, "GET", page+"/v1/config", token, "")
	_, rest, _ := strings.Cut(body, `"version":"`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// From nothing to a moving line: the first who comes chooses the token, and
// nobody else gets in; what is wrong is said and not written; what is right is
// written with all comments, runs after a restart and can be undone.
func TestSetUp(t *testing.T) {
	const token = "the first who comes"
	page, file := board(t)
	for _, path := range []string{"/v1/info", "/v1/readings", "/v1/events", "/v1/preview.jpg", "/metrics", "/healthz", "/v1/config"} {
		if code, body := send(t, "GET", page+path, "", ""); code != 403 || !strings.Contains(body, "unclaimed") {
			t.Errorf("%s on a device that is nobody's: %d %s", path, code, body)
		}
	}
	if code, body := send(t, "POST", page+"/v1/claim", "", `{"token":"short"}`); code != 400 {
		t.Errorf("a short token: %d %s", code, body)
	}
	if code, body := send(t, "POST", page+"/v1/claim", "", `{"token":"`+token+`"}`); code != 204 {
		t.Fatalf("claim: %d %s", code, body)
	}
	if code, body := send(t, "POST", page+"/v1/claim", "", `{"token":"the second who comes"}`); code != 403 {
		t.Errorf("claimed twice: %d %s", code, body)
	}
	if code, _ := send(t, "GET", page+"/v1/config", "", ""); code != 401 {
		t.Errorf("the configuration without a token: %d", code)
	}
	if data, err := os.ReadFile(file); err != nil || strings.Contains(string(data), token) || !strings.Contains(string(data), "sha256:") {
		t.Errorf("%v\n%s", err, data)
	}
	if _, body := send(t, "GET", page+"/v1/config", token, ""); !strings.Contains(body, `"pending":[]`) {
		t.Errorf("the token waits for a restart: %.200s", body)
	}
	if code, body := send(t, "PATCH", page+"/v1/config", token, `{"of":"0","changes":{},"take":true}`); code != 409 {
		t.Errorf("of another file: %d %s", code, body)
	}
	bad := `{"of":"` + versionNow(t, page, token) + `","take":true,"changes":{"signals.lines":"face: GPIO99","camera.width":"5"}}`
	if _, body := send(t, "PATCH", page+"/v1/config", token, bad); !strings.Contains(body, `"taken":false`) || !strings.Contains(body, `"key":"camera.width"`) {
		t.Errorf("nonsense: %s", body)
	}
	good := `{"of":"` + versionNow(t, page, token) + `","take":true,"changes":{"signals.lines":"face: GPIO22","signals.pins":"simulated","name":"hall"}}`
	if _, body := send(t, "PATCH", page+"/v1/config", token, good); !strings.Contains(body, `"taken":true`) || !strings.Contains(body, `"pending":["name","signals.pins"`) {
		t.Fatalf("%s", body)
	}
	if code, body := send(t, "POST", page+"/v1/identify", token, `{"pin":"GPIO22"}`); code != 409 {
		t.Errorf("a pin with a task blinks: %d %s", code, body)
	}
	if code, body := send(t, "POST", page+"/v1/identify", token, `{"pin":"GPIO23"}`); code != 204 {
		t.Errorf("%d %s", code, body)
	}
	before := fetch(t, page+"/v1/claim")
	if code, _ := send(t, "POST", page+"/v1/restart", token, ""); code != 204 {
		t.Error(code)
	}
	for again := false; !again; time.Sleep(50 * time.Millisecond) { // this run answers to its end
		if r, err := http.Get(page + "/v1/claim"); err == nil {
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			again = len(b) > 0 && string(b) != before
		}
	}
	moved := false
	for range 200 {
		r, err := http.NewRequest("GET", page+"/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if moved = strings.Contains(string(b), `"line":"face","pin":"GPIO22","active":true`); moved {
				break
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !moved {
		t.Error("a face in view does not move the line")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(config.Sample)) {
		if i := strings.Index(line, "# "); i >= 0 && !strings.Contains(string(data), strings.TrimSpace(line[i:])) {
			t.Errorf("the comment is gone: %s", line[i:])
		}
	}
	if _, body := send(t, "PATCH", page+"/v1/config", token, `{"of":"`+versionNow(t, page, token)+`","take":true,"changes":{"status.token":"${FILE:/etc/mien/token}"}}`); !strings.Contains(body, `"taken":false`) {
		t.Errorf("a reference by the page: %s", body)
	}
	const next = "the token after the first"
	if _, body := send(t, "PATCH", page+"/v1/config", token, `{"of":"`+versionNow(t, page, token)+`","take":true,"changes":{"status.token":"`+next+`"}}`); !strings.Contains(body, `"taken":true`) {
		t.Errorf("another token: %s", body)
	}
	if data, err := os.ReadFile(file); err != nil || strings.Contains(string(data), next) {
		t.Errorf("the token itself is in the file: %v", err)
	}
	if _, body := send(t, "POST", page+"/v1/config/undo", token, ""); !strings.Contains(body, `"taken":true`) {
		t.Errorf("undo of another token: %s", body)
	}
	if _, body := send(t, "POST", page+"/v1/config/undo", token, ""); !strings.Contains(body, `"taken":true`) {
		t.Errorf("undo: %s", body)
	}
	if _, body := send(t, "POST", page+"/v1/config/undo", token, ""); !strings.Contains(body, `"taken":false`) || !strings.Contains(body, `"key":"status.token"`) {
		t.Errorf("undo of the token: %s", body)
	}
	if c, err := config.Load(file); err != nil || len(c.Signals.Lines) != 0 || c.Status.Token.IsZero() {
		t.Errorf("after undo: %+v, %v", c.Signals.Lines, err)
	}
}

// Counts are kept where that is asked for, go on in the next run, and are gone
// when it is asked for no longer.
func TestHistory(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "history.json")
	conf := "status: {listen: ADDR}\nhistory: {days: DAYS, file: " + kept + "}\n"
	for before := range 2 {
		t.Run("counting", func(t *testing.T) {
			page := launch(t, write(t, "c.yaml", []byte(strings.Replace(conf, "DAYS", "3", 1))))
			for range 200 {
				if counted(fetch(t, page+"/v1/history")) == before+1 {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Error(fetch(t, page+"/v1/history"))
		})
		if data, err := os.ReadFile(kept); err != nil || counted(string(data)) != before+1 {
			t.Errorf("%s, %v", data, err)
		}
	}
	t.Run("not any more", func(t *testing.T) {
		launch(t, write(t, "c.yaml", []byte(strings.Replace(conf, "DAYS", "0", 1))))
	})
	if _, err := os.Stat(kept); !os.IsNotExist(err) {
		t.Error("what was counted is still there")
	}
}

// counted is how many faces came in all hours.
func counted(text string) (n int) {
	for _, m := range regexp.MustCompile(`"faces":([0-9]+)`).FindAllStringSubmatch(text, -1) {
		i, _ := strconv.Atoi(m[1]) // digits
		n += i
	}
	return n
}
