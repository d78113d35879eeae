package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mien/runtime/model"
	"mien/runtime/secret"
)

// A key of text takes the text as it is written, whatever else YAML makes of
// it, quoted or not.
func TestTextIsTakenAsWritten(t *testing.T) {
	for _, text := range []string{"012345", "007", "3.10", "0x1F", "0o17", "0b11", "1_000", "1e3", "-5", "+5", ".5", "5.", ".inf", "-.inf", ".nan",
		"true", "True", "false", "yes", "no", "on", "off", "y", "2026-11-28", "12:30:45", "1.0.0", "00112233445566778899",
		"123456789012345678901234567890", "a b", "a#b", "pä$w0rd", "x:y", "C:\\x", "=", "~x", "nullx", "%x", "a!b", "a&b", "a*b", "0", "-0", "1,2"} {
		for _, form := range []string{"%s", "%s # a comment", "'%s'"} {
			in := "mqtt:\n  password: " + fmt.Sprintf(form, text) + "\n  user: " + fmt.Sprintf(form, text) + "\nmodel: {file: '" + text + "'}\noled:\n  bus: ''\n"
			c, err := Parse("f", []byte(in))
			if err != nil {
				t.Errorf("%q: %v", in, err)
				continue
			}
			if got := c.MQTT.Password.Reveal(); got != text || c.MQTT.User.Reveal() != text || c.Model.File != text {
				t.Errorf("%q: password %q, model %q", in, got, c.Model.File)
			}
		}
	}
}

// What YAML does not take for text says so with its place, and says to quote,
// and does not repeat what may be a password.
func TestTextThatHasToBeQuoted(t *testing.T) {
	for _, raw := range []string{"null", "~", "Null", "NULL", "!S3cret x", "!S3cret", "!!str 007", "&S3cret x", "*S3cret", "@S3cret", "`S3cret",
		"S3cret: x", "#S3cret", " #S3cret", "[S3cret", "[S3cret]", "{S3cret: x}", "{S3cret", "|S3cret", ">S3cret", "\"S3cret", "'S3cret", "%", "- S3cret", "|\n    S3cret\n", "\"S3cret\\n\"", "\"\\0S3cret\""} {
		for _, key := range []string{"status:\n  token: ", "mqtt:\n  password: ", "camera:\n  source: "} {
			_, err := Parse("f", []byte(key+raw+"\n"))
			if raw == "%" && err == nil {
				continue // text
			}
			if err == nil || !strings.HasPrefix(err.Error(), "f:2:") && !strings.HasPrefix(err.Error(), "f:3:") {
				t.Errorf("%q: %v", key+raw, err)
				continue
			}
			if strings.Contains(err.Error(), "S3cret") {
				t.Errorf("%q: %v", key+raw, err)
			}
		}
	}
}

