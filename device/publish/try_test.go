package publish

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/device"
	"mien/runtime/model"
)

// A real broker says what it allows: nothing to a stranger, and to whom it
// knows what its list says.
func TestTry(t *testing.T) {
	b := newBroker(t)
	open := Options{Broker: "mqtts://" + b.addr(), Username: user, Password: password, CA: b.ca, ID: "door", Dir: filepath.Join(t.TempDir(), "none")}
	try := func(o Options) (Trial, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return Try(ctx, o)
	}
	if got, err := try(open); err != nil || len(got.Denied) != 0 {
		t.Errorf("everything is allowed: %+v, %v", got, err)
	}
	stranger := open
	stranger.Password = "S3cret"
	if _, err := try(stranger); !Refused(err) || strings.Contains(err.Error(), "S3cret") {
		t.Errorf("a stranger: %v", err)
	}
	plain := open
	plain.CA = ""
	if _, err := try(plain); err == nil || Refused(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a broker whose certificate nobody knows: %v", err)
	}
	away := open
	away.Broker = "mqtts://127.0.0.1:1"
	if _, err := try(away); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no broker: %v", err)
	}
	lists := func(rules string) Trial {
		t.Helper()
		b.write("list", "user ears\ntopic readwrite #\nuser mien\n"+rules)
		b.kill()
		b.start()
		got, err := try(open)
		if err != nil {
			t.Errorf("%s: %v", rules, err)
		}
		return got
	}
	b.append("acl_file " + filepath.Join(b.dir, "list") + "\n")
	open.Lines, open.Heads = []string{"ready", "is_70+"}, []model.Head{model.Age}
	for rules, want := range map[string]string{
		"topic write mien/#\ntopic read homeassistant/status\n": "publish to homeassistant/device/mien_door/config",
		"topic readwrite #\n": "",
		"topic deny mien/door/availability\ntopic deny mien/door/line/is_70%2B\ntopic deny mien/door/track\ntopic readwrite #\n": "publish to mien/door/availability, publish to mien/door/line/is_70%2B, publish to mien/door/track",
		"topic write mien/door/availability\ntopic write mien/door/state\ntopic write mien/door/health\ntopic write mien/door/line/#\ntopic write mien/door/reading\n" +
			"topic write mien/door/track\ntopic write mien/door/transition\ntopic write homeassistant/device/mien_door/config\n": "",
	} {
		if got := lists(rules); strings.Join(got.Denied, ", ") != want || len(got.Lacks) > 0 {
			t.Errorf("%q: %+v, want %q", rules, got, want)
		}
	}
	open.Prefix, open.Discovery = "elsewhere/door", "-"
	if got := lists("topic write mien/#\n"); !strings.Contains(strings.Join(got.Denied, ","), "publish to elsewhere/door/state") || strings.Contains(strings.Join(got.Denied, ","), "config") {
		t.Errorf("another topic: %+v", got)
	}
}

// Trying tells nobody anything: nothing is retained, and Home Assistant hears
// what it hears of a device that starts.
func TestTryLeavesNothing(t *testing.T) {
	b := newBroker(t)
	e := listen(t, b)
	o := options(t, b, newRoad(t, b.addr()))
	o.Version, o.Board, o.Health = "1.0", "a board", func() device.Health { return device.Health{} }
	if _, err := Try(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	e.await("the last", func(h []heard) bool { return count(h, "mien/hall-1/transition", "") == 1 })
	const config = "homeassistant/device/mien_hall_1/config"
	tried := retainedOf(e.all())
	if left := retained(t, b); len(left) > 0 {
		t.Errorf("%v", left)
	}
	for topic, payload := range tried {
		if (payload != "") != (topic == config) {
			t.Errorf("%s: %q", topic, payload)
		}
	}
	_, stop := run(t, o)
	e.await("introduction", func(h []heard) bool { return count(h, config, "cmps") == 2 })
	stop()
	if now := retained(t, b); now[config] != tried[config] {
		t.Errorf("tried %s, said %s", tried[config], now[config])
	}
}

// What is wrong is said in the same words as by who publishes.
func TestTryInWords(t *testing.T) {
	plain := fmt.Sprintf("listener %d 127.0.0.1", freePort(t))
	b := newBroker(t, plain)
	for broker, want := range map[string]string{
		"mqtt://" + b.addr():                                   "write mqtts://",
		"mqtts://127.0.0.1:" + strings.Fields(plain)[1]:        "write mqtt://",
		"mqtt://" + fake(t, answer(0x20, 2, 0, 1)):             "MQTT 3.1.1",
		"mqtt://" + fake(t, func(c net.Conn, _ []byte) {}):     "hung up without a word",
		"mqtt://" + fake(t, answer(0x20, 3, 0, 0x8a, 0)):       "banned",
		"mqtt://" + fake(t, words("HTTP/1.1 400 Bad\r\n\r\n")): "web server",
	} {
		o := Options{Broker: broker, CA: b.ca, ID: "door", Dir: t.TempDir()}
		if _, err := Try(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) || Refused(err) != (want == "banned") {
			t.Errorf("%s: %v, want %q", broker, err, want)
		}
	}
}

// append adds to the broker's configuration, for its next start.
func (b *broker) append(text string) {
	path := filepath.Join(b.dir, "mosquitto.conf")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
