package config

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// What an editor would do by hand: the value changes, and nothing beside it.
func TestEdit(t *testing.T) {
	for name, c := range map[string]struct {
		in      string
		changes map[string]string
		want    string
	}{
		"a value keeps its comment in its column": {"camera:\n  width: 640          # asked for\n", map[string]string{"camera.width": "1280"}, "camera:\n  width: 1280         # asked for\n"},
		"text that needs quotes":                  {"name: hall # mine\n", map[string]string{"name": "it's"}, "name: 'it''s' # mine\n"},
		"a key that is not there":                 {"camera:\n  # why\n  width: 320\n\nfaces: {min_size: 40} # far\n", map[string]string{"camera.loop": "true", "faces.max_size": "300"}, "camera:\n  # why\n  width: 320\n  loop: true\n\nfaces: {max_size: 300, min_size: 40} # far\n"},
		"a group that is not there":               {"# mine\nname: a", map[string]string{"answers.quality.max_tilt": "10"}, "# mine\nname: a\nanswers:\n  quality:\n    max_tilt: 10\n"},
		"an address":                              {"status:\n  listen: 127.0.0.1:8080 # here\n", map[string]string{"status.listen": ":8080", "status.hosts": "10.0.0.7"}, "status:\n  listen: :8080          # here\n  hosts: [10.0.0.7]\n"},
		"an empty file":                           {"", map[string]string{"name": "hall"}, "name: hall\n"},
		"lines, over their examples": {"signals:\n  pulse: 50ms\n  lines: {} # wires\n  #  ready: {pin: GPIO17}\nname: a\n", map[string]string{"signals.lines": "face: GPIO22 low\nready: header 11"},
			"signals:\n  pulse: 50ms\n  lines:    # wires\n    face: {pin: GPIO22, active: low}\n    ready: {pin: header 11}\n  #  ready: {pin: GPIO17}\nname: a\n"},
		"one line of several": {"signals:\n  lines:\n    face:  {pin: GPIO22} # the lamp\n    # the horn\n    ready: {pin: GPIO17}\n", map[string]string{"signals.lines": "face: GPIO5\nready: GPIO17"},
			"signals:\n  lines:\n    face:  {pin: GPIO5}  # the lamp\n    # the horn\n    ready: {pin: GPIO17}\n"},
		"a line goes": {"signals:\n  lines:\n    face:\n      pin: GPIO22 # the lamp\n      # of the hall\n    ready: {pin: GPIO17}\n", map[string]string{"signals.lines": "ready: GPIO17"},
			"signals:\n  lines:\n      # of the hall\n    ready: {pin: GPIO17}\n"},
		"all lines go":         {"signals:\n  lines:\n    face: {pin: GPIO22}\nname: b\n", map[string]string{"signals.lines": ""}, "signals:\n  lines: {}\nname: b\n"},
		"lines in braces":      {"signals: {lines: {face: {pin: A}, ready: {pin: B}}}\n", map[string]string{"signals.lines": "ready: B low"}, "signals: {lines: {ready: {pin: B, active: low}}}\n"},
		"a list of many lines": {"heads:\n- emotion # first\n# and\n- age\nname: c\n", map[string]string{"heads": "age"}, "heads: [age]\n# and\nname: c\n"},
		"from DOS":             {"name: a\r\ncamera:\r\n  loop: true\r\n", map[string]string{"name": "b"}, "name: b\r\ncamera:\r\n  loop: true\r\n"},
		"quotes in a flow":     {"mqtt: {broker: \"mqtt://h\", user: 'a, b # c', topic: x}\n", map[string]string{"mqtt.user": "d"}, "mqtt: {broker: \"mqtt://h\", user: d, topic: x}\n"},
		"a colour":             {"leds:\n  kind: apa102\n", map[string]string{"leds.colours": "happy: #ffd000"}, "leds:\n  kind: apa102\n  colours:\n    happy: '#ffd000'\n"},
	} {
		got, err := Edit("f", []byte(c.in), c.changes)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}

// A password stays with the broker that it was given for: a page that does not show
// it does not send it to another one either.
func TestPasswordStaysWithItsBroker(t *testing.T) {
	in := []byte("mqtt: {broker: 'mqtt://home', user: door, password: secret}\n")
	var key *KeyError
	if got, err := Edit("f", in, map[string]string{"mqtt.broker": "mqtt://evil"}); !errors.As(err, &key) || key.Key != "mqtt.password" {
		t.Errorf("%v\n%s", err, got)
	}
	for _, c := range []map[string]string{{"mqtt.broker": "mqtt://home"}, {"mqtt.broker": ""}, {"mqtt.user": "hall"}, {"mqtt.broker": "mqtt://new", "mqtt.password": "other"}} {
		if _, err := Edit("f", in, c); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// What is replaced and removed is a file of its own.
func TestHistoryFile(t *testing.T) {
	for file, want := range map[string]bool{"/var/lib/mien/history.json": true, "''": false, "/etc/mien/mien.yaml": false} {
		if _, err := Parse("f", []byte("history: {file: "+file+"}\n")); (err == nil) != want {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Nothing that somebody types becomes more than the value of its key.
func TestEditRefuses(t *testing.T) {
	for _, c := range []struct{ key, value string }{
		{"camera.width", "640\nname: x"}, {"camera.width", "640 # x"}, {"camera.width", "{a: b}"}, {"camera.width", ""}, {"name", "a\nb"}, {"name", "a\u0085b"},
		{"nonsense", "1"}, {"camera", "x"}, {"signals.lines", "face"}, {"signals.lines", "face: A\nface: B"}, {"signals.lines", "{}: A"}, {"faces.angles", "1, x]"}, {"health.throttle", "!x"},
	} {
		got, err := Edit("f", Sample, map[string]string{c.key: c.value})
		var key *KeyError
		if !errors.As(err, &key) || key.Key != c.key {
			t.Errorf("%s %q: %v\n%.80s", c.key, c.value, err, got)
		}
	}
	for _, in := range []string{"camera: &c {width: 320}\nfaces: {min_size: 40}\n", "camera: {width: &n 320, height: *n}\n"} {
		got, err := Edit("f", []byte(in), map[string]string{"camera.width": "640"})
		if err == nil {
			if c, err := Parse("f", got); err == nil && (c.Camera.Width != 640 || c.Camera.Height == 640) {
				t.Errorf("%q became %q", in, got)
			}
		}
	}
}

// Every key can be edited in the sample, in an empty file and in what that
// became, to every value that a form can hold, and back to the byte.
func TestEditEveryKey(t *testing.T) {
	others := map[string]string{"heads": "age, emotion", "lead": "emotion", "camera.source": "replay:/x y", "camera.rotate": "90", "faces.finder": "pigo", "faces.angles": "-30, 30",
		"model.engine": "portable", "signals.pins": "gpio", "signals.lines": "face: GPIO22\nready: header 11 low", "leds.kind": "apa102", "leds.bus": "/dev/spidev1.0", "leds.colours": "happy: #ffd000",
		"oled.bus": "/dev/i2c-1", "oled.height": "32", "oled.kind": "sh1106", "leds.order": "rgb", "buzzer.active": "low", "buzzer.on": "begin, end", "buzzer.pin": "GPIO4", "status.listen": "127.0.0.1:80", "status.token": "0123456789abcdef",
		"status.proxies": "10.0.0.0/24", "mqtt.broker": "mqtt://h:1883", "consent": "http", "health.watchdog": "/dev/watchdog", "signals.stall": "850ms", "answers.fresh": "900ms",
		"answers.min_confidence": "0.6", "health.too_hot": "70", "mqtt.ca": "/x: y", "webhook.url": "https://h/x", "webhook.events": "track, transition", "hook.events": "transition", "hook.at_once": "3"}
	for _, k := range Keys() {
		usual := Default()
		if k.ByHand {
			if _, err := Edit("f", Sample, map[string]string{k.Name: "/bin/true"}); err == nil || !strings.Contains(err.Error(), "in the file alone") {
				t.Errorf("%s can be edited: %v", k.Name, err)
			}
			continue
		}
		before := text(k.Of(&usual))
		value, ok := others[k.Name]
		switch shape(k.Of(&usual).Type()) {
		case "switch":
			value = map[string]string{"true": "false", "false": "true"}[before]
		case "whole":
			if !ok {
				value = "99"
			}
		case "number":
			if !ok {
				value = "2.5"
			}
		case "span":
			if !ok {
				value = "1.1s"
			}
		case "text", "secret", "list":
			if !ok {
				value = "other-1"
			}
		}
		if value == "" {
			t.Errorf("%s: this test has no value for it", k.Name)
			continue
		}
		for name, in := range map[string][]byte{"the sample": Sample, "an empty file": nil} {
			out, err := Edit("f", in, map[string]string{k.Name: value})
			if err != nil {
				t.Errorf("%s in %s: %v", k.Name, name, err)
				continue
			}
			if c, err := Parse("f", out); err == nil {
				if changed := Names(Changed(&usual, &c)); changed != k.Name || !strings.Contains(k.Name, "token") && text(k.Of(&c)) != value && shape(k.Of(&c).Type()) != "secret" && k.Name != "signals.lines" && k.Name != "faces.angles" && value != "1.1s" {
					t.Errorf("%s in %s: changed %s to %s", k.Name, name, changed, text(k.Of(&c)))
				}
			} else if !strings.Contains(err.Error(), k.Name) && !strings.Contains(err.Error(), "faces:") && !strings.Contains(err.Error(), "answers:") {
				t.Errorf("%s in %s: %v\n%s", k.Name, name, err, out)
			}
			if lines(in) > 0 && commentsOf(out) != commentsOf(in) {
				t.Errorf("%s: comments were lost", k.Name)
			}
		}
	}
}

func lines(b []byte) int { return bytes.Count(b, []byte("\n")) }

// commentsOf is all comments of a file, without what stands before them.
func commentsOf(b []byte) (all string) {
	for line := range strings.Lines(string(b)) {
		if i := strings.Index(line, "# "); i >= 0 {
			all += line[i:]
		}
	}
	return all
}

// Many edits in a row keep the sample's comments, and give what was asked for.
func TestEditAgainAndAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := Sample
	for range 60 {
		changes := map[string]string{}
		want := map[string]string{}
		for i, name := range []string{"ready", "face", "code0", "strobe"} {
			if r.IntN(2) == 0 {
				want[name] = []string{"GPIO5", "GPIO6", "GPIO13", "GPIO19"}[i]
			}
		}
		var b strings.Builder
		for _, name := range sorted(want) {
			b.WriteString(name + ": " + want[name] + "\n")
		}
		changes["signals.lines"] = b.String()
		changes["camera.rate"] = []string{"5", "10.5", "30"}[r.IntN(3)]
		out, err := Edit("f", data, changes)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse("f", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(c.Signals.Lines) != len(want) || commentsOf(out) != commentsOf(Sample) {
			t.Fatalf("%v is %v\n%s", want, c.Signals.Lines, out)
		}
		data = out
	}
}

// What a person is told of a key stands in the sample, and nowhere else.
func TestEveryKeyIsExplained(t *testing.T) {
	c := Default()
	for _, s := range c.Settings() {
		if len(s.Doc) < 5 {
			t.Errorf("%s: mien.yaml does not say what it is", s.Name)
		}
		if s.Set || s.Secret && s.Value != "" {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
	if !c.Fresh() || !c.Untouched() {
		t.Error("an empty file is not fresh")
	}
	if c.Status.Listen = "none"; c.Untouched() || !c.Fresh() {
		t.Error("who switched the page off is offered to set it up")
	}
	if c.Signals.Lines = map[string]Line{"face": {Pin: "GPIO17"}}; c.Fresh() {
		t.Error("a device with a line has no task")
	}
}

func FuzzEdit(f *testing.F) {
	f.Add("camera:\n  width: 640 # x\n", "camera.width", "320")
	f.Add(string(Sample), "signals.lines", "face: A low")
	f.Add("signals: {lines: {face: {pin: A}, ready: {pin: B}}}", "signals.lines", "ready: C")
	f.Add("heads:\n- emotion\n", "heads", "age")
	f.Fuzz(func(t *testing.T, in, key, value string) {
		was, err := Parse("f", []byte(in))
		if err != nil {
			return
		}
		out, err := Edit("f", []byte(in), map[string]string{key: value})
		if err != nil {
			return
		}
		now, err := Parse("f", out)
		if err != nil {
			return // the verdict says so, and the file is not taken
		}
		if n := Names(Changed(&was, &now)); n != "" && n != key {
			t.Errorf("%q: %s to %q changed %s: %q", in, key, value, n, out)
		}
	})
}