// Every other kind of value is what YAML 1.2 says, or an error at its place.
func TestValues(t *testing.T) {
	for in, want := range map[string]string{
		"name: 007":        "007",
		"\ufeffname: hall": "hall",
		"\ufeffnaem: hall": `f:1:1: unknown field "naem" (name?)`,
		"name: hall\r\ncamera:\r\n  width: 320\r\n":            "hall",
		"---\nname: hall\n...\n":                               "hall",
		"%YAML 1.2\n---\nname: hall\n":                         "hall",
		"name: h\xe4ll":                                        "f:1:8: byte 0xe4 is no UTF-8, Latin-1 perhaps: save the file as UTF-8",
		"name: hall\nmqtt: {password: \"\xfc\"}":               "f:2:19: byte 0xfc",
		"\xff\xfen\x00":                                        "f:1:1: is UTF-16",
		"\xfe\xff\x00n":                                        "f:1:1: is UTF-16",
		"name: a\n# \x00":                                      "f:2:3: control character U+0000",
		"name: a\x1b[31m":                                      "f:1:8: control character U+001B",
		"signals: {stall: 3 s}":                                `f:1:18: want a duration such as 200ms or 1.5s, got "3 s"`,
		"signals:\n  pulse: 100":                               `f:2:10: want a duration such as 200ms or 1.5s, got "100"`,
		"signals:\n  pulse: -1s":                               "f:2:10: signals.pulse: is -1s, it cannot be below zero",
		"answers: {smoothing: -1s}":                            "answers.smoothing: is -1s, it cannot be below zero",
		"answers: {quality: {max_tilt: -1}}":                   "answers.quality.max_tilt: is -1, it cannot be below zero",
		"answers: {smoothing: 0}":                              "",
		"answers: {confirm: 0}":                                "f:1:20: answers.confirm: 0 is not between 1 and 64",
		"answers: {linger: 0s}":                                "answers.linger: 0s is not between",
		"answers: {min_confidence: 0}":                         "answers.min_confidence: 0 is not between",
		"faces: {min_size: 1}":                                 "faces.min_size: 1 is not between",
		"faces: {angles: [-30, 30]}":                           "",
		"camera: {width: 0640}":                                `f:1:17: want a whole number, got "0640"`,
		"camera: {width: 640.0}":                               `want a whole number, got "640.0"`,
		"camera: {width: 6_40}":                                `want a whole number, got "6_40"`,
		"camera: {width: \"640\"}":                             `want a whole number, got "640" in quotes`,
		"camera: {width: 99999999999999999999}":                "want a whole number",
		"camera: {width: 0x280}":                               "",
		"camera: {rate: 1e1}":                                  "",
		"camera: {rate: .inf}":                                 `want a number, got ".inf"`,
		"camera: {rate: [30]}":                                 "f:1:16: want a number, got a list",
		"camera: [width]":                                      "f:1:9: camera: want a group of keys, got a list",
		"camera:\n  - width":                                   "f:2:3: camera: want a group of keys, got a list",
		"heads: emotion":                                       "f:1:8: heads: want a list such as [a, b], got one value",
		"heads: [emotion, ]":                                   "",
		"heads: [emotion, ~]":                                  "f:1:18: heads[1]: is empty",
		"heads:\n  - emotion\n  -\n":                           "heads[1]: is empty",
		"health: {throttle: yes}":                              `f:1:20: want true or false, got "yes"`,
		"health: {throttle: \"true\"}":                         `want true or false, got "true" in quotes`,
		"health: {throttle: TRUE}":                             "",
		"health: {throttle: 1}":                                `want true or false, got "1"`,
		"leds:\n  colours:\n    happy: #00ff00\n":              "f:3:5: leds.colours.happy: the value begins with #, which makes it a comment: quote it",
		"leds:\n  colours: {happy: #00ff00}\n":                 "(an unquoted # begins a comment: quote a value that has one)",
		"leds:\n  colours:\n    happy:\n":                      "f:3:12: leds.colours.happy: is empty",
		"leds:\n  colours:\n    happy: # gold\n":               "leds.colours.happy: is empty",
		"leds:\n  colours:\n    happy: ~\n":                    "leds.colours.happy: is empty",
		"leds:\n  colours:\n    happy: ''\n":                   `"" is no colour`,
		"camera:\n  max_rate: #5\nsignals:\n  lines: #none\n":  "",
		"mqtt:\n  topic: #hall\n":                              "f:2:3: mqtt.topic: the value begins with #",
		"camera:\n  source: # the front door\n":                "",
		"<<: {name: a}":                                        "f:1:1: merge keys (<<) have no meaning here",
		"camera: &c {width: 320}\nfaces:\n  <<: *c\n":          "f:3:3: merge keys (<<)",
		"camera: &c {width: 320, height: &n 240}\nname: *n":    "f:2:7: * begins an alias",
		"camera: {width: &n 320, height: *n}":                  "",
		"signals: {lines: {face: &l {pin: GPIO1}, ready: *l}}": "ready: pin GPIO1 is given to face already",
		"camera: {width: *n, height: &n 240}":                  "f:1:17: * begins an alias",
		"camera: &c\n  width: *c\n":                            "want a whole number, got a group of keys",
		"&r {camera: *r}":                                      `unknown field "camera"`,
		"camera: !big {width: 320}":                            "f:1:9: tags",
		"heads: !!seq [age]":                                   "f:1:8: tags",
		"health: {throttle: !!bool true}":                      "f:1:20: tags",
		"? name\n: a":                                          "f:1:1: want a word as the key",
		"5: a":                                                 `f:1:1: unknown field "5"`,
		"name: a\nname: b":                                     "f:2:1: mapping key",
		"camera:\n\twidth: 3":                                  "f:2:1: ",
		"mqtt:\n  password:S3cret\n":                           "f:2:3: ",
		"signals:\n  lines:\n    ready: {pin: 11}":             `write header 11 for the pin`,
		"signals:\n  lines:\n    ready: {pin: Header 11}":      `write header 11 for the pin`,
		"signals:\n  lines:\n    ready: {pin: A, active: ''}":  `"" is none of high, low`,
	} {
		c, err := Parse("f", []byte(in))
		switch {
		case err == nil && (want == "" || c.Name == want):
		case err == nil:
			t.Errorf("%q is accepted, want %q", in, want)
		case want == "" || !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %q", in, err, want)
		case !strings.HasPrefix(err.Error(), "f:"):
			t.Errorf("%q: no place: %v", in, err)
		case strings.Contains(err.Error(), "S3cret"):
			t.Errorf("%q: the error shows a password: %v", in, err)
		}
	}
}

