// Package config reads the firmware's one configuration file. Every key is
// optional; a key that does not exist and a value that makes no sense are
// errors with line and column. mien.yaml beside this file is the sample that
// documents every key with its default.
package config

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mien/device/fleet"
	"mien/device/hook"
	"mien/device/publish"
	"mien/device/signal"
	"mien/device/status"
	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/secret"
	"mien/runtime/track"
	"mien/runtime/upright"
)

// Sample is mien.yaml: every key, its default, and what it does.
//
//go:embed mien.yaml
var Sample []byte

// Config is what the file says, defaults filled in.
//
// The tag reload of each key says what a running device does when the key has
// changed: see Reload.
type Config struct {
	Name     string   `yaml:"name" reload:"restart"`
	TimeZone string   `yaml:"time_zone" reload:"restart"`
	Camera   Camera   `yaml:"camera"`
	Faces    Faces    `yaml:"faces"`
	Model    Model    `yaml:"model"`
	Heads    []string `yaml:"heads" reload:"heads"`
	Lead     string   `yaml:"lead" reload:"restart"`
	Answers  Answers  `yaml:"answers"`
	Signals  Signals  `yaml:"signals"`
	OLED     OLED     `yaml:"oled"`
	LEDs     LEDs     `yaml:"leds"`
	Buzzer   Buzzer   `yaml:"buzzer"`
	Status   Status   `yaml:"status"`
	MQTT     MQTT     `yaml:"mqtt"`
	Fleet    Fleet    `yaml:"fleet"`
	Webhook  Webhook  `yaml:"webhook"`
	Hook     Hook     `yaml:"hook"`
	History  History  `yaml:"history"`
	Consent  string   `yaml:"consent" reload:"restart"`
	Health   Health   `yaml:"health"`
}

// Camera says where frames come from.
type Camera struct {
	Source  secret.URL    `yaml:"source" reload:"restart"`
	Width   int           `yaml:"width" reload:"restart"`
	Height  int           `yaml:"height" reload:"restart"`
	Rate    float64       `yaml:"rate" reload:"restart"`
	MaxRate float64       `yaml:"max_rate" reload:"rate"`
	Silence time.Duration `yaml:"silence" reload:"restart"`
	Rotate  int           `yaml:"rotate" reload:"restart"`
	Mirror  bool          `yaml:"mirror" reload:"restart"`
	Loop    bool          `yaml:"loop" reload:"restart"`
	CA      string        `yaml:"ca" reload:"restart"`
}

// Faces says which faces are looked for.
type Faces struct {
	Finder  string    `yaml:"finder" reload:"reading"`
	MinSize int       `yaml:"min_size" reload:"reading"`
	MaxSize int       `yaml:"max_size" reload:"reading"`
	Angles  []float64 `yaml:"angles" reload:"reading"`
}

// Model says what reads the faces.
type Model struct {
	File    string `yaml:"file" reload:"restart"`
	Engine  string `yaml:"engine" reload:"restart"`
	Threads int    `yaml:"threads" reload:"restart"`
}

// Answers says how sure is sure; see track.Options.
type Answers struct {
	MinConfidence float64       `yaml:"min_confidence" reload:"reading"`
	Hysteresis    float64       `yaml:"hysteresis" reload:"reading"`
	Smoothing     time.Duration `yaml:"smoothing" reload:"reading"`
	Dwell         time.Duration `yaml:"dwell" reload:"reading"`
	Fresh         time.Duration `yaml:"fresh" reload:"reading"`
	Confirm       int           `yaml:"confirm" reload:"reading"`
	Window        int           `yaml:"window" reload:"reading"`
	MinScore      float64       `yaml:"min_score" reload:"reading"`
	Linger        time.Duration `yaml:"linger" reload:"reading"`
	MaxFaces      int           `yaml:"max_faces" reload:"reading"`
	Quality       Quality       `yaml:"quality"`
}

// Quality says which pictures of a face are believed; see track.Gates.
type Quality struct {
	MinSize       float64 `yaml:"min_size" reload:"reading"`
	MinSharpness  float64 `yaml:"min_sharpness" reload:"reading"`
	MinBrightness float64 `yaml:"min_brightness" reload:"reading"`
	MaxBrightness float64 `yaml:"max_brightness" reload:"reading"`
	MinContrast   float64 `yaml:"min_contrast" reload:"reading"`
	MaxTilt       float64 `yaml:"max_tilt" reload:"reading"`
	MaxTurn       float64 `yaml:"max_turn" reload:"reading"`
	NeedEyes      bool    `yaml:"need_eyes" reload:"reading"`
}

