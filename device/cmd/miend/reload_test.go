package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mien/device/config"
	"mien/device/pins"
	"mien/runtime/testwait"
)

// A reload of an unchanged file, and one of keys that have nothing to do with
// them, leaves tracks and lines as they are.
func TestReloadKeepsWhatItDoesNotChange(t *testing.T) {
	file := modelFile(t)
	inBubble(t, func(t *testing.T) {
		base := func() config.Config {
			cfg := config.Default()
			cfg.Model.File, cfg.Status.Listen = file, "none"
			cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "A", Active: "high"}, "face": {Pin: "B", Active: "high"}, "code2": {Pin: "C", Active: "high"}}
			return cfg
		}
		a, err := newApp(base(), quiet(), appOptions{open: scene, sim: &pins.Sim{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- a.run(ctx) }()
		for !a.sees() {
			time.Sleep(40 * time.Millisecond)
		}
		for _, turn := range []func(*config.Config){
			func(*config.Config) {},
			func(c *config.Config) { c.Camera.MaxRate = 20 },
			func(c *config.Config) { c.MQTT.Topic = "elsewhere" }, // waits for a restart
			func(c *config.Config) { c.Signals.Pulse = 50 * time.Millisecond },
		} {
			cfg := base()
			turn(&cfg)
			time.Sleep(510 * time.Millisecond)
			synctest.Wait() // nothing moves but by the reload
			before := a.out.Lines()
			if err := a.reload(cfg); err != nil {
				t.Fatal(err)
			}
			after := a.out.Lines()
			for i := range before {
				if before[i] != after[i] {
					t.Errorf("line %s was %+v and is %+v", before[i].Name, before[i], after[i])
				}
			}
			if !a.sees() {
				t.Error("who was in view is not any more")
			}
		}
		cancel()
		if err := errors.Join(<-ended, a.close()); err != nil {
			t.Error(err)
		}
	})
}

// sees reports whether the line face is active.
func (a *app) sees() bool {
	for _, l := range a.out.Lines() {
		if l.Name == "face" {
			return l.Active
		}
	}
	return false
}

// Changed heads are on the page without a restart.
func TestReloadTellsThePage(t *testing.T) {
	cfg := config.Default()
	cfg.Model.File, cfg.Status.Listen, cfg.Faces.MinSize = modelFile(t), "127.0.0.1:0", 400
	var log testwait.Log
	a := live(t, cfg, newLog(&log), appOptions{open: scene, sim: &pins.Sim{}})
	page := field(t, &log, "address")
	if info := fetch(t, page+"/v1/info"); !strings.Contains(info, `"name":"emotion","labels":["surprise","fear","disgust","happy","sad","angry","neutral"],"enabled":true`) {
		t.Errorf("%s", info)
	}
	cfg.Heads = []string{"age"}
	if err := a.reload(cfg); err != nil {
		t.Fatal(err)
	}
	if info := fetch(t, page+"/v1/info"); !strings.Contains(info, `"neutral"],"enabled":false`) || !strings.Contains(info, `"70+"],"enabled":true`) {
		t.Errorf("%s", info)
	}
}
