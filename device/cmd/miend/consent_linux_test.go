package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mien/camera"
	"mien/camera/replay"
	"mien/device/config"
	"mien/runtime/testwait"
)

// marked is a camera whose pictures carry a mark in their last rows while it
// is told to: bytes that are nowhere else in this process.
type marked struct {
	camera.Source
	seed  uint64
	on    *atomic.Bool
	given *atomic.Uint64
}

// secretRow is the mark, each byte turned over, so that the test itself does
// not hold it.
func secretRow(seed uint64) []byte {
	r, row := rand.New(rand.NewPCG(seed, seed)), make([]byte, 48)
	for i := range row {
		row[i] = ^byte(r.Uint32())
	}
	return row
}

func (m *marked) Next(ctx context.Context, f *camera.Frame) error {
	if err := m.Source.Next(ctx, f); err != nil {
		return err
	}
	if m.on.Load() {
		row := secretRow(m.seed)
		last := f.Pix[(f.Rect.Dy()-1)*f.Stride:]
		for i := range last {
			last[i] = ^row[i%len(row)]
		}
	}
	m.given.Add(1)
	return nil
}

// held counts where in this process's memory the mark is.
func held(t *testing.T, seed uint64) (n int) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	inverse := secretRow(seed)
	buf, turned := make([]byte, 1<<20), make([]byte, 1<<20)
	sc := bufio.NewScanner(maps)
	for sc.Scan() {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(sc.Text(), "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || strings.Contains(sc.Text(), "[v") {
			continue
		}
		for at := from; at < to; at += int64(len(buf)) - 64 {
			k, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if k == 0 || err != nil && err != io.EOF {
				break
			}
			for i := range k { // compared turned over, or the copy would be found
				turned[i] = ^buf[i]
			}
			clear(buf)
			n += bytes.Count(turned[:k], inverse[:32])
			clear(turned)
		}
	}
	return n
}

// Consent that is taken back takes everything with it within one frame: the
// call comes back when no picture, no answer and no label is to be had any
// more, and one frame later the last picture's pixels are nowhere in the
// memory of the process.
func TestConsentTakenBackIsForgotten(t *testing.T) {
	cfg := config.Default()
	cfg.Model.File, cfg.Consent, cfg.Status.Listen, cfg.Status.Preview = modelFile(t), "http", "127.0.0.1:0", true
	seed := rand.Uint64()
	var on atomic.Bool
	var given atomic.Uint64
	on.Store(true)
	a, err := newApp(cfg, quiet(), appOptions{open: func(context.Context) (camera.Source, error) {
		return &marked{replay.Demo(replay.Options{Real: true, Loop: true}), seed, &on, &given}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	ask := func(path string) (int, string) {
		r, err := http.NewRequest("GET", "http://localhost"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &reply{header: http.Header{}}
		r.RemoteAddr = "127.0.0.1:1"
		a.page.Handler().ServeHTTP(w, r)
		return w.code, w.body.String()
	}
	a.sup.Consent(true)
	testwait.Until(t, "a face", func() bool { _, body := ask("/v1/readings"); return strings.Contains(body, `"head"`) })
	testwait.Until(t, "a picture", func() bool { code, _ := ask("/v1/preview.jpg"); time.Sleep(300 * time.Millisecond); return code == 200 })
	// Between two frames there may be none: the search has to meet one.
	testwait.Until(t, "the mark, while pictures are read,", func() bool { return held(t, seed) > 0 })

	on.Store(false) // what comes from now on is not what is looked for
	a.sup.Consent(false)
	if code, _ := ask("/v1/preview.jpg"); code == 200 {
		t.Error("there still is a picture")
	}
	if _, body := ask("/v1/readings"); strings.Contains(body, `"head"`) {
		t.Errorf("there still is an answer: %s", body)
	}
	if code, body := ask("/healthz"); code != 503 || !strings.Contains(body, "no consent") {
		t.Errorf("healthz %d %s", code, body)
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "http://localhost/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	one, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	w := &reply{header: http.Header{}}
	r.RemoteAddr = "127.0.0.1:1"
	a.page.Handler().ServeHTTP(w, r.WithContext(one))
	stop()
	if body := w.body.String(); strings.Contains(body, `"head":`) || strings.Contains(body, `is_`) || !strings.Contains(body, "no consent") {
		t.Errorf("a new page is told %s", body)
	}
	n := given.Load()
	testwait.Until(t, "a frame", func() bool { return given.Load() > n+1 })
	runtime.GC()
	if n := held(t, seed); n != 0 {
		t.Errorf("the last picture is in memory %d times", n)
	}
}

// reply is a response without a network.
type reply struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *reply) Header() http.Header { return a.header }
func (a *reply) WriteHeader(c int)   { a.code = c }
func (a *reply) Flush()              {}
func (a *reply) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = 200
	}
	return a.body.Write(b)
}
