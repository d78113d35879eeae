package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mien/device"
	"mien/device/config"
	"mien/device/pins"
	"mien/runtime/secret"
	"mien/runtime/testwait"
)

// live runs an app until the test ends.
func live(t *testing.T, cfg config.Config, log *slog.Logger, o appOptions) *app {
	t.Helper()
	a, err := newApp(cfg, log, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, a.close()); err != nil {
			t.Error(err)
		}
	})
	return a
}

func problem(a *app, name string) string {
	for _, p := range a.health().Parts {
		if p.Name == name {
			return p.Problem
		}
	}
	return "no such part"
}

// With every part out of order that can be, the lines go on, and log, health
// and page say which parts and why.
func TestPartsThatAreOutOfOrder(t *testing.T) {
	cfg := config.Default()
	cfg.Model.File, cfg.Faces.MinSize = modelFile(t), 400
	cfg.Status.Listen = "127.0.0.1:0"
	cfg.MQTT.Broker, cfg.MQTT.Queue = secret.NewURL("mqtt://127.0.0.1:1"), "/proc/queue"
	cfg.Name, cfg.Fleet.Servers, cfg.Fleet.Queue = "door", []string{"tls://127.0.0.1:1"}, "/proc/fleet"
	cfg.OLED.Bus, cfg.LEDs.Kind, cfg.LEDs.Bus, cfg.Buzzer.Pin = "/dev/i2c-199", "apa102", "/dev/spidev99.0", "NONE"
	cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "A", Active: "high"}}
	var log testwait.Log
	sim := &pins.Sim{Names: []string{"A"}}
	a := live(t, cfg, newLog(&log), appOptions{open: scene, sim: sim})
	testwait.Until(t, "ready", func() bool { return sim.Level("A") == 1 })
	want := map[string]string{"mqtt": "/proc/queue", "fleet": "/proc/fleet", "oled": "/dev/i2c-199", "leds": "/dev/spidev99.0", "buzzer": `"NONE"`}
	for name, words := range want {
		testwait.Until(t, name, func() bool { return strings.Contains(problem(a, name), words) })
		testwait.Until(t, name+" in the log", func() bool { return strings.Contains(log.String(), name+" is out of order; the rest goes on") })
	}
	if p := problem(a, "page"); p != "" {
		t.Errorf("the page: %s", p)
	}
	addr := field(t, &log, "address")
	testwait.Until(t, "the parts on the page", func() bool {
		time.Sleep(200 * time.Millisecond) // an address may not ask more often
		now := fetch(t, addr+"/v1/status")
		return strings.Count(now, `"problem":"`)-strings.Count(now, `"problem":""`) == 5
	})
	testwait.Until(t, "the parts in the metrics", func() bool {
		time.Sleep(200 * time.Millisecond)
		metrics := fetch(t, addr+"/metrics")
		for name := range want {
			if !strings.Contains(metrics, fmt.Sprintf("mien_part_working{part=%q} 0\n", name)) {
				return false
			}
		}
		return strings.Contains(metrics, "mien_part_working{part=\"page\"} 1\n")
	})
}

// A page whose address is taken comes when it is free; the lines do not wait.
func TestPageWaitsForItsAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Model.File, cfg.Status.Listen, cfg.Faces.MinSize = modelFile(t), l.Addr().String(), 400
	cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "A", Active: "high"}}
	var log testwait.Log
	sim := &pins.Sim{}
	a := live(t, cfg, newLog(&log), appOptions{open: scene, sim: sim})
	testwait.Until(t, "ready", func() bool { return sim.Level("A") == 1 })
	if p := problem(a, "page"); !strings.Contains(p, "address already in use") {
		t.Errorf("the page says %q", p)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "the page", func() bool { return problem(a, "page") == "" && strings.Contains(log.String(), "page works again") })
	if s := fetch(t, "http://"+cfg.Status.Listen+"/v1/status"); !strings.Contains(s, `"part":"page","problem":""`) {
		t.Errorf("%s", s)
	}
}

// A broker whose certificate is missing is connected to when it is there.
func TestBrokerWaitsForItsCertificate(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Model.File, cfg.Status.Listen, cfg.Faces.MinSize = modelFile(t), "none", 400
	cfg.MQTT.Broker, cfg.MQTT.Queue, cfg.MQTT.CA = secret.NewURL("mqtts://127.0.0.1:1"), filepath.Join(dir, "queue"), filepath.Join(dir, "ca.pem")
	a := live(t, cfg, quiet(), appOptions{open: scene})
	if p := problem(a, "mqtt"); !strings.Contains(p, "ca.pem: no such file") {
		t.Errorf("mqtt says %q", p)
	}
	if err := os.WriteFile(cfg.MQTT.CA, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "the broker's own trouble", func() bool { return strings.Contains(problem(a, "mqtt"), "no connection; ") && a.broker.Load() != nil })
}

// certificate is one that a server of ours would have.
func certificate(t *testing.T) []byte {
	t.Helper()
	s := newTLS()
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A part that fails again and again is tried at growing intervals, and given
// back each time; one that works for long begins anew.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testwait.Log
		p := &part{name: "page", log: newLog(&log)}
		start, opened, closed := time.Now(), []time.Duration{}, 0
		ctx, cancel := context.WithCancel(t.Context())
		go p.keep(ctx, nil, func() (running, error) {
			opened = append(opened, time.Since(start))
			if len(opened)%2 == 1 {
				return nil, errors.New("in use")
			}
			return func(ctx context.Context) error {
				closed++
				if len(opened) == 6 {
					<-ctx.Done()
					return nil
				}
				return errors.New("broken")
			}, nil
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		want := []time.Duration{time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second, 63 * time.Second}
		if fmt.Sprint(opened) != fmt.Sprint(want) || closed != 3 {
			t.Errorf("opened after %v, run %d times", opened, closed)
		}
		if p.health() != (device.PartHealth{Name: "page"}) || !strings.Contains(log.String(), "page works again") {
			t.Errorf("%+v\n%s", p.health(), log.String())
		}
		cancel()
		synctest.Wait()
	})
}