// set gives each kind of key a wrong value of every kind.
var wrongValues = map[reflect.Type][]string{
	reflect.TypeFor[int]():               {"-1", "x", "", "1.5", "[1]", "{a: 1}", "true", "9999999999"},
	reflect.TypeFor[float64]():           {"-1", "x", "''", ".nan", "[1]", "{a: 1}", "true"},
	reflect.TypeFor[bool]():              {"1", "x", "''", "[true]", "yes", "-1"},
	reflect.TypeFor[time.Duration]():     {"-1s", "x", "''", "5", "[1s]", "true", "1 s", "9999999h"},
	reflect.TypeFor[string]():            {"[x]", "{a: 1}", "!x y", "null", "\"a\\nb\""},
	reflect.TypeFor[secret.Text]():       {"[x]", "{a: 1}", "!x y", "null", "\"a\\nb\""},
	reflect.TypeFor[secret.URL]():        {"[x]", "{a: 1}", "!x y", "null", "\"a\\nb\""},
	reflect.TypeFor[[]string]():          {"x", "{a: 1}", "[[x]]", "['']", "[~]", "!x [a]", "[nonsense/]"},
	reflect.TypeFor[[]float64]():         {"x", "1", "[x]", "[900]", "[~]"},
	reflect.TypeFor[map[string]Line]():   {"x", "[x]", "{nonsense: {pin: A}}", "{ready: ''}", "{ready: {}}", "{ready: {pin: ''}}", "{ready: {pin: A, active: up}}", "{ready: {pins: A}}"},
	reflect.TypeFor[map[string]string](): {"x", "[x]", "{nonsense: '#000000'}", "{happy: ''}", "{happy: red}", "{happy: '#12345'}", "{happy: 123456}"},
}

// forTheModel are the wrong values that only the model's labels tell.
var forTheModel = []string{"leds.colours: {nonsense: '#000000'}", "buzzer.on: [nonsense/]"}

// Of every key: a wrong value of each kind is an error in its line, and the
// key's name with a slip is an unknown field.
func TestEveryKeyRefusesNonsense(t *testing.T) {
	for _, k := range Keys() {
		groups := strings.Split(k.Name, ".")
		in := func(key, value string) string {
			var b strings.Builder
			for depth, g := range groups[:len(groups)-1] {
				fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", depth), g)
			}
			fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", len(groups)-1), key, value)
			return b.String()
		}
		last := groups[len(groups)-1]
		c := Default()
		values, ok := wrongValues[k.Of(&c).Type()]
		if !ok {
			t.Fatalf("%s: no wrong values of type %v", k.Name, k.Of(&c).Type())
		}
		for _, v := range values {
			_, err := Parse("f", []byte(in(last, v)))
			if v == "" { // nothing said
				if err != nil {
					t.Errorf("%s without a value: %v", k.Name, err)
				}
				continue
			}
			if slices.Contains(forTheModel, k.Name+": "+v) {
				f, err := ParseFile("f", []byte(in(last, v)))
				if err == nil {
					err = errors.Join(f.Fit(model.Heads(), f.Errorf)...)
				}
				if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("f:%d:", len(groups))) {
					t.Errorf("%s: %s fits the model: %v", k.Name, v, err)
				}
				continue
			}
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("f:%d:", len(groups))) {
				t.Errorf("%s: %s: %v", k.Name, v, err)
			}
		}
		if _, err := Parse("f", []byte(in(last+"x", "1"))); err == nil || !strings.Contains(err.Error(), "("+last+"?)") {
			t.Errorf("%sx: %v", k.Name, err)
		}
	}
}

