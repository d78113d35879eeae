// Package config reads the firmware's one configuration file. Every key is
// optional; a key that does not exist and a value that makes no sense are
// errors with line and column. mien.yaml beside this file is the sample that
// documents every key with its default.
package config

import (
	_ "embed"
	"strings"
	"time"

	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/track"
)

// Sample is mien.yaml: every key, its default, and what it does.
//
//go:embed mien.yaml
var Sample []byte

// Config is what the file says, defaults filled in.
type Config struct {
	Name    string   `yaml:"name"`
	Camera  Camera   `yaml:"camera"`
	Faces   Faces    `yaml:"faces"`
	Model   Model    `yaml:"model"`
	Heads   []string `yaml:"heads"`
	Answers Answers  `yaml:"answers"`
	Signals Signals  `yaml:"signals"`
	OLED    OLED     `yaml:"oled"`
	LEDs    LEDs     `yaml:"leds"`
	Buzzer  Buzzer   `yaml:"buzzer"`
	Status  Status   `yaml:"status"`
	MQTT    MQTT     `yaml:"mqtt"`
	Consent string   `yaml:"consent"`
	Health  Health   `yaml:"health"`
}

// Camera says where frames come from.
type Camera struct {
	Source  string        `yaml:"source"`
	Width   int           `yaml:"width"`
	Height  int           `yaml:"height"`
	Rate    float64       `yaml:"rate"`
	MaxRate float64       `yaml:"max_rate"`
	Silence time.Duration `yaml:"silence"`
}

// Faces says which faces are looked for.
type Faces struct {
	MinSize int       `yaml:"min_size"`
	MaxSize int       `yaml:"max_size"`
	Angles  []float64 `yaml:"angles"`
}

// Model says what reads the faces.
type Model struct {
	File    string `yaml:"file"`
	Engine  string `yaml:"engine"`
	Threads int    `yaml:"threads"`
}

// Answers says how sure is sure; see track.Options.
type Answers struct {
	MinConfidence float64       `yaml:"min_confidence"`
	Hysteresis    float64       `yaml:"hysteresis"`
	Smoothing     time.Duration `yaml:"smoothing"`
	Dwell         time.Duration `yaml:"dwell"`
	Fresh         time.Duration `yaml:"fresh"`
	Confirm       int           `yaml:"confirm"`
	Window        int           `yaml:"window"`
	MinScore      float64       `yaml:"min_score"`
	Linger        time.Duration `yaml:"linger"`
	MaxFaces      int           `yaml:"max_faces"`
	Quality       Quality       `yaml:"quality"`
}

// Quality says which pictures of a face are believed; see track.Gates.
type Quality struct {
	MinSize       float64 `yaml:"min_size"`
	MinSharpness  float64 `yaml:"min_sharpness"`
	MinBrightness float64 `yaml:"min_brightness"`
	MaxBrightness float64 `yaml:"max_brightness"`
	MinContrast   float64 `yaml:"min_contrast"`
	MaxTilt       float64 `yaml:"max_tilt"`
	MaxTurn       float64 `yaml:"max_turn"`
	NeedEyes      bool    `yaml:"need_eyes"`
}

// Signals is the contract's timing and wires; see signal.Options.
type Signals struct {
	Pins     string          `yaml:"pins"`
	Chip     string          `yaml:"chip"`
	MinHold  time.Duration   `yaml:"min_hold"`
	OnDelay  time.Duration   `yaml:"on_delay"`
	OffDelay time.Duration   `yaml:"off_delay"`
	Setup    time.Duration   `yaml:"setup"`
	Pulse    time.Duration   `yaml:"pulse"`
	Stall    time.Duration   `yaml:"stall"`
	Hang     time.Duration   `yaml:"hang"`
	Lines    map[string]Line `yaml:"lines"`
}

// Line is one wire of the header.
type Line struct {
	Pin    string `yaml:"pin"`
	Active string `yaml:"active"`
}

// OLED is an SSD1306 display on I2C.
type OLED struct {
	Bus     string `yaml:"bus"`
	Address int    `yaml:"address"`
	Height  int    `yaml:"height"`
	Turn    bool   `yaml:"turn"`
}

// LEDs are a strip of APA102 or WS2812 on SPI.
type LEDs struct {
	Kind       string            `yaml:"kind"`
	Bus        string            `yaml:"bus"`
	Count      int               `yaml:"count"`
	Brightness int               `yaml:"brightness"`
	Colours    map[string]string `yaml:"colours"`
}

