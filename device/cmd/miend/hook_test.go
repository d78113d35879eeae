package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/config"
	"mien/runtime/secret"
	"mien/runtime/testwait"
)

// Who is named in the configuration is told of a face that begins, and a program is
// run; what fails shows as that part's problem alone.
func TestHooks(t *testing.T) {
	posts := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		posts <- string(b)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer srv.Close()
	dir := t.TempDir()
	program, out := filepath.Join(dir, "greet"), filepath.Join(dir, "out")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat > \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Name, cfg.Status.Listen, cfg.Signals.Pins = "door", "none", "simulated"
	cfg.Webhook.URL = secret.New(srv.URL)
	cfg.Hook.Command = []string{program, out}
	a := live(t, cfg, newLog(io.Discard), appOptions{open: func(context.Context) (camera.Source, error) { return demoScene(), nil }})
	a.to.Track(&device.Track{Kind: device.Begin, Time: time.Now(), Face: device.FaceReading{ID: 1 << 40}})
	const want = `{"device":"door","delivery":"`
	select {
	case got := <-posts:
		if !strings.HasPrefix(got, want) {
			t.Errorf("posted %s", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing was posted")
	}
	testwait.Until(t, "the program", func() bool {
		b, err := os.ReadFile(out)
		return err == nil && strings.HasPrefix(string(b), want)
	})
	testwait.Until(t, "what the server said", func() bool { return strings.Contains(problem(a, "webhook"), "refuses") })
	if p := problem(a, "hook"); p != "" {
		t.Error(p)
	}
}