// Signals is the contract's timing and wires; see signal.Options.
type Signals struct {
	Pins     string          `yaml:"pins" reload:"restart"`
	Chip     string          `yaml:"chip" reload:"restart"`
	MinHold  time.Duration   `yaml:"min_hold" reload:"lines"`
	OnDelay  time.Duration   `yaml:"on_delay" reload:"lines"`
	OffDelay time.Duration   `yaml:"off_delay" reload:"lines"`
	Setup    time.Duration   `yaml:"setup" reload:"lines"`
	Pulse    time.Duration   `yaml:"pulse" reload:"lines"`
	Stall    time.Duration   `yaml:"stall" reload:"lines"`
	Hang     time.Duration   `yaml:"hang" reload:"lines"`
	Lines    map[string]Line `yaml:"lines" reload:"lines"`
}

// Line is one wire of the header.
type Line struct {
	Pin    string `yaml:"pin"`
	Active string `yaml:"active"`
}

// OLED is an SSD1306 or SH1106 display on I2C.
type OLED struct {
	Kind    string `yaml:"kind" reload:"restart"`
	Bus     string `yaml:"bus" reload:"restart"`
	Address int    `yaml:"address" reload:"restart"`
	Height  int    `yaml:"height" reload:"restart"`
	Turn    bool   `yaml:"turn" reload:"restart"`
}

// LEDs are a strip of APA102 or WS2812 on SPI.
type LEDs struct {
	Kind       string            `yaml:"kind" reload:"restart"`
	Bus        string            `yaml:"bus" reload:"restart"`
	Count      int               `yaml:"count" reload:"restart"`
	Order      string            `yaml:"order" reload:"restart"`
	Brightness int               `yaml:"brightness" reload:"restart"`
	Colours    map[string]string `yaml:"colours" reload:"restart"`
}

// Buzzer beeps on a line.
type Buzzer struct {
	Pin    string        `yaml:"pin" reload:"restart"`
	Active string        `yaml:"active" reload:"restart"`
	On     []string      `yaml:"on" reload:"restart"`
	Length time.Duration `yaml:"length" reload:"restart"`
}

// Status is the page and the API.
type Status struct {
	Listen  string      `yaml:"listen" reload:"restart"`
	Token   secret.Text `yaml:"token" reload:"restart"`
	Hosts   []string    `yaml:"hosts" reload:"restart"`
	Proxies []string    `yaml:"proxies" reload:"restart"`
	MDNS    string      `yaml:"mdns" reload:"restart"`
	Preview bool        `yaml:"preview" reload:"page"`
}

// MQTT is the broker.
type MQTT struct {
	Broker    secret.URL  `yaml:"broker" reload:"restart"`
	User      secret.Text `yaml:"user" reload:"restart"`
	Password  secret.Text `yaml:"password" reload:"restart"`
	CA        string      `yaml:"ca" reload:"restart"`
	Topic     string      `yaml:"topic" reload:"restart"`
	Discovery string      `yaml:"discovery" reload:"restart"`
	Queue     string      `yaml:"queue" reload:"restart"`
}

// Fleet is the hub of many boards.
type Fleet struct {
	Servers     []string `yaml:"servers" reload:"restart"`
	Credentials string   `yaml:"credentials" reload:"restart"`
	CA          string   `yaml:"ca" reload:"restart"`
	Certificate string   `yaml:"certificate" reload:"restart"`
	PrivateKey  string   `yaml:"private_key" reload:"restart"`
	Site        string   `yaml:"site" reload:"restart"`
	Tags        []string `yaml:"tags" reload:"restart"`
	Readings    float64  `yaml:"readings" reload:"restart"`
	Events      []string `yaml:"events" reload:"restart"`
	Key         string   `yaml:"key" reload:"restart"`
	Commands    []string `yaml:"commands" reload:"restart"`
	Settable    []string `yaml:"settable" reload:"restart"`
	Updates     []string `yaml:"updates" reload:"restart"`
	Queue       string   `yaml:"queue" reload:"restart"`
}

