package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"mien/boards"
	"mien/device/config"
	"mien/device/pins"
	"mien/device/vitals"
	"mien/runtime/model"
	"mien/runtime/secret"
)

// What run cannot open check refuses, with the place of the key.
func TestCheckIsTheVerdictOfRun(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir, text := t.TempDir(), write(t, "text", []byte("hello"))
	for in, want := range map[string]string{
		`status: {listen: "0.0.0.0:8080"}`:                                     ":1:18: status.listen: \"0.0.0.0:8080\" can be reached from other machines: set a token",
		`status: {listen: ":8080"}`:                                            "set a token",
		`status: {listen: "[::]:8080"}`:                                        "set a token",
		`status: {listen: "raspberrypi:8080"}`:                                 "set a token",
		`status: {listen: "127.0.0.1:99999"}`:                                  `port "99999" is not between 1 and 65535`,
		`status: {listen: "127.0.0.1:-1"}`:                                     `port "-1" is not`,
		`status: {listen: "127.0.0.1:http"}`:                                   `port "http" is not`,
		`status: {listen: "127.0.0.1"}`:                                        "want host:port",
		`status: {listen: "192.0.2.1:8080", token: 0123456789abcdef}`:          `"192.0.2.1:8080" is no address of this machine`,
		`status: {listen: "no.such.host.invalid:80", token: 0123456789abcdef}`: "is no address of this machine",
		`status: {token: "sha256:00"}`:                                         "status.token: the token is wrong: sha256: has to be followed by 64",
		`status: {token: "                    "}`:                              "status.token: the token begins or ends with a blank",
		`status: {hosts: ["http://a"]}`:                                        "status.hosts[0]",
		`mqtt: {broker: "tcp://127.0.0.1:1883"}`:                               `:1:16: mqtt.broker: broker "tcp://127.0.0.1:1883" is not mqtt://`,
		`mqtt: {broker: "ws://127.0.0.1:80/mqtt"}`:                             "mqtt.broker",
		`mqtt: {broker: "ssl://h:8883"}`:                                       "mqtt.broker",
		`mqtt: {broker: "mqtt://user:S3cret@h"}`:                               "name and password are settings of their own",
		`mqtt: {broker: "mqtt://S3cret@h"}`:                                    "name and password are settings of their own",
		`mqtt: {broker: "mqtt://user:S3 cret@h"}`:                              "mqtt.broker",
		`mqtt: {broker: "mqtt://h:99999"}`:                                     "mqtt.broker",
		`mqtt: {broker: "mqtt://h:0"}`:                                         "mqtt.broker",
		`mqtt: {broker: "mqtt://::1:1883"}`:                                    "mqtt.broker",
		`mqtt: {broker: "mqtt://"}`:                                            "mqtt.broker",
		`mqtt: {broker: "mqtt://:1883"}`:                                       "mqtt.broker",
		`mqtt: {broker: "broker.local"}`:                                       "mqtt.broker",
		`mqtt: {broker: "mqtt://h/topic"}`:                                     "mqtt.broker",
		`mqtt: {broker: "mqtt://h", topic: "a/#"}`:                             ":1:35: mqtt.topic: topic \"a/#\": wildcards",
		`mqtt: {broker: "mqtt://h", topic: "a/+/b"}`:                           "mqtt.topic",
		`mqtt: {broker: "mqtt://h", topic: "$SYS"}`:                            "mqtt.topic",
		`mqtt: {broker: "mqtt://h", discovery: "home/#"}`:                      "mqtt.discovery",
		`mqtt: {broker: "mqtts://h", ca: /no/such.pem, queue: ` + dir + `}`:    "mqtt.ca: publish: certificates: open /no/such.pem",
		`mqtt: {broker: "mqtts://h", queue: ` + dir + `, ca: ` + text + `}`:    "holds no PEM certificate",
		`mqtt: {broker: "mqtt://h", queue: /no/such/folder}`:                   ":1:35: mqtt.queue: queue: stat /no/such: no such file",
		`mqtt: {broker: "mqtt://h", queue: ` + text + `}`:                      "is no folder",
		`mqtt: {broker: "mqtt://h", queue: ` + text + `/queue}`:                "mqtt.queue",
		`mqtt: {broker: "mqtt://h", queue: /proc/queue}`:                       "mqtt.queue",
		`model: {file: /no/such.tflite}`:                                       ":1:15: model.file: model: open /no/such.tflite",
		`model: {file: ` + text + `}`:                                          "model.file: " + text,
		`fleet: {servers: ["mqtt://h"]}`:                                       `:1:19: fleet.servers[0]: server "mqtt://h" is not tls://`,
		`fleet: {servers: ["tls://a:b@h"]}`:                                    "who this is, is said by fleet.credentials",
		`fleet: {servers: ["tls://h"], site: a.b}`:                             "fleet.site: the name of the site, \"a.b\"",
		"name: a.b\nfleet: {servers: [\"tls://h\"]}":                           ":1:7: name: the name of the board",
		`fleet: {servers: ["tls://h"], tags: ["a b"]}`:                         `fleet.tags[0]: tag "a b"`,
		`fleet: {servers: ["tls://h"], events: [reading]}`:                     `fleet.events[0]: "reading" is neither track nor transition`,
		`fleet: {servers: ["tls://h"], commands: [doctor]}`:                    "fleet.commands: needs fleet.key",
		`fleet: {servers: ["tls://h"], commands: [reboot]}`:                    `"reboot" is no command`,
		`fleet: {servers: ["tls://h"], updates: [model]}`:                      "fleet.updates: needs fleet.key",
		`fleet: {servers: ["tls://h"], updates: [package]}`:                    "takes root's rights",
		`fleet: {servers: ["tls://h"], updates: [kernel]}`:                     `"kernel" cannot be rolled out`,
		"model: {file: m}\nfleet: {servers: [\"tls://h\"], updates: [model]}":  "has no use for a model while model.file names",
		`fleet: {servers: ["tls://h"], key: abc}`:                              "fleet.key",
		`fleet: {servers: ["tls://h"], certificate: /c.pem}`:                   "fleet.certificate",
		`fleet: {servers: ["tls://h"], settable: [camera.source]}`:             "takes effect after a restart only",
		`fleet: {servers: ["tls://h"], settable: [answers.nothing]}`:           `"answers.nothing" is no key`,
		`fleet: {servers: ["tls://h"], queue: /var/lib/mien/queue}`:            "fleet.queue",
		`fleet: {servers: ["tls://h"], queue: ` + dir + `, ca: ` + text + `}`:  "holds no PEM certificate",
		"name: a\nfleet: {servers: [\"tls://h\"], credentials: " + text + "}":  "holds no credentials as mien fleet enrol writes them",
		`mqtt: {broker: mqtts://b, ca: /dev/zero}`:                             "mqtt.ca: publish: certificates: /dev/zero is no plain file",
		`model: {file: /dev/zero}`:                                             "model.file: model: /dev/zero is no plain file",
		`model: {file: ` + dir + `}`:                                           "is no plain file",
		`model: {file: edge-int9}`:                                             "inside miend are",
		"buzzer: {pin: GPIO17}\nsignals: {lines: {ready: {pin: GPIO17}}}":      "f.yaml:1:15: buzzer.pin: pin GPIO17 is given to ready already",
		"signals: {lines: {ready: {pin: GPIO17}, face: {pin: gpio17}}}":        "signals.lines.ready: pin GPIO17 is given to face already",
		"signals: {lines: {ready: {pin: GPIO17}}}\nconsent: gpio gpio17":       "f.yaml:2:10: consent: pin gpio17 is given to ready already",
		"buzzer: {pin: GPIO5}\nconsent: gpio GPIO5":                            "consent: pin GPIO5 is given to the buzzer already",
		"signals: {pins: simulated, lines: {ready: {pin: GPOI17}}}":            `:1:43: signals.lines.ready: pins: no GPIO line is called "GPOI17"`,
		"signals: {pins: simulated, lines: {ready: {pin: gpio17}}}":            `no GPIO line is called "gpio17"; there are GPIO17`,
		"signals: {pins: simulated, lines: {ready: {pin: header 41}}}":         `no GPIO line is called "header 41"`,
		"signals: {pins: simulated}\nbuzzer: {pin: BUZZ}":                      `f.yaml:2:15: buzzer.pin: pins: no GPIO line is called "BUZZ"`,
		"camera: {source: \"http://\"}":                                        "camera: httpmjpeg: the camera's address http:// is not",
		"camera: {source: \"http://admin:S3#cret@cam/\"}":                      "http://xxxxx@cam/ is not",
		"camera: {source: \"http://cam:99999/\"}":                              "camera: httpmjpeg",
		"camera: {source: \"gopher://admin:S3cret@cam/\"}":                     `"gopher://xxxxx@cam/" is no camera`,
		"camera: {source: \"replay:/no/such.y4m\"}":                            "no such file",
		"camera: {source: \"replay:" + text + "\"}":                            "not a folder, .y4m, .mjpeg or a picture",
		"camera: {source: \"replay:" + dir + "\"}":                             "no picture",
		"camera: {source: \"v4l2:0\"}":                                         `camera.source: "v4l2:0" is no camera`,
		"oled: {bus: /dev/i2c-01}":                                             "oled.bus",
		"leds: {kind: apa102, bus: /dev/spidev00.0}":                           "leds.bus",
		"oled: {bus: i2c-1}":                                                   `oled.bus: "i2c-1" is no I2C bus such as /dev/i2c-1`,
		"oled: {bus: /dev/i2c-1x}":                                             "oled.bus",
		"camera: {source: rpicam, width: 800, height: 600}":                    "f.yaml:1:9: camera: rpicam: 800x600: the width has to be a multiple of 64",
		"camera: {source: rpicam, height: 481}":                                "camera: rpicam: 640x481",
		"camera: {source: rpicam, width: 64}":                                  "camera: rpicam",
		"oled: {bus: 1}":                                                       "oled.bus",
		"leds: {kind: apa102, bus: GPIO18}":                                    `leds.bus: "GPIO18" is no SPI port such as /dev/spidev0.0`,
		"leds: {kind: ws2812, bus: /dev/spidev0}":                              "leds.bus",
		"leds: {kind: ws2812, count: 341}":                                     "leds.count: 341 lights of ws2812 need 4098 bytes at once, and the SPI driver sends 4096: 340 are possible",
		"leds: {kind: apa102, count: 1024}":                                    "leds.count: 1024 lights of apa102",
		"leds: {kind: neopixel}":                                               `leds.kind: "neopixel" is none of`,
		"model: {file: " + modelFile(t, model.Age) + "}\nheads: [emotion]":     "heads: ",
		"signals: {lines: {is_bored: {pin: GPIO4}}}":                           "f.yaml:1:29: signals.lines.is_bored: no such line with the enabled heads",
		"heads: [age]\nbuzzer: {on: [sad]}":                                    "label of head age",
		"model: {file: " + modelFile(t, model.Age) + "}\nsignals: {pins: simulated, lines: {is_sad: {pin: GPIO4}}}": "signals.lines.is_sad: no such line",
		"signals: {pins: simulated}\nconsent: gpio GPIO4":                                                           "consent: is read from a real line",
		"mqtt: {broker: \"mqtt://h\", topic: " + strings.Repeat("a", 136) + "}":                                     "mqtt.topic",
		"mqtt: {broker: \"mqtt://h\", topic: \"\"}":                                                                 "mqtt.topic: topic is empty",
		"status: {listen: none}\nconsent: http":                                                                     "consent: http needs status.listen",
		"signals: {pins: simulated, lines: {ready: {pin: GPIO4}, is_sad: {pin: GPIO4}}}":                            "given to is_sad already",
	} {
		path := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(path, []byte(in+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := miend("check", path)
		switch {
		case err == nil:
			t.Errorf("%q is accepted: %s", in, out)
		case !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "f.yaml:"):
			t.Errorf("%q: %v, want %q", in, err, want)
		case strings.Contains(err.Error(), "S3"):
			t.Errorf("%q: the error shows a password: %v", in, err)
		}
	}
	for _, in := range []string{"", `status: {listen: "` + taken.Addr().String() + `"}`, `status: {listen: "0.0.0.0:8080", token: 0123456789abcdef}`,
		`status: {token: "sha256:` + strings.Repeat("0a", 32) + `"}`,
		`mqtt: {broker: "mqtts://h", queue: ` + dir + `/queue}`, "leds: {kind: ws2812, count: 340}", "leds: {kind: apa102, count: 1006}",
		"signals: {pins: simulated, lines: {ready: {pin: header 11}, face: {pin: GPIO4}}}", "camera: {source: rpicam, width: 640, height: 480}"} {
		if out, err := miend("check", write(t, "f.yaml", []byte(in))); err != nil || !strings.Contains(out, "f.yaml is right: reads") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// On a board one pin has two names.
func TestCheckKnowsTheHeader(t *testing.T) {
	b, err := boards.ByName("rpi5")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"signals: {lines: {ready: {pin: GPIO17}, face: {pin: header 11}}}":   "f:1:26: signals.lines.ready: pin GPIO17 is given to face already",
		"signals: {lines: {ready: {pin: header 11}}}\nbuzzer: {pin: GPIO17}": "f:2:15: buzzer.pin: pin GPIO17 is given to ready already",
		"signals: {lines: {ready: {pin: header 11}}}\nbuzzer: {pin: GPIO27}": "",
	} {
		f, err := config.ParseFile("f", []byte(in+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		errs := verify(&f, b, pi5())
		if want == "" && len(errs) == 0 || want != "" && len(errs) > 0 && errs[0].Error() == want {
			continue
		}
		t.Errorf("%q: %v, want %q", in, errs, want)
	}
}

// The SPI driver's buffer is the machine's.
func TestLongStrip(t *testing.T) {
	cfg := config.Default()
	cfg.LEDs.Kind, cfg.LEDs.Count = "ws2812", 500
	if err := canDrive(&cfg, fstest.MapFS{}); err == nil {
		t.Error("500 lights through 4096 bytes")
	}
	if err := canDrive(&cfg, fstest.MapFS{"sys/module/spidev/parameters/bufsiz": &fstest.MapFile{Data: []byte("65536\n")}}); err != nil {
		t.Error(err)
	}
}

// other is another value of each key, one that a device may have.
var other = map[string]func(*config.Config){
	"name":                           func(c *config.Config) { c.Name = "hall" },
	"camera.source":                  func(c *config.Config) { c.Camera.Source = secret.NewURL("/dev/video3") },
	"camera.width":                   func(c *config.Config) { c.Camera.Width = 320 },
	"camera.height":                  func(c *config.Config) { c.Camera.Height = 240 },
	"camera.rate":                    func(c *config.Config) { c.Camera.Rate = 15 },
	"camera.max_rate":                func(c *config.Config) { c.Camera.MaxRate = 4 },
	"camera.silence":                 func(c *config.Config) { c.Camera.Silence *= 2 },
	"camera.rotate":                  func(c *config.Config) { c.Camera.Rotate = 90 },
	"camera.mirror":                  func(c *config.Config) { c.Camera.Mirror = true },
	"camera.loop":                    func(c *config.Config) { c.Camera.Loop = true },
	"camera.ca":                      func(c *config.Config) { c.Camera.CA = "/ca.pem" },
	"faces.finder":                   func(c *config.Config) { c.Faces.Finder = "pigo" },
	"faces.min_size":                 func(c *config.Config) { c.Faces.MinSize = 80 },
	"faces.max_size":                 func(c *config.Config) { c.Faces.MaxSize = 300 },
	"faces.angles":                   func(c *config.Config) { c.Faces.Angles = []float64{30} },
	"model.file":                     func(c *config.Config) { c.Model.File = "paper-int8" },
	"model.engine":                   func(c *config.Config) { c.Model.Engine = "portable" },
	"model.threads":                  func(c *config.Config) { c.Model.Threads = 2 },
	"heads":                          func(c *config.Config) { c.Heads = []string{"age"} },
	"lead":                           func(c *config.Config) { c.Lead = "age" },
	"answers.min_confidence":         func(c *config.Config) { c.Answers.MinConfidence = 0.7 },
	"answers.hysteresis":             func(c *config.Config) { c.Answers.Hysteresis = 0.1 },
	"answers.smoothing":              func(c *config.Config) { c.Answers.Smoothing *= 2 },
	"answers.dwell":                  func(c *config.Config) { c.Answers.Dwell *= 2 },
	"answers.fresh":                  func(c *config.Config) { c.Answers.Fresh *= 2 },
	"answers.confirm":                func(c *config.Config) { c.Answers.Confirm = 2 },
	"answers.window":                 func(c *config.Config) { c.Answers.Window = 6 },
	"answers.min_score":              func(c *config.Config) { c.Answers.MinScore = 1 },
	"answers.linger":                 func(c *config.Config) { c.Answers.Linger *= 2 },
	"answers.max_faces":              func(c *config.Config) { c.Answers.MaxFaces = 3 },
	"answers.quality.min_size":       func(c *config.Config) { c.Answers.Quality.MinSize = 50 },
	"answers.quality.min_sharpness":  func(c *config.Config) { c.Answers.Quality.MinSharpness = 50 },
	"answers.quality.min_brightness": func(c *config.Config) { c.Answers.Quality.MinBrightness = 50 },
	"answers.quality.max_brightness": func(c *config.Config) { c.Answers.Quality.MaxBrightness = 200 },
	"answers.quality.min_contrast":   func(c *config.Config) { c.Answers.Quality.MinContrast = 50 },
	"answers.quality.max_tilt":       func(c *config.Config) { c.Answers.Quality.MaxTilt = 50 },
	"answers.quality.max_turn":       func(c *config.Config) { c.Answers.Quality.MaxTurn = 0.5 },
	"answers.quality.need_eyes":      func(c *config.Config) { c.Answers.Quality.NeedEyes = true },
	"signals.pins":                   func(c *config.Config) { c.Signals.Pins = "simulated" },
	"signals.chip":                   func(c *config.Config) { c.Signals.Chip = "gpiochip0" },
	"signals.min_hold":               func(c *config.Config) { c.Signals.MinHold *= 2 },
	"signals.on_delay":               func(c *config.Config) { c.Signals.OnDelay *= 2 },
	"signals.off_delay":              func(c *config.Config) { c.Signals.OffDelay *= 2 },
	"signals.setup":                  func(c *config.Config) { c.Signals.Setup *= 2 },
	"signals.pulse":                  func(c *config.Config) { c.Signals.Pulse *= 2 },
	"signals.stall":                  func(c *config.Config) { c.Signals.Stall /= 2 },
	"signals.hang":                   func(c *config.Config) { c.Signals.Hang *= 2 },
	"signals.lines":                  func(c *config.Config) { c.Signals.Lines = map[string]config.Line{"ready": {Pin: "B", Active: "high"}} },
	"oled.kind":                      func(c *config.Config) { c.OLED.Kind = "sh1106" },
	"leds.order":                     func(c *config.Config) { c.LEDs.Order = "rgb" },
	"oled.bus":                       func(c *config.Config) { c.OLED.Bus = "/dev/i2c-1" },
	"oled.address":                   func(c *config.Config) { c.OLED.Address = 0x3d },
	"oled.height":                    func(c *config.Config) { c.OLED.Height = 32 },
	"oled.turn":                      func(c *config.Config) { c.OLED.Turn = true },
	"leds.kind":                      func(c *config.Config) { c.LEDs.Kind = "apa102" },
	"leds.bus":                       func(c *config.Config) { c.LEDs.Bus = "/dev/spidev1.0" },
	"leds.count":                     func(c *config.Config) { c.LEDs.Count = 3 },
	"leds.brightness":                func(c *config.Config) { c.LEDs.Brightness = 3 },
	"leds.colours":                   func(c *config.Config) { c.LEDs.Colours = map[string]string{"happy": "#000000"} },
	"buzzer.pin":                     func(c *config.Config) { c.Buzzer.Pin = "C" },
	"buzzer.active":                  func(c *config.Config) { c.Buzzer.Active = "low" },
	"buzzer.on":                      func(c *config.Config) { c.Buzzer.On = []string{"end"} },
	"buzzer.length":                  func(c *config.Config) { c.Buzzer.Length *= 2 },
	"status.listen":                  func(c *config.Config) { c.Status.Listen = "127.0.0.1:8081" },
	"status.token":                   func(c *config.Config) { c.Status.Token = secret.New("0123456789abcdef") },
	"status.proxies":                 func(c *config.Config) { c.Status.Proxies = []string{"127.0.0.1"} },
	"status.hosts":                   func(c *config.Config) { c.Status.Hosts = []string{"hall"} },
	"status.preview":                 func(c *config.Config) { c.Status.Preview = true },
	"mqtt.broker":                    func(c *config.Config) { c.MQTT.Broker = secret.NewURL("mqtt://h") },
	"mqtt.user":                      func(c *config.Config) { c.MQTT.User = secret.New("u") },
	"mqtt.password":                  func(c *config.Config) { c.MQTT.Password = secret.New("p") },
	"mqtt.ca":                        func(c *config.Config) { c.MQTT.CA = "/ca.pem" },
	"mqtt.topic":                     func(c *config.Config) { c.MQTT.Topic = "t" },
	"mqtt.discovery":                 func(c *config.Config) { c.MQTT.Discovery = "" },
	"mqtt.queue":                     func(c *config.Config) { c.MQTT.Queue = "/q" },
	"fleet.servers":                  func(c *config.Config) { c.Fleet.Servers = []string{"tls://h"} },
	"fleet.credentials":              func(c *config.Config) { c.Fleet.Credentials = "/c.creds" },
	"fleet.ca":                       func(c *config.Config) { c.Fleet.CA = "/ca.pem" },
	"fleet.certificate":              func(c *config.Config) { c.Fleet.Certificate = "/c.pem" },
	"fleet.private_key":              func(c *config.Config) { c.Fleet.PrivateKey = "/k.pem" },
	"fleet.site":                     func(c *config.Config) { c.Fleet.Site = "hall" },
	"fleet.tags":                     func(c *config.Config) { c.Fleet.Tags = []string{"first"} },
	"fleet.readings":                 func(c *config.Config) { c.Fleet.Readings = 1 },
	"fleet.events":                   func(c *config.Config) { c.Fleet.Events = []string{"track"} },
	"fleet.key":                      func(c *config.Config) { c.Fleet.Key = "U" },
	"fleet.commands":                 func(c *config.Config) { c.Fleet.Commands = []string{"doctor"} },
	"fleet.settable":                 func(c *config.Config) { c.Fleet.Settable = []string{"faces.min_size"} },
	"fleet.updates":                  func(c *config.Config) { c.Fleet.Updates = []string{"model"} },
	"fleet.queue":                    func(c *config.Config) { c.Fleet.Queue = "/q" },
	"webhook.url":                    func(c *config.Config) { c.Webhook.URL = secret.New("https://h/x") },
	"webhook.key":                    func(c *config.Config) { c.Webhook.Key = secret.New("k") },
	"webhook.ca":                     func(c *config.Config) { c.Webhook.CA = "/ca.pem" },
	"webhook.events":                 func(c *config.Config) { c.Webhook.Events = []string{"transition"} },
	"hook.command":                   func(c *config.Config) { c.Hook.Command = []string{"/bin/true"} },
	"hook.events":                    func(c *config.Config) { c.Hook.Events = []string{"transition"} },
	"hook.at_once":                   func(c *config.Config) { c.Hook.AtOnce = 3 },
	"consent":                        func(c *config.Config) { c.Consent = "http" },
	"health.throttle":                func(c *config.Config) { c.Health.Throttle = false },
	"health.slow_rate":               func(c *config.Config) { c.Health.SlowRate = 2 },
	"health.too_hot":                 func(c *config.Config) { c.Health.TooHot = 60 },
	"health.watchdog":                func(c *config.Config) { c.Health.Watchdog = "/dev/watchdog" },
	"history.days":                   func(c *config.Config) { c.History.Days = 7 },
	"history.file":                   func(c *config.Config) { c.History.File = "/tmp/history.json" },
	"status.mdns":                    func(c *config.Config) { c.Status.MDNS = "hall" },
	"time_zone":                      func(c *config.Config) { c.TimeZone = "Europe/Berlin" },
}

// Every key that is turned either works from then on or is named as one that
// needs a restart, and keeps its value until then.
func TestReloadOfEveryKey(t *testing.T) {
	file := modelFile(t)
	base := func() config.Config {
		c := config.Default()
		c.Name, c.Model.File, c.Status.Listen = "door", file, "none"
		c.Signals.Lines = map[string]config.Line{"ready": {Pin: "A", Active: "high"}}
		return c
	}
	// What the parts are made from, or look at all the time.
	made := map[config.Reload]func(*config.Config) string{
		config.Reading: func(c *config.Config) string { return fmt.Sprint(c.FaceOptions(), c.TrackOptions()) },
		config.Heads:   func(c *config.Config) string { return fmt.Sprint(c.Heads) },
		config.Page:    func(c *config.Config) string { return fmt.Sprint(c.StatusOptions().Preview) },
		config.Lines:   func(c *config.Config) string { return fmt.Sprint(c.SignalOptions(model.Heads())) },
		config.Rate: func(c *config.Config) string {
			var all []any
			for _, celsius := range []float64{0, 70, 90} {
				rate, why := pace(c, vitals.Vitals{Celsius: celsius})
				all = append(all, rate, why)
			}
			return fmt.Sprint(all...)
		},
	}
	for _, k := range config.Keys() {
		turn, ok := other[k.Name]
		if !ok {
			t.Fatalf("%s: no other value to turn it to", k.Name)
		}
		var log strings.Builder
		a, err := newApp(base(), newLog(&log), appOptions{open: scene, sim: &pins.Sim{Names: []string{"A", "B", "C"}}})
		if err != nil {
			t.Fatal(err)
		}
		was, cfg := *a.now.Load(), base()
		turn(&cfg)
		if err := a.reload(cfg); err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		named := strings.Contains(log.String(), "after a restart") && strings.Contains(log.String(), "keys="+k.Name+"\n")
		changed := config.Changed(&was, a.now.Load())
		if k.Reload == config.Restart {
			if !named || len(changed) > 0 {
				t.Errorf("%s: named %v, changed %s: %s", k.Name, named, config.Names(changed), log.String())
			}
		} else if named || config.Names(changed) != k.Name || made[k.Reload](&was) == made[k.Reload](a.now.Load()) {
			t.Errorf("%s: named %v, changed %s, parts the same %v", k.Name, named, config.Names(changed), made[k.Reload](&was) == made[k.Reload](a.now.Load()))
		}
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}
}
