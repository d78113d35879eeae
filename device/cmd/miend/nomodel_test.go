package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mien/device/config"
	"mien/device/pins"
	"mien/device/signal"
)

// Without its model the firmware runs on and says so, its lines at their safe
// level; once the model is there it reads.
func TestModelComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late.tflite")
	cfg := config.Default()
	cfg.Model.File, cfg.Status.Listen = path, "none"
	cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "A", Active: "high"}, "face": {Pin: "B", Active: "low"}}
	sim := &pins.Sim{Names: []string{"A", "B"}}
	a, err := newApp(cfg, quiet(), appOptions{open: scene, sim: sim})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx) }()
	await := func(state signal.State) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); a.health().State != state; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("state is %+v, want %s", a.health(), state)
			}
		}
	}
	await(signal.NoModel)
	if a.health().Ready || sim.Level("A") != 0 || sim.Level("B") != 1 {
		t.Errorf("without a model: %+v, lines %d, %d", a.health(), sim.Level("A"), sim.Level("B"))
	}
	data, err := os.ReadFile(modelFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".part", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
	await(signal.Reading)
	if h := a.health(); h.Model != path || len(h.Heads) == 0 {
		t.Errorf("health %+v", h)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}
