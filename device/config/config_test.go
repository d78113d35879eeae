package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/device/publish"
	"mien/runtime/model"
	"mien/runtime/secret"
)

// The sample, an empty file and the code say the same.
func TestSampleIsTheDefault(t *testing.T) {
	for name, data := range map[string][]byte{"sample": Sample, "empty": nil, "comment": []byte("# nothing\n"),
		"nothing said": []byte("camera:\n  width:\n  # height: 3\nsignals:\n  lines:\nheads:\n")} {
		got, err := Parse(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(Default(), got); d != "" {
			t.Errorf("%s (-default +file)\n%s", name, d)
		}
	}
}

// Every key of the code is in the sample, in its group, with its comment or
// at least its value.
func TestSampleHasEveryKey(t *testing.T) {
	lines := strings.Split(string(Sample), "\n")
	for _, k := range Keys() {
		groups := strings.Split(k.Name, ".")
		at := 0
		for depth, g := range groups {
			key := strings.Repeat("  ", depth) + g + ":"
			i := slices.IndexFunc(lines[at:], func(l string) bool { return strings.HasPrefix(l, key) })
			if i < 0 {
				t.Fatalf("the sample lacks %q of %s", key, k.Name)
			}
			at += i
		}
	}
	// The commented lines of the sample are right too.
	var on []string
	for _, l := range lines {
		if strings.HasPrefix(l, "  lines: {}") {
			l = "  lines:"
		}
		if strings.HasPrefix(l, "  #  ") {
			l = "    " + l[5:]
		}
		on = append(on, l)
	}
	c, err := Parse("sample", []byte(strings.Join(on, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Signals.Lines) != 8 || c.Signals.Lines["face"].Active != "low" || c.Signals.Lines["strobe"].Active != "high" {
		t.Errorf("lines %+v", c.Signals.Lines)
	}
	if o := c.SignalOptions(model.Heads()); len(o.Wires) != 8 || o.Wires[0].Line != "ready" || !o.Wires[2].Low {
		t.Errorf("wires %+v", o.Wires)
	}
}

func TestErrorsHavePlaces(t *testing.T) {
	for in, want := range map[string]string{
		"camara:\n  width: 3":                                 `f:1:1: unknown field "camara"`,
		"camera:\n  widht: 3":                                 `f:2:3: unknown field "widht"`,
		"camera:\n  width: wide":                              `f:2:10: want a whole number, got "wide"`,
		"signals:\n  pulse: 5":                                `f:2:10: want a duration such as 200ms or 1.5s, got "5"`,
		"signals:\n  stall: 2s":                               `f:2:10: signals.stall: is 2s, it has to be between 50ms and 900ms`,
		"signals:\n  lines:\n    is_70+: {}":                  `f:3:`,
		"signals: {lines: {face: {pin: A}, ready: {pin: A}}}": "pin A is given to face already",
		"signals: {lines: {face: {pin: A, active: on}}}":      `f:1:42: signals.lines.face.active: "on" is none of high, low`,
		"signals: {lines: {bored: {pin: A}}}":                 `signals.lines.bored: no such line; there are ready, heartbeat`,
		"heads: [age, age]":                                   `"age" is there twice`,
		"camera:\n  source: webcam":                           `f:2:11: camera.source: "webcam" is no camera; want auto`,
		"a: [":                                                "f:1:",
		"name: a\nname: b":                                    "f:2:1: ",
		"consent: gpio":                                       `f:1:10: consent: "gpio" is none of none, http, gpio NAME`,
		"consent: gpio A\nsignals: {lines: {face: {pin: A}}}": "consent: pin A is given to face already",
		"leds: {colours: {happy: yellow}}":                    `"yellow" is no colour such as #ffd000`,
		"answers: {min_confidence: 3}":                        "f:1:27: answers.min_confidence: 3 is not between 0.01 and 1",
		"faces:\n  min_size: 3":                               "f:2:13: faces.min_size: 3 is not between 20 and 4096",
		"status: {token: short}":                              "status.token: the token has 5 characters",
		"heads: ![ag\n:]":                                     "f:1:8: tags",
		"- a\n- b":                                            "f:1:",
		"name: a\n---\nname: b":                               "several documents",
		"camera: 5":                                           "f:1:9: ",
		"health: {slow_rate: .nan}":                           `f:1:21: want a number, got ".nan"`,
	} {
		_, err := Parse("f", []byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// What does not fit the heads of the model is told at its place.
func TestFit(t *testing.T) {
	smile := model.Head{Name: "smile", Labels: []string{"yes", "no"}}
	mask := model.Head{Name: "mask", Labels: []string{"yes", "below the nose", "no"}}
	many := model.Head{Name: "many", Labels: []string{"a", "b", "c", "d", "e", "f", "g", "h"}}
	emotion := []model.Head{model.Emotion, model.Age}
	for _, c := range []struct {
		in    string
		heads []model.Head
		want  string // "" fits
	}{
		{"signals: {lines: {is_happy: {pin: A}, is_70+: {pin: B}, code0: {pin: C}}}", emotion, ""},
		{"signals:\n  lines:\n    is_bored: {pin: A}", emotion, "f:3:15: signals.lines.is_bored: no such line with the enabled heads; there are ready"},
		{"signals: {lines: {is_sad: {pin: A}}}", emotion[1:], "is_sad: no such line"},
		{"signals: {lines: {is_yes: {pin: A}}}", []model.Head{smile}, ""},
		{"signals: {lines: {is_yes: {pin: A}}}", []model.Head{smile, mask}, "there are ready, heartbeat, face, code0, code1, code2, strobe, is_smile_yes, is_smile_no, is_mask_yes, is_below the nose, is_mask_no"},
		{"signals: {lines: {is_mask_no: {pin: A}, is_below the nose: {pin: B}}}", []model.Head{smile, mask}, ""},
		{"leds: {colours: {happy: '#000000', uncertain: '#000000'}}\nbuzzer: {on: [end, sad]}", emotion, ""},
		{"leds: {colours: {yes: '#000000'}}", emotion, "leds.colours.yes: no such label of head emotion; there are surprise"},
		{"buzzer: {on: [begin, yes]}", emotion, `buzzer.on[1]: "yes" is neither begin, end nor a label of head emotion`},
		{"buzzer: {on: [70+]}\nlead: age", emotion, ""},
		{"lead: mood", emotion, `f:1:7: lead: "mood" is no enabled head`},
		{"lead: many", []model.Head{smile, many}, ""},
		{"lead: many\nsignals: {lines: {code0: {pin: A}}}", []model.Head{smile, many}, "lead: code lines tell 7 labels apart, and head many has 8"},
	} {
		f, err := ParseFile("f", []byte(c.in))
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		err = errors.Join(f.Fit(c.heads, f.Errorf)...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
	for lead, want := range map[string]string{"": "smile", "many": "many"} {
		c := Default()
		c.Lead = lead
		if got := c.LeadOf([]model.Head{many, smile}); got.Name != want {
			t.Errorf("lead %q is %s", lead, got.Name)
		}
	}
	c := Default()
	if colours := c.ColoursOf(model.Emotion); colours["happy"] != "#ffd000" || colours["uncertain"] != "#101010" || len(colours) != 8 {
		t.Errorf("%v", colours)
	}
}

// Several faults are told at once.
func TestErrorsAreJoined(t *testing.T) {
	_, err := Parse("f", []byte("camera: {width: 3}\nleds: {count: 0}\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v, want two errors", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Line != 1 {
		t.Errorf("first error %+v", e)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mien.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("camera: {max_rate: 5}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Camera.MaxRate != 5 || c.Camera.Width != 640 {
		t.Errorf("%+v, %v", c.Camera, err)
	}
}

func TestParseSource(t *testing.T) {
	for _, in := range []string{"", "replay:", "replay:http://a:S3cret@b/", "v4l2:0", "v4l2:", "rtsp:a:S3cret@b", "ffmpeg:/a/b", "HTTP://b"} {
		if got, err := ParseSource(secret.NewURL(in)); err == nil || strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string][2]string{
		"auto": {"auto"}, "rpicam": {"rpicam"}, "/dev/video0": {"v4l2", "/dev/video0"},
		"v4l2:/dev/video2": {"v4l2", "/dev/video2"}, "replay:a/b.y4m": {"replay", "a/b.y4m"},
		"http://cam/stream": {"http", "http://cam/stream"}, "rtsp://a:b@cam/1": {"ffmpeg", "rtsp://a:b@cam/1"}, "ffmpeg:https://cam/a.m3u8": {"ffmpeg", "https://cam/a.m3u8"},
	} {
		if got, err := ParseSource(secret.NewURL(in)); err != nil || got.Kind != want[0] || got.Path.Reveal() != want[1] {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Sample))
	for _, s := range []string{"", "camera: {}", "signals: {lines: {is_70+: {pin: A}}}", "heads: [age]", "&a [*a]", "a: &a {b: *a}",
		"<<: {}", "camera: !!int 3", "? a", "leds: {colours: {x: ''}}", "signals: {lines: {'': {}}}", "signals: {lines: {\"'.'\": {}}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse("f", b)
		if err != nil {
			return
		}
		if c.Signals.Stall > 900e6 || c.Camera.Width < 64 {
			t.Errorf("accepted %+v", c)
		}
	})
}

// A board without a name has one of its own.
func TestNameOn(t *testing.T) {
	id := "0123456789abcdef0123456789abcdef"
	for _, c := range []struct{ name, host, id, want string }{
		{"hall", "pi", id, "hall"},
		{"", "pi", id, "pi-012345"},
		{"", "pi\n", "fe" + id[2:] + "\n", "pi-fe2345"},
		{"", "pi", "", "pi"},
		{"", "pi", "uninitialized", "pi"},
		{"", "", id, "mien-012345"},
		{"", "a/b+c#d e", id, "a-b-c-d-e-012345"},
		{"", strings.Repeat("x", 64), id, strings.Repeat("x", 57) + "-012345"},
	} {
		cfg := Config{Name: c.name}
		if got := cfg.NameOn(c.host, c.id); got != c.want || publish.CheckID(got) != nil {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