// Buzzer beeps on a line.
type Buzzer struct {
	Pin    string        `yaml:"pin"`
	Active string        `yaml:"active"`
	On     []string      `yaml:"on"`
	Length time.Duration `yaml:"length"`
}

// Status is the page and the API.
type Status struct {
	Listen  string   `yaml:"listen"`
	Token   string   `yaml:"token"`
	Hosts   []string `yaml:"hosts"`
	Preview bool     `yaml:"preview"`
}

// MQTT is the broker.
type MQTT struct {
	Broker    string `yaml:"broker"`
	User      string `yaml:"user"`
	Password  string `yaml:"password"`
	CA        string `yaml:"ca"`
	Topic     string `yaml:"topic"`
	Discovery string `yaml:"discovery"`
	Queue     string `yaml:"queue"`
}

// Health is what the device does about its own.
type Health struct {
	Throttle bool    `yaml:"throttle"`
	SlowRate float64 `yaml:"slow_rate"`
	TooHot   float64 `yaml:"too_hot"`
	Watchdog string  `yaml:"watchdog"`
}

// Default returns the configuration of an empty file.
func Default() Config {
	s := signal.Options{}.Defaults()
	return Config{
		Name:   "mien",
		Camera: Camera{Source: "auto", Width: 640, Height: 480, Rate: 30, Silence: 3 * time.Second},
		Faces:  Faces{MinSize: 60, Angles: []float64{}},
		Model:  Model{Engine: "auto"},
		Heads:  []string{model.Emotion.Name, model.Gender.Name, model.Age.Name},
		Answers: Answers{MinConfidence: 0.5, Hysteresis: 0.08, Smoothing: 300 * time.Millisecond, Dwell: 250 * time.Millisecond,
			Fresh: time.Second, Confirm: 3, Window: 5, MinScore: face.SureScore, Linger: 700 * time.Millisecond, MaxFaces: 8,
			Quality: Quality{MinSize: 40, MinSharpness: 25, MinBrightness: 30, MaxBrightness: 230, MinContrast: 12, MaxTilt: 25, MaxTurn: 0.2}},
		Signals: Signals{Pins: "auto", MinHold: s.MinHold, OnDelay: s.OnDelay, OffDelay: s.OffDelay, Setup: s.Setup, Pulse: s.Pulse,
			Stall: s.Stall, Hang: s.Hang, Lines: map[string]Line{}},
		OLED:    OLED{Address: 0x3c, Height: 64},
		LEDs:    LEDs{Bus: "/dev/spidev0.0", Count: 8, Brightness: 64, Colours: Colours()},
		Buzzer:  Buzzer{Active: "high", On: []string{"begin"}, Length: 80 * time.Millisecond},
		Status:  Status{Listen: "127.0.0.1:8080", Hosts: []string{}},
		MQTT:    MQTT{Topic: "mien", Discovery: "homeassistant", Queue: "/var/lib/mien/queue"},
		Consent: "none",
		Health:  Health{Throttle: true, SlowRate: 5, TooHot: 80, Watchdog: "none"},
	}
}

// Colours is the default colour of each emotion.
func Colours() map[string]string {
	return map[string]string{"surprise": "#ff8000", "fear": "#8000ff", "disgust": "#408000", "happy": "#ffd000",
		"sad": "#0040ff", "angry": "#ff0000", "neutral": "#808080", "uncertain": "#101010"}
}

// ConsentPin returns the line of "consent: gpio NAME", and whether there is
// one.
func (c *Config) ConsentPin() (string, bool) {
	name, ok := strings.CutPrefix(c.Consent, "gpio ")
	name = strings.TrimSpace(name)
	return name, ok && name != ""
}

// SignalOptions returns the options of the contract's machine.
func (c *Config) SignalOptions() signal.Options {
	s := c.Signals
	o := signal.Options{MinHold: none(s.MinHold), OnDelay: none(s.OnDelay), OffDelay: none(s.OffDelay), Setup: none(s.Setup),
		Pulse: none(s.Pulse), Stall: none(s.Stall), Hang: none(s.Hang)}
	for _, name := range signal.Lines(model.Heads()) { // in the contract's order, whatever the map's
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

// none turns the file's 0, which means none, into the options' below zero.
func none[T time.Duration | float32 | float64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
