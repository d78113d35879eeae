package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"mien/device/announce"
	"mien/device/display"
	"mien/device/fleet"
	"mien/device/history"
	"mien/device/hook"
	"mien/device/page"
	"mien/device/publish"
	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/secret"
	"mien/runtime/track"
)

// Error is what is wrong with one place of a file.
type Error struct {
	File      string
	Line, Col int // from 1; 0 when the place is not known
	Message   string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Message)
}

// maxFile bounds a configuration, in bytes.
const maxFile = 1 << 20

// Load reads the file at path.
func Load(path string) (Config, error) {
	f, err := ReadFile(path)
	return f.Config, err
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("config: %w (it is for root and the service's group, because of its passwords: sudo, or join group mien)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return data, nil
}

// Parse reads a configuration; name is the file's, for errors. What the file
// does not say has its default. Several faults give several errors, joined.
func Parse(name string, data []byte) (Config, error) {
	f, err := ParseFile(name, data)
	return f.Config, err
}

// File is a configuration with the places of its keys, for those who find
// something wrong with it that shows only on the machine it is for.
type File struct {
	Config
	name   string
	places map[string]Place
}

// Errorf returns an error at the place of a key, such as "mqtt.ca".
func (f *File) Errorf(key, format string, args ...any) error {
	p := find(f.places, key)
	return &Error{f.name, p.Line, p.Col, key + ": " + fmt.Sprintf(format, args...)}
}

// ReadFile is Load with the places of the keys.
func ReadFile(path string) (File, error) {
	data, err := read(path)
	if err != nil {
		return File{}, err
	}
	return ParseFile(path, data)
}

// ParseFile is Parse with the places of the keys.
func ParseFile(name string, data []byte) (File, error) { return ParseWith(name, data, here) }

// ParseWith is ParseFile with what references to secrets stand for.
func ParseWith(name string, data []byte, lookup Lookup) (f File, err error) {
	// The YAML package (v1.19.2) panics on some damaged files. That must not
	// take a running device with it on reload.
	defer func() {
		if r := recover(); r != nil {
			f, err = File{}, &Error{File: name, Message: "damaged YAML, which the reader cannot place: look for a stray !, [ or {"}
		}
	}()
	if len(data) > maxFile {
		return File{}, &Error{File: name, Message: "larger than 1 MiB, which is no configuration"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors mark UTF-8 with it
	if err := readable(name, data); err != nil {
		return File{}, err
	}
	d := decoder{file: name, lookup: lookup, lines: strings.Split(string(data), "\n"), places: map[string]Place{}}
	body, err := d.parse(data)
	if err != nil {
		return File{}, err
	}
	f = File{Default(), name, d.places}
	if body != nil {
		d.document(body, &f.Config)
	}
	if len(d.errs) == 0 {
		v := verifier{decoder: &d}
		v.check(&f.Config)
	}
	if err := errors.Join(d.errs...); err != nil {
		return File{}, err
	}
	return f, nil
}

// readable says where a file is no text in UTF-8.
func readable(name string, data []byte) error {
	wrong := func(i int, message string) error {
		line := 1 + bytes.Count(data[:i], []byte("\n"))
		col := 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:i], '\n')+1:i])
		return &Error{name, line, col, message}
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return wrong(0, "is UTF-16: save it as UTF-8")
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return wrong(i, fmt.Sprintf("byte %#x is no UTF-8, Latin-1 perhaps: save the file as UTF-8", data[i]))
		case unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' && r != '\u0085':
			return wrong(i, fmt.Sprintf("control character %U, which no text has", r))
		}
		i += n
	}
	return nil
}

// parse returns the body of the one document, nil when it says nothing.
func (d *decoder) parse(data []byte) (body ast.Node, err error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, d.syntax(err)
	}
	for _, doc := range file.Docs {
		switch doc.Body.(type) {
		case nil, *ast.DirectiveNode, *ast.CommentGroupNode:
			continue
		}
		if body != nil {
			p := at(doc.Body)
			return nil, &Error{d.file, p.Line, p.Col, "holds several documents, separated by ---; one is wanted"}
		}
		body = doc.Body
	}
	return body, nil
}