// Webhook is a web server that is told of events.
type Webhook struct {
	URL    secret.Text `yaml:"url" reload:"restart"`
	Key    secret.Text `yaml:"key" reload:"restart"`
	CA     string      `yaml:"ca" reload:"restart"`
	Events []string    `yaml:"events" reload:"restart"`
}

// Hook is a program that is run for events. Whoever sets it runs what he likes
// here, so that is for the file's owner and not for the page.
type Hook struct {
	Command []string `yaml:"command" reload:"restart" edit:"hand"`
	Events  []string `yaml:"events" reload:"restart"`
	AtOnce  int      `yaml:"at_once" reload:"restart"`
}

// History is what is counted by the hour, and for how long.
type History struct {
	Days int    `yaml:"days" reload:"restart"`
	File string `yaml:"file" reload:"restart"`
}

// Health is what the device does about its own.
type Health struct {
	Throttle bool    `yaml:"throttle" reload:"rate"`
	SlowRate float64 `yaml:"slow_rate" reload:"rate"`
	TooHot   float64 `yaml:"too_hot" reload:"rate"`
	Watchdog string  `yaml:"watchdog" reload:"restart"`
}

// Default returns the configuration of an empty file.
func Default() Config {
	s := signal.Options{}.Defaults()
	return Config{
		Camera: Camera{Source: secret.NewURL("auto"), Width: 640, Height: 480, Rate: 30, Silence: 3 * time.Second},
		Faces:  Faces{Finder: "auto", Angles: []float64{}},
		Model:  Model{Engine: "auto"},
		Heads:  []string{},
		Answers: Answers{MinConfidence: 0.5, Hysteresis: 0.08, Smoothing: 300 * time.Millisecond, Dwell: 250 * time.Millisecond,
			Fresh: time.Second, Confirm: 3, Window: 5, MinScore: face.SureScore, Linger: 700 * time.Millisecond, MaxFaces: 8,
			Quality: Quality{MinSize: 40, MinSharpness: 25, MinBrightness: 30, MaxBrightness: 230, MinContrast: 12, MaxTilt: 25, MaxTurn: 0.2}},
		Signals: Signals{Pins: "auto", MinHold: s.MinHold, OnDelay: s.OnDelay, OffDelay: s.OffDelay, Setup: s.Setup, Pulse: s.Pulse,
			Stall: s.Stall, Hang: s.Hang, Lines: map[string]Line{}},
		OLED:   OLED{Kind: "ssd1306", Address: 0x3c, Height: 64},
		LEDs:   LEDs{Bus: "/dev/spidev0.0", Count: 8, Brightness: 64, Colours: map[string]string{}},
		Buzzer: Buzzer{Active: "high", On: []string{"begin"}, Length: 80 * time.Millisecond},
		Status: Status{Listen: "127.0.0.1:8080", Hosts: []string{}, Proxies: []string{}, MDNS: "mien"},
		MQTT:   MQTT{Topic: "mien", Discovery: "homeassistant", Queue: "/var/lib/mien/queue"},
		Fleet: Fleet{Servers: []string{}, Site: "main", Tags: []string{}, Events: []string{}, Commands: []string{}, Settable: []string{}, Updates: []string{},
			Queue: "/var/lib/mien/fleet"},
		Webhook: Webhook{Events: []string{hook.OfTrack}},
		Hook:    Hook{Command: []string{}, Events: []string{hook.OfTrack}, AtOnce: 1},
		History: History{File: "/var/lib/mien/history.json"},
		Consent: "none",
		Health:  Health{Throttle: true, SlowRate: 5, TooHot: 80, Watchdog: "none"},
	}
}

// uncertain is what a colour is for when a head has no answer.
const uncertain = "uncertain"

// palette has a colour for each label of the lead head, in their order, and
// begins again after the last. A card on the page has the same.
var palette = []string{"#ff8000", "#8000ff", "#408000", "#ffd000", "#0040ff", "#ff0000", "#808080"}

