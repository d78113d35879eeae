package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mien/camera"
	"mien/device/config"
	"mien/device/pins"
	"mien/runtime/testwait"
)

// field waits for the first value of a key in a log.
func field(t *testing.T, l *testwait.Log, key string) (value string) {
	t.Helper()
	testwait.Until(t, key, func() bool {
		if m := regexp.MustCompile(key + `=(\S+)`).FindStringSubmatch(l.String()); m != nil {
			value = m[1]
		}
		return value != ""
	})
	return value
}

func newTLS() *httptest.Server { return httptest.NewTLSServer(nil) }

// Trouble that repeats is told once, then at growing intervals with a count of
// what was left out; other trouble, and what is no trouble, always is.
func TestTroubleThatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out testwait.Log
		log := newLog(&out)
		for i := range 24 * 360 { // a day of every ten seconds
			log.Warn("camera lost", "why", fmt.Sprintf("no frame for %ds; trying again in %v", i%7+1, time.Duration(i)*250*time.Millisecond))
			time.Sleep(10 * time.Second)
		}
		told := strings.Split(strings.TrimSpace(out.String()), "\n")
		sum := 0
		for _, l := range told {
			n := 1
			if _, after, ok := strings.Cut(l, "times="); ok {
				n, _ = strconv.Atoi(after)
			}
			sum += n
		}
		if len(told) > 14 || len(told) < 8 || sum < 24*360/2 {
			t.Errorf("%d lines about %d times\n%s", len(told), sum, out.String())
		}
		before := len(told)
		log.Warn("camera lost", "why", "unplugged")
		log.Error("camera lost", "why", "unplugged")
		log.Warn("mqtt", "error", errors.New("refused"))
		for range 3 {
			log.Info("consent", "given", true)
			log.ErrorContext(answer(t.Context()), "refused", "line", 3)
		}
		if n := strings.Count(out.String(), "\n") - before; n != 9 {
			t.Errorf("%d of 9 other lines", n)
		}
		time.Sleep(lastSilence + time.Minute)
		log.Warn("camera lost", "why", "no frame for 3s; trying again in 1s")
		if last := out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n"):]; strings.Contains(last, "times") || !strings.Contains(last, "camera lost") {
			t.Errorf("after a long rest: %s", last)
		}
	})
}

// A part that fails and works in turn writes a few lines a day, of both.
func TestTroubleThatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out testwait.Log
		p := &part{name: "oled", log: newLog(&out)}
		const turns = 24 * 60
		for range turns {
			p.note(errors.New("no answer"))
			p.note(nil)
			time.Sleep(time.Minute)
		}
		for _, words := range []string{"oled is out of order", "oled works again"} {
			if n := strings.Count(out.String(), words); n < 5 || n > 15 {
				t.Errorf("%q is told %d times of %d", words, n, turns)
			}
		}
	})
}

// The log of trouble without end, all of it different, is told and takes no
// memory without end.
func TestTroubleIsBounded(t *testing.T) {
	var out testwait.Log
	log := newLog(&out)
	for i := range 3 * maxTroubles {
		log.Warn(strings.Repeat("x", i))
	}
	if n := len(log.Handler().(*sparing).told); n > maxTroubles {
		t.Errorf("%d troubles are remembered", n)
	}
	if n := strings.Count(out.String(), "\n"); n != 3*maxTroubles {
		t.Errorf("%d lines", n)
	}
}

// A camera that is away for a day writes a few lines.
func TestCameraAwayForADay(t *testing.T) {
	file := modelFile(t)
	inBubble(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.Model.File, cfg.Status.Listen = file, "none"
		var out testwait.Log
		a, err := newApp(cfg, newLog(&out), appOptions{sim: &pins.Sim{}, open: func(context.Context) (camera.Source, error) {
			return nil, errors.New("open /dev/video0: no such device")
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- a.run(ctx) }()
		time.Sleep(24 * time.Hour)
		cancel()
		if err := errors.Join(<-ended, a.close()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(out.String(), "camera lost"); n < 3 || n > 20 {
			t.Errorf("%d lines in a day\n%s", n, out.String())
		}
	})
}