// quoted is a part of the file in a message of the YAML package: it may be a
// part of a password.
var quoted = regexp.MustCompile(`"[^"]*"`)

// syntax turns an error of the YAML package into one of ours.
func (d *decoder) syntax(err error) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		return &Error{File: d.file, Message: "no YAML"}
	}
	out := &Error{File: d.file, Message: y.GetMessage()}
	if !strings.HasPrefix(out.Message, "mapping key") {
		out.Message = quoted.ReplaceAllString(out.Message, "...")
	}
	t := y.GetToken()
	if t == nil || t.Position == nil {
		return out
	}
	out.Line, out.Col = t.Position.Line, t.Position.Column
	if out.Line <= len(d.lines) && hashed.MatchString(d.lines[out.Line-1]) {
		out.Message += " (an unquoted # begins a comment: quote a value that has one)"
	}
	return out
}

// hashed is a line with a comment that may have been meant as a value.
var hashed = regexp.MustCompile(`[\s\[{,:]#[^\s#]`)

// find returns the place of the deepest part of a key's path that the file
// has: a default may be at fault together with what the file says.
func find(places map[string]Place, path string) Place {
	for {
		if p, ok := places[path]; ok && p.Line > 0 {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return places[""]
		}
		path = path[:i]
	}
}

// verifier says what is wrong with a configuration, at its place.
type verifier struct{ *decoder }

func (v *verifier) fail(path, format string, args ...any) {
	v.decoder.fail(find(v.places, path), path+": "+format, args...)
}

func (v *verifier) oneOf(path, got string, want ...string) {
	if !slices.Contains(want, got) {
		words := strings.Join(slices.DeleteFunc(slices.Clone(want), func(w string) bool { return w == "" }), ", ")
		if slices.Contains(want, "") {
			words += ", or empty"
		}
		v.fail(path, "%q is none of %s", got, words)
	}
}

func (v *verifier) between(path string, got, lo, hi float64) {
	if !(got >= lo && got <= hi) {
		v.fail(path, "%v is not between %v and %v", got, lo, hi)
	}
}

func (v *verifier) span(path string, got, lo, hi time.Duration) {
	if got < lo || got > hi {
		v.fail(path, "%v is not between %v and %v", got, lo, hi)
	}
}

func (v *verifier) check(c *Config) {
	if c.Name != "" && publish.CheckID(c.Name) != nil {
		v.fail("name", "%q has to be a word of at most 64 characters without / + #", c.Name)
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		v.fail("time_zone", "%q is no time zone such as Europe/Berlin or UTC", c.TimeZone)
	}
	v.camera(c)
	v.reading(c)
	v.signals(c)
	v.pins(c)
	v.parts(c)
	v.network(c)
	v.fleet(c)
	v.hooks(c)
	v.between("history.days", float64(c.History.Days), 0, history.MaxDays)
	if !strings.HasSuffix(c.History.File, ".json") { // it is replaced, and removed where nothing is counted
		v.fail("history.file", "is %q: the counts need a file of their own, whose name ends in .json", c.History.File)
	}
	if _, ok := c.ConsentPin(); !ok {
		v.oneOf("consent", c.Consent, "none", "http", "gpio NAME")
	}
	if _, ok := c.ConsentPin(); ok && c.Signals.Pins == "simulated" {
		v.fail("consent", "is read from a real line, and signals.pins is simulated: the device would be blind for ever")
	}
	if c.Consent == "gpio NAME" {
		v.fail("consent", "NAME stands for the name of a GPIO line")
	}
	v.between("health.slow_rate", c.Health.SlowRate, 0, 60)
	v.between("health.too_hot", c.Health.TooHot, 40, 110)
	if w := c.Health.Watchdog; w != "none" && !strings.HasPrefix(w, "/dev/watchdog") {
		v.fail("health.watchdog", "%q is neither none nor a device such as /dev/watchdog", w)
	}
}