// emptyMeansNone are the keys of text that may be empty. All others are
// refused with an empty value.
var emptyMeansNone = []string{"name", "time_zone", "lead", "camera.ca", "model.file", "signals.chip", "oled.bus", "leds.kind", "leds.order", "buzzer.pin", "status.token",
	"mqtt.broker", "mqtt.user", "mqtt.password", "mqtt.ca", "mqtt.discovery",
	"fleet.credentials", "fleet.ca", "fleet.certificate", "fleet.private_key", "fleet.key", "webhook.url", "webhook.key", "webhook.ca"}

func TestEmptyText(t *testing.T) {
	for _, k := range Keys() {
		c := Default()
		if kind := kindOf(k.Of(&c).Type()); !kind.text {
			continue
		}
		group, key, ok := strings.Cut(k.Name, ".")
		in := k.Name + ": ''\n"
		if ok {
			in = group + ":\n  " + key + ": ''\n"
		}
		if group == "mqtt" && key != "broker" {
			in += "  broker: mqtt://h\n"
		}
		if group == "fleet" {
			in += "  servers: [tls://h]\n"
		}
		if group == "leds" && key != "kind" {
			in += "  kind: apa102\n"
		}
		_, err := Parse("f", []byte(in))
		may := strings.Contains(" "+strings.Join(emptyMeansNone, " ")+" ", " "+k.Name+" ")
		if may != (err == nil) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// zeroMeans are the keys of numbers and durations that may be 0, and what it
// means. All others refuse it: 0 would mean the default, which nobody asked for.
var zeroMeans = map[string]string{
	"camera.rotate":   "upright",
	"camera.max_rate": "no bound", "faces.min_size": "the finder's own", "faces.max_size": "as large as the picture", "model.threads": "what suits the board",
	"answers.hysteresis": "none", "answers.smoothing": "none", "answers.dwell": "none", "answers.min_score": "takes all",
	"answers.quality.min_size": "off", "answers.quality.min_sharpness": "off", "answers.quality.min_brightness": "off",
	"answers.quality.max_brightness": "off", "answers.quality.min_contrast": "off", "answers.quality.max_tilt": "off", "answers.quality.max_turn": "off",
	"signals.min_hold": "none", "signals.on_delay": "none", "signals.off_delay": "none", "signals.setup": "none",
	"leds.brightness": "dark", "health.slow_rate": "none are read", "fleet.readings": "none are sent",
	"history.days": "nothing is counted",
}

func TestZero(t *testing.T) {
	for _, k := range Keys() {
		c := Default()
		switch k.Of(&c).Interface().(type) {
		case int, float64, time.Duration:
		default:
			continue
		}
		groups := strings.Split(k.Name, ".")
		in := strings.Join(groups, ": {") + ": 0" + strings.Repeat("}", len(groups)-1) + "\n"
		_, err := Parse("f", []byte(in))
		if _, may := zeroMeans[k.Name]; may != (err == nil) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// A file of one fault after another is told of some, and quickly.
func TestManyFaults(t *testing.T) {
	var b strings.Builder
	b.WriteString("signals:\n  lines:\n    a: &a\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "      k%d: 1\n", i)
	}
	for i := range 20000 {
		fmt.Fprintf(&b, "    l%d: *a\n", i)
	}
	if _, err := Parse("f", []byte(b.String())); err == nil || strings.Count(err.Error(), "\n") != maxErrors-1 {
		t.Errorf("%d faults told", strings.Count(err.Error(), "\n")+1)
	}
}

// Every key says what a reload does with it.
func TestEveryKeyHasItsReload(t *testing.T) {
	for _, k := range Keys() {
		switch k.Reload {
		case Restart, Reading, Heads, Lines, Page, Rate:
		default:
			t.Errorf("%s: its field does not say what a reload does with it (the tag reload is %q)", k.Name, k.Reload)
		}
	}
}