// ColoursOf returns the colour of each label of the lead head, and of
// uncertain: as configured, or of the palette.
func (c *Config) ColoursOf(lead model.Head) map[string]string {
	all := map[string]string{uncertain: "#101010"}
	for i, l := range lead.Labels {
		all[l] = palette[i%len(palette)]
	}
	maps.Copy(all, c.LEDs.Colours)
	return all
}

// LeadOf returns the head of heads, which are the enabled ones, that code
// lines, lights, buzzer and page put first: the configured one, or the first
// that three code lines can show, or simply the first.
func (c *Config) LeadOf(heads []model.Head) model.Head {
	o := signal.Options{Code: c.Lead}
	if i := slices.IndexFunc(heads, func(h model.Head) bool { return h.Name == c.Lead }); i >= 0 {
		return heads[i]
	}
	if i, err := o.Coded(heads); err == nil && i >= 0 {
		return heads[i]
	}
	if len(heads) > 0 {
		return heads[0]
	}
	return model.Head{}
}

// Fit says, by errors that errorf makes, what of a configuration does not fit
// the enabled heads of the model: lines, colours and beeps for labels that none
// has.
func (c *Config) Fit(heads []model.Head, errorf func(key, format string, args ...any) error) (errs []error) {
	known := signal.Lines(heads)
	for _, name := range sorted(c.Signals.Lines) {
		if !slices.Contains(known, name) {
			errs = append(errs, errorf("signals.lines."+name, "no such line with the enabled heads; there are %s", strings.Join(known, ", ")))
		}
	}
	if c.Lead != "" && !slices.ContainsFunc(heads, func(h model.Head) bool { return h.Name == c.Lead }) {
		errs = append(errs, errorf("lead", "%q is no enabled head", c.Lead))
		return errs
	}
	lead := c.LeadOf(heads)
	o := signal.Options{Code: lead.Name}
	if _, err := o.Coded(heads); err != nil && c.coded() {
		errs = append(errs, errorf("lead", "%s", strings.TrimPrefix(err.Error(), "signal: ")))
	}
	labels := strings.Join(lead.Labels, ", ")
	for _, label := range sorted(c.LEDs.Colours) {
		if label != uncertain && lead.Label(label) < 0 {
			errs = append(errs, errorf("leds.colours."+label, "no such label of head %s; there are %s and uncertain", lead.Name, labels))
		}
	}
	for i, on := range c.Buzzer.On {
		if on != "begin" && on != "end" && lead.Label(on) < 0 {
			errs = append(errs, errorf(fmt.Sprintf("buzzer.on[%d]", i), "%q is neither begin, end nor a label of head %s (%s)", on, lead.Name, labels))
		}
	}
	return errs
}

// coded tells whether a code line has a pin.
func (c *Config) coded() bool {
	return slices.ContainsFunc([]string{"code0", "code1", "code2", "strobe"}, func(l string) bool { return c.Signals.Lines[l].Pin != "" })
}

// ConsentPin returns the line of "consent: gpio NAME", and whether there is
// one.
func (c *Config) ConsentPin() (string, bool) {
	name, ok := strings.CutPrefix(c.Consent, "gpio ")
	name = strings.TrimSpace(name)
	return name, ok && name != ""
}

// NameOn returns what the device is called: the configured name, or else the
// host's with the beginning of the machine's id (machine-id(5)), so that two
// boards of one image are not taken for one. An id that is none is left out.
func (c *Config) NameOn(hostname, machineID string) string {
	if c.Name != "" {
		return c.Name
	}
	host := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, strings.TrimSpace(hostname))
	host = host[:min(len(host), 57)] // 64 with what follows
	if host == "" {
		host = "mien"
	}
	if id := strings.TrimSpace(machineID); len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" {
		return host + "-" + id[:6]
	}
	return host
}

// Pin is one use of a GPIO line.
type Pin struct {
	Key string // of the configuration
	Pin string // what the line is called
	For string // in words
}

// Pins returns every use of a GPIO line: outputs in the order of their names,
// the buzzer, the consent line.
func (c *Config) Pins() (out []Pin) {
	for _, name := range sorted(c.Signals.Lines) {
		if l := c.Signals.Lines[name]; l.Pin != "" {
			out = append(out, Pin{"signals.lines." + name, l.Pin, name})
		}
	}
	if c.Buzzer.Pin != "" {
		out = append(out, Pin{"buzzer.pin", c.Buzzer.Pin, "the buzzer"})
	}
	if name, ok := c.ConsentPin(); ok {
		out = append(out, Pin{"consent", name, "consent"})
	}
	return out
}