func (v *verifier) camera(c *Config) {
	v.between("camera.width", float64(c.Camera.Width), 64, 4096)
	v.between("camera.height", float64(c.Camera.Height), 64, 4096)
	v.between("camera.rate", c.Camera.Rate, 0.1, 120)
	v.between("camera.max_rate", c.Camera.MaxRate, 0, 120)
	v.span("camera.silence", c.Camera.Silence, time.Second, time.Minute)
	if _, err := ParseSource(c.Camera.Source); err != nil {
		v.fail("camera.source", "%v", err)
	}
	if c.Turn().Check() != nil {
		v.fail("camera.rotate", "%d is none of 0, 90, 180, 270", c.Camera.Rotate)
	}
}

func (v *verifier) reading(c *Config) {
	v.oneOf("faces.finder", c.Faces.Finder, face.Finders()...)
	if c.Faces.MinSize != 0 {
		v.between("faces.min_size", float64(c.Faces.MinSize), 20, 4096)
	}
	if err := c.FaceOptions().Check(); err != nil {
		v.fail("faces", "%v", err)
	}
	v.oneOf("model.engine", c.Model.Engine, "auto", "tflite", "portable")
	v.between("model.threads", float64(c.Model.Threads), 0, 64)
	if c.Lead != "" && !model.IsHeadName(c.Lead) {
		v.fail("lead", "%q is no name of a head", c.Lead)
	}
	for i, h := range c.Heads {
		if !model.IsHeadName(h) {
			v.fail(fmt.Sprintf("heads[%d]", i), "%q is no name of a head", h)
		}
		if slices.Contains(c.Heads[:i], h) {
			v.fail(fmt.Sprintf("heads[%d]", i), "%q is there twice", h)
		}
	}
	a := &c.Answers
	v.between("answers.min_confidence", a.MinConfidence, 0.01, 1)
	v.between("answers.confirm", float64(a.Confirm), 1, 64)
	v.between("answers.window", float64(a.Window), 1, 64)
	v.between("answers.max_faces", float64(a.MaxFaces), 1, 64)
	v.span("answers.fresh", a.Fresh, 50*time.Millisecond, time.Minute)
	v.span("answers.linger", a.Linger, 50*time.Millisecond, time.Minute)
	v.span("answers.smoothing", a.Smoothing, 0, time.Minute)
	v.span("answers.dwell", a.Dwell, 0, time.Minute)
	if _, err := track.New(&model.Spec{}, c.TrackOptions()); err != nil {
		v.fail("answers", "%v", err)
	}
}

func (v *verifier) signals(c *Config) {
	s := &c.Signals
	v.oneOf("signals.pins", s.Pins, "auto", "gpio", "simulated")
	known := signal.Lines(nil) // which labels there are, the model says: see Fit
	for _, name := range sorted(s.Lines) {
		path, l := "signals.lines."+name, s.Lines[name]
		switch {
		case !slices.Contains(known, name) && !strings.HasPrefix(name, "is_"):
			v.fail(path, "no such line; there are %s, and is_ with a label", strings.Join(known, ", "))
		case l.Pin == "":
			v.fail(path, "has no pin: the name of a GPIO line is wanted, for instance pin: GPIO17")
		}
		v.oneOf(path+".active", l.Active, "high", "low")
	}
	o := c.SignalOptions(nil)
	o.Wires, o.Code = nil, ""
	if _, err := signal.New(nil, o); err != nil {
		msg := strings.TrimPrefix(err.Error(), "signal: ")
		key, rest, _ := strings.Cut(msg, " ")
		v.fail("signals."+key, "%s", rest)
	}
}

// place is a pin's place on the header, however it is written.
var place = regexp.MustCompile(`^(?i:header|pin)?[ _-]*([0-9]{1,2})$`)

// pins says when a pin is written as none can be, and when one has two tasks.
// That two names are of one pin, its line's and its place's, depends on the
// board: whoever knows that calls SamePin with its names.
func (v *verifier) pins(c *Config) {
	for _, p := range c.Pins() {
		if m := place.FindStringSubmatch(p.Pin); m != nil && p.Pin != "header "+m[1] {
			v.fail(p.Key, "%q is no name of a line: write header %s for the pin at that place", p.Pin, m[1])
		}
	}
	v.errs = append(v.errs, SamePin(c.Pins(), func(key, format string, args ...any) error {
		p := find(v.places, key)
		return &Error{v.file, p.Line, p.Col, key + ": " + fmt.Sprintf(format, args...)}
	})...)
}

func (v *verifier) parts(c *Config) {
	v.between("oled.address", float64(c.OLED.Address), 0x08, 0x77)
	v.oneOf("oled.kind", c.OLED.Kind, "ssd1306", "sh1106")
	if c.OLED.Kind == "sh1106" && c.OLED.Height != 64 {
		v.fail("oled.height", "%d: an sh1106 has 64", c.OLED.Height)
	} else if c.OLED.Height != 64 && c.OLED.Height != 32 {
		v.fail("oled.height", "%d is neither 64 nor 32", c.OLED.Height)
	}
	if _, err := ParseI2C(c.OLED.Bus); c.OLED.Bus != "" && err != nil {
		v.fail("oled.bus", "%v", err)
	}
	if _, _, err := ParseSPI(c.LEDs.Bus); err != nil {
		v.fail("leds.bus", "%v", err)
	}
	v.oneOf("leds.kind", c.LEDs.Kind, "", "apa102", "ws2812")
	v.oneOf("leds.order", c.LEDs.Order, append(slices.Clone(display.Orders), "")...)
	v.between("leds.count", float64(c.LEDs.Count), 1, 1024)
	v.between("leds.brightness", float64(c.LEDs.Brightness), 0, 255)
	for _, label := range sorted(c.LEDs.Colours) {
		path := "leds.colours." + label
		if _, err := ParseColour(c.LEDs.Colours[label]); err != nil {
			v.fail(path, "%v", err)
		}
	}
	for i, on := range c.Buzzer.On {
		if on == "" {
			v.fail(fmt.Sprintf("buzzer.on[%d]", i), "is empty: want begin, end or a label")
		}
	}
	v.oneOf("buzzer.active", c.Buzzer.Active, "high", "low")
	v.span("buzzer.length", c.Buzzer.Length, 5*time.Millisecond, 2*time.Second)
}

func (v *verifier) network(c *Config) {
	if c.Status.Listen != "none" {
		o := c.StatusOptions()
		o.Proxies = nil // have keys of their own, below
		key, err := "status.listen", o.Check()
		if c.Status.Listen == "" {
			err = errors.New("is empty: want none, or host:port such as 127.0.0.1:8080")
		}
		if errors.Is(err, page.ErrToken) {
			key = "status.token"
		}
		if err != nil {
			v.fail(key, "%s", strings.TrimPrefix(err.Error(), "page: "))
		}
	}
	if err := announce.Check(c.Status.MDNS); err != nil {
		v.fail("status.mdns", "%s, or none", strings.TrimPrefix(err.Error(), "announce: "))
	}
	for i, h := range c.Status.Hosts {
		if h == "" || strings.ContainsAny(h, "/: ") {
			v.fail(fmt.Sprintf("status.hosts[%d]", i), "%q is no name such as hall.example: without http:// and without a port", h)
		}
	}
	for i, p := range c.Status.Proxies {
		if _, err := page.ParseProxy(p); err != nil {
			v.fail(fmt.Sprintf("status.proxies[%d]", i), "%s", strings.TrimPrefix(err.Error(), "page: "))
		}
	}
	if c.Consent == "http" && c.Status.Listen == "none" {
		v.fail("consent", "http needs status.listen")
	}
	if c.MQTT.Broker.IsZero() {
		return
	}
	m := &c.MQTT
	for _, x := range []struct {
		key string
		err error
	}{
		{"mqtt.broker", publish.CheckBroker(m.Broker.Reveal())},
		{"mqtt.topic", publish.CheckTopic(m.Topic)},
		{"mqtt.topic", long(m.Topic, 200-1-64)}, // with the device's name
		{"mqtt.discovery", publish.CheckTopic(or(m.Discovery, "x"))},
	} {
		if x.err != nil {
			v.fail(x.key, "%s", strings.TrimPrefix(x.err.Error(), "publish: "))
		}
	}
	if m.Queue == "" {
		v.fail("mqtt.queue", "is empty: the messages that wait for the broker need a folder")
	}
}