// SamePin returns an error, made by errorf, for each pin that has a task
// already. Names that differ in the case of their letters only are of one pin.
func SamePin(pins []Pin, errorf func(key, format string, args ...any) error) (errs []error) {
	for i, p := range pins {
		for _, q := range pins[:i] {
			if strings.EqualFold(p.Pin, q.Pin) {
				errs = append(errs, errorf(p.Key, "pin %s is given to %s already", p.Pin, q.For))
				break
			}
		}
	}
	return errs
}

// StatusOptions returns the options of the page, as far as the file has them.
func (c *Config) StatusOptions() status.Options {
	s := &c.Status
	return status.Options{Addr: s.Listen, Token: s.Token.Reveal(), Hosts: s.Hosts, Proxies: s.Proxies, Preview: s.Preview}
}

// PublishOptions returns the options of MQTT, as far as the file has them, for
// the enabled heads.
func (c *Config) PublishOptions(heads []model.Head) publish.Options {
	m := &c.MQTT
	o := publish.Options{Broker: m.Broker.Reveal(), Username: m.User.Reveal(), Password: m.Password.Reveal(), CA: m.CA, Dir: m.Queue,
		ID: c.Name, Prefix: m.Topic + "/" + c.Name, Discovery: m.Discovery}
	if o.Discovery == "" {
		o.Discovery = "-"
	}
	for _, w := range c.SignalOptions(heads).Wires {
		o.Lines = append(o.Lines, w.Line)
	}
	o.Heads = heads
	return o
}

// FleetOptions returns the options of the fleet, as far as the file has them.
func (c *Config) FleetOptions() fleet.Options {
	f := &c.Fleet
	return fleet.Options{Servers: f.Servers, Credentials: f.Credentials, CA: f.CA, Certificate: f.Certificate, PrivateKey: f.PrivateKey,
		ID: fleet.ID{Site: f.Site, Board: c.Name}, Tags: f.Tags, Key: f.Key, Dir: f.Queue, Readings: f.Readings, Events: f.Events}
}

// SignalOptions returns the options of the contract's machine for the enabled
// heads.
func (c *Config) SignalOptions(heads []model.Head) signal.Options {
	s := c.Signals
	o := signal.Options{MinHold: none(s.MinHold), OnDelay: none(s.OnDelay), OffDelay: none(s.OffDelay), Setup: none(s.Setup),
		Pulse: none(s.Pulse), Stall: none(s.Stall), Hang: none(s.Hang)}
	if c.coded() {
		o.Code = c.LeadOf(heads).Name
	}
	for _, name := range signal.Lines(heads) { // in the contract's order, whatever the map's
		if l, ok := s.Lines[name]; ok {
			o.Wires = append(o.Wires, signal.Wire{Line: name, Pin: l.Pin, Low: l.Active == "low"})
		}
	}
	return o
}

// TrackOptions returns the options of the tracker.
func (c *Config) TrackOptions() track.Options {
	a, q := c.Answers, c.Answers.Quality
	return track.Options{Confirm: a.Confirm, Window: a.Window, MinScore: float32(a.MinScore), Linger: a.Linger, Smoothing: none(a.Smoothing),
		MinConfidence: float32(a.MinConfidence), Hysteresis: none(float32(a.Hysteresis)), Dwell: none(a.Dwell), Fresh: a.Fresh, MaxFaces: a.MaxFaces,
		Gates: track.Gates{MinSize: none(q.MinSize), MinSharpness: none(q.MinSharpness), MinBrightness: none(q.MinBrightness),
			MaxBrightness: none(q.MaxBrightness), MinContrast: none(q.MinContrast), MaxTilt: none(q.MaxTilt), MaxTurn: none(q.MaxTurn),
			NeedEyes: q.NeedEyes}}
}

// Turn returns how the camera's pictures have to be turned.
func (c *Config) Turn() upright.Turn {
	return upright.Turn{Degrees: c.Camera.Rotate, Mirror: c.Camera.Mirror}
}

// none turns the file's 0, which means none, into the options' below zero.
func none[T time.Duration | float32 | float64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