// fleet says what is wrong with the hub's keys, where there is one.
func (v *verifier) fleet(c *Config) {
	f := &c.Fleet
	v.between("fleet.readings", f.Readings, 0, 60)
	wrong := func(key string, err error) {
		if err != nil {
			v.fail(key, "%s", strings.TrimPrefix(err.Error(), "fleet: "))
		}
	}
	for i, s := range f.Servers {
		wrong(fmt.Sprintf("fleet.servers[%d]", i), fleet.CheckServer(s))
	}
	for i, t := range f.Tags {
		wrong(fmt.Sprintf("fleet.tags[%d]", i), fleet.CheckTag(t))
	}
	for i, e := range f.Events {
		wrong(fmt.Sprintf("fleet.events[%d]", i), fleet.CheckEvent(e))
	}
	for i, name := range f.Commands {
		wrong(fmt.Sprintf("fleet.commands[%d]", i), fleet.CheckCommand(name))
	}
	for i, name := range f.Settable {
		if k, ok := KeyOf(name); !ok {
			v.fail(fmt.Sprintf("fleet.settable[%d]", i), "%q is no key", name)
		} else if k.Reload == Restart {
			v.fail(fmt.Sprintf("fleet.settable[%d]", i), "%s takes effect after a restart only, so it cannot be set from afar", name)
		}
	}
	for i, kind := range f.Updates {
		wrong(fmt.Sprintf("fleet.updates[%d]", i), fleet.CheckKind(kind))
	}
	if len(f.Servers) == 0 {
		return
	}
	if slices.Contains(f.Updates, fleet.OfModel) && c.Model.File != "" {
		v.fail("fleet.updates", "has no use for a model while model.file names the one that runs")
	}
	wrong("fleet.site", fleet.ID{Site: f.Site, Board: "board"}.Check())
	if c.Name != "" {
		wrong("name", fleet.ID{Site: "site", Board: c.Name}.Check())
	}
	if f.Key != "" {
		wrong("fleet.key", fleet.CheckKey(f.Key))
	} else if len(f.Commands) > 0 {
		v.fail("fleet.commands", "needs fleet.key, the public key of who may command")
	} else if len(f.Updates) > 0 {
		v.fail("fleet.updates", "needs fleet.key, the public key of who may order")
	}
	if (f.Certificate == "") != (f.PrivateKey == "") {
		v.fail("fleet.certificate", "and fleet.private_key are one pair: give both or none")
	}
	if f.Queue == "" || f.Queue == c.MQTT.Queue {
		v.fail("fleet.queue", "has to be a folder of its own, for the messages that wait for the hub")
	}
}

// hooks says what is wrong with who is told of events.
func (v *verifier) hooks(c *Config) {
	wrong := func(key string, err error) {
		if err != nil {
			v.fail(key, "%s", strings.TrimPrefix(err.Error(), "hook: "))
		}
	}
	if !c.Webhook.URL.IsZero() {
		wrong("webhook.url", hook.CheckURL(c.Webhook.URL.Reveal()))
		wrong("webhook.key", hook.CheckKey(c.Webhook.Key.Reveal()))
	}
	for i, e := range c.Webhook.Events {
		wrong(fmt.Sprintf("webhook.events[%d]", i), hook.CheckEvent(e))
	}
	if len(c.Hook.Command) > 0 {
		_, err := hook.NewCommand(c.Hook.Command)
		wrong("hook.command", err)
	}
	for i, e := range c.Hook.Events {
		wrong(fmt.Sprintf("hook.events[%d]", i), hook.CheckEvent(e))
	}
	v.between("hook.at_once", float64(c.Hook.AtOnce), 1, 16)
}

func long(topic string, most int) error {
	if len(topic) > most {
		return fmt.Errorf("publish: topic %.20q... is longer than %d bytes", topic, most)
	}
	return nil
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// FaceOptions returns the options of the detector.
func (c *Config) FaceOptions() face.Options {
	return face.Options{Finder: face.Finder(c.Faces.Finder), MinSize: c.Faces.MinSize, MaxSize: c.Faces.MaxSize, Angles: c.Faces.Angles}
}

// ParseColour reads a colour as #rrggbb.
func ParseColour(s string) ([3]byte, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil || len(s) != 7 || s[0] != '#' {
		return [3]byte{}, fmt.Errorf("%q is no colour such as #ffd000", s)
	}
	return [3]byte{byte(n >> 16), byte(n >> 8), byte(n)}, nil
}

var (
	i2c = regexp.MustCompile(`^/dev/i2c-(0|[1-9][0-9]{0,2})$`)
	spi = regexp.MustCompile(`^/dev/spidev(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]?)$`)
)

// ParseI2C returns the number of an I2C bus.
func ParseI2C(bus string) (n int, err error) {
	m := i2c.FindStringSubmatch(bus)
	if m == nil {
		return 0, fmt.Errorf("%q is no I2C bus such as /dev/i2c-1", bus)
	}
	return strconv.Atoi(m[1])
}

// ParseSPI returns the numbers of an SPI port: the bus and the chip select.
func ParseSPI(port string) (bus, cs int, err error) {
	m := spi.FindStringSubmatch(port)
	if m == nil {
		return 0, 0, fmt.Errorf("%q is no SPI port such as /dev/spidev0.0", port)
	}
	if bus, err = strconv.Atoi(m[1]); err != nil {
		return 0, 0, err
	}
	cs, err = strconv.Atoi(m[2])
	return bus, cs, err
}

// Source is where frames come from, taken apart.
type Source struct {
	Kind string     // auto, v4l2, rpicam, http, ffmpeg, replay
	Path secret.URL // device, address or file
}

// ParseSource reads camera.source.
func ParseSource(u secret.URL) (Source, error) {
	s := u.Reveal()
	kind, path, _ := strings.Cut(s, ":")
	switch {
	case s == "auto" || s == "rpicam":
		return Source{Kind: s}, nil
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		return Source{"http", u}, nil
	case slices.Contains([]string{"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp"}, kind) && strings.HasPrefix(path, "//"):
		return Source{"ffmpeg", u}, nil
	case kind == "ffmpeg" && strings.Contains(path, "://"):
		return Source{"ffmpeg", secret.NewURL(path)}, nil
	case strings.HasPrefix(s, "/dev/"):
		return Source{"v4l2", u}, nil
	case kind == "v4l2" && strings.HasPrefix(path, "/"), kind == "replay" && path != "" && !strings.Contains(path, "://"):
		return Source{kind, secret.NewURL(path)}, nil
	}
	return Source{}, fmt.Errorf("%q is no camera; want auto, rpicam, a device such as /dev/video0, http://HOST/stream, rtsp://HOST/stream, ffmpeg:URL or replay:FILE", u)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
