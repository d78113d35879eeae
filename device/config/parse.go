package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/model"
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
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a configuration; name is the file's, for errors. What the file
// does not say has its default. Several faults give several errors, joined.
func Parse(name string, data []byte) (c Config, err error) {
	// The YAML package (v1.19.2) panics on some tags without a value, such as
	// "a: ![b". That must not take a running device with it on reload.
	defer func() {
		if r := recover(); r != nil {
			c, err = Config{}, &Error{File: name, Message: "damaged YAML, which the reader cannot place: look for a stray !, [ or {"}
		}
	}()
	return parse(name, data)
}

func parse(name string, data []byte) (Config, error) {
	if len(data) > maxFile {
		return Config{}, &Error{File: name, Message: "larger than 1 MiB, which is no configuration"}
	}
	c := Default()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return Config{}, place(name, err)
	}
	if len(file.Docs) > 1 {
		return Config{}, &Error{File: name, Message: "holds several documents, separated by ---; one is wanted"}
	}
	// Once for errors: with nulls, which would wipe defaults, and so into
	// nothing that is used.
	var all Config
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, place(name, err)
	}
	if body := said(file); body != nil {
		if err := yaml.NodeToValue(body, &c, yaml.Strict()); err != nil {
			return Config{}, place(name, err)
		}
	}
	c.fill()
	v := verifier{name: name, file: file}
	v.check(&c)
	if err := errors.Join(v.errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// said returns what the file says, without keys that have no value: a group
// whose keys are all commented out means the defaults. It is nil for a file
// that says nothing.
func said(file *ast.File) ast.Node {
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil
	}
	return prune(file.Docs[0].Body)
}

func prune(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
		return nil
	case *ast.MappingValueNode:
		if n.Value = prune(n.Value); n.Value == nil {
			return nil
		}
	case *ast.MappingNode:
		n.Values = slices.DeleteFunc(n.Values, func(v *ast.MappingValueNode) bool { return prune(v) == nil })
		if len(n.Values) == 0 && !n.IsFlowStyle {
			return nil
		}
	}
	return n
}

// fill replaces what the decoder leaves nil.
func (c *Config) fill() {
	if c.Signals.Lines == nil {
		c.Signals.Lines = map[string]Line{}
	}
	for name, l := range c.Signals.Lines {
		if l.Active == "" {
			l.Active = "high"
			c.Signals.Lines[name] = l
		}
	}
	for label, colour := range Colours() {
		if _, ok := c.LEDs.Colours[label]; !ok {
			if c.LEDs.Colours == nil {
				c.LEDs.Colours = map[string]string{}
			}
			c.LEDs.Colours[label] = colour
		}
	}
}

// place turns an error of the YAML package into one of ours.
func place(name string, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		return &Error{File: name, Message: err.Error()}
	}
	out := &Error{File: name, Message: y.GetMessage()}
	if t := y.GetToken(); t != nil && t.Position != nil {
		out.Line, out.Col = t.Position.Line, t.Position.Column
	}
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		out.Message = "want " + kind(wrong.DstType)
		if wrong.Token != nil {
			out.Message += fmt.Sprintf(", got %q", wrong.Token.Value)
		}
	}
	return out
}

// kind names a type as a reader of YAML would.
func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 200ms or 1.5s"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.String:
		return "a word"
	}
	return "a group of keys"
}

// verifier collects what is wrong, with its place.
type verifier struct {
	name string
	file *ast.File
	errs []error
}

func (v *verifier) fail(path, format string, args ...any) {
	e := &Error{File: v.name, Message: strings.TrimPrefix(path, "$.") + ": " + fmt.Sprintf(format, args...)}
	// The deepest part of the path that the file has: a default may be at
	// fault together with what the file says.
	for p := path; p != "" && p != "$"; p = parent(p) {
		y, err := yaml.PathString(p)
		if err != nil {
			continue
		}
		node, err := y.FilterFile(v.file)
		if err != nil || node == nil || node.GetToken() == nil {
			continue
		}
		e.Line, e.Col = node.GetToken().Position.Line, node.GetToken().Position.Column
		break
	}
	v.errs = append(v.errs, e)
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '\''); i > 0 && i == len(path)-1 {
		path = path[:strings.LastIndexByte(path[:i], '\'')]
		return strings.TrimSuffix(path, ".")
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

func (v *verifier) oneOf(path, got string, want ...string) {
	if !slices.Contains(want, got) {
		v.fail(path, "%q is none of %s", got, strings.Join(want, ", "))
	}
}

func (v *verifier) between(path string, got, lo, hi float64) {
	if !(got >= lo && got <= hi) {
		v.fail(path, "%v is not between %v and %v", got, lo, hi)
	}
}

func (v *verifier) check(c *Config) {
	if c.Name == "" || strings.ContainsAny(c.Name, "/+# \t\n") || len(c.Name) > 64 {
		v.fail("$.name", "%q has to be a word of at most 64 characters without / + #", c.Name)
	}
	v.camera(c)
	v.reading(c)
	v.signals(c)
	v.parts(c)
	v.network(c)
	if name, ok := c.ConsentPin(); ok {
		for line, l := range c.Signals.Lines {
			if l.Pin == name {
				v.fail("$.consent", "line %q is the output %s already", l.Pin, line)
			}
		}
	} else {
		v.oneOf("$.consent", c.Consent, "none", "http", "gpio NAME")
	}
	if c.Consent == "gpio NAME" {
		v.fail("$.consent", "NAME stands for the name of a GPIO line")
	}
	v.between("$.health.slow_rate", c.Health.SlowRate, 1, 60)
	v.between("$.health.too_hot", c.Health.TooHot, 40, 110)
	if w := c.Health.Watchdog; w != "none" && !strings.HasPrefix(w, "/dev/watchdog") {
		v.fail("$.health.watchdog", "%q is neither none nor a device such as /dev/watchdog", w)
	}
}

func (v *verifier) camera(c *Config) {
	v.between("$.camera.width", float64(c.Camera.Width), 64, 4096)
	v.between("$.camera.height", float64(c.Camera.Height), 64, 4096)
	v.between("$.camera.rate", c.Camera.Rate, 2, 120)
	v.between("$.camera.max_rate", c.Camera.MaxRate, 0, 120)
	v.between("$.camera.silence", c.Camera.Silence.Seconds(), 1, 60)
	if _, err := ParseSource(c.Camera.Source); err != nil {
		v.fail("$.camera.source", "%v", err)
	}
}

func (v *verifier) reading(c *Config) {
	if _, err := face.NewDetector(c.FaceOptions()); err != nil {
		v.fail("$.faces", "%v", err)
	}
	v.oneOf("$.model.engine", c.Model.Engine, "auto", "tflite", "portable")
	v.between("$.model.threads", float64(c.Model.Threads), 0, 64)
	for i, h := range c.Heads {
		if _, err := model.HeadByName(h); err != nil {
			v.fail(fmt.Sprintf("$.heads[%d]", i), "%v", err)
		}
		if slices.Contains(c.Heads[:i], h) {
			v.fail(fmt.Sprintf("$.heads[%d]", i), "%q is there twice", h)
		}
	}
	if len(c.Heads) == 0 {
		v.fail("$.heads", "no head is enabled: there is nothing to read")
	}
	if _, err := track.New(&model.Spec{Heads: model.Heads()}, c.TrackOptions()); err != nil {
		v.fail("$.answers", "%v", err)
	}
}

func (v *verifier) signals(c *Config) {
	s := &c.Signals
	v.oneOf("$.signals.pins", s.Pins, "auto", "gpio", "simulated")
	var heads []model.Head
	for _, name := range c.Heads {
		if h, err := model.HeadByName(name); err == nil {
			heads = append(heads, h)
		}
	}
	pins := map[string]string{}
	known := signal.Lines(heads)
	for _, name := range sorted(s.Lines) {
		path, l := "$.signals.lines."+quote(name), s.Lines[name]
		switch {
		case !slices.Contains(known, name):
			v.fail(path, "no such line with the enabled heads; there are %s", strings.Join(known, ", "))
		case l.Pin == "":
			v.fail(path, "has no pin: the name of a GPIO line is wanted, for instance pin: GPIO17")
		case pins[l.Pin] != "":
			v.fail(path, "pin %s is given to %s already", l.Pin, pins[l.Pin])
		}
		v.oneOf(path+".active", l.Active, "high", "low")
		pins[l.Pin] = name
	}
	o := c.SignalOptions()
	o.Wires = nil
	if _, err := signal.New(heads, o); err != nil {
		msg := strings.TrimPrefix(err.Error(), "signal: ")
		key, rest, _ := strings.Cut(msg, " ")
		v.fail("$.signals."+key, "%s", rest)
	}
}

func (v *verifier) parts(c *Config) {
	v.between("$.oled.address", float64(c.OLED.Address), 0x08, 0x77)
	if c.OLED.Height != 64 && c.OLED.Height != 32 {
		v.fail("$.oled.height", "%d is neither 64 nor 32", c.OLED.Height)
	}
	v.oneOf("$.leds.kind", c.LEDs.Kind, "", "apa102", "ws2812")
	v.between("$.leds.count", float64(c.LEDs.Count), 1, 1024)
	v.between("$.leds.brightness", float64(c.LEDs.Brightness), 0, 255)
	for _, label := range sorted(c.LEDs.Colours) {
		path := "$.leds.colours." + quote(label)
		if label != "uncertain" && model.Emotion.Label(label) < 0 {
			v.fail(path, "no such emotion; there are %s and uncertain", strings.Join(model.Emotion.Labels, ", "))
		}
		if _, err := ParseColour(c.LEDs.Colours[label]); err != nil {
			v.fail(path, "%v", err)
		}
	}
	v.oneOf("$.buzzer.active", c.Buzzer.Active, "high", "low")
	v.between("$.buzzer.length", c.Buzzer.Length.Seconds(), 0.005, 2)
	for i, on := range c.Buzzer.On {
		if on != "begin" && on != "end" && model.Emotion.Label(on) < 0 {
			v.fail(fmt.Sprintf("$.buzzer.on[%d]", i), "%q is neither begin, end nor an emotion", on)
		}
	}
}

func (v *verifier) network(c *Config) {
	if t := c.Status.Token; t != "" && len(t) < 16 {
		v.fail("$.status.token", "%d characters, at least 16 are needed", len(t))
	}
	if l := c.Status.Listen; l != "none" && !strings.Contains(l, ":") {
		v.fail("$.status.listen", "%q is neither none nor host:port such as 127.0.0.1:8080", l)
	}
	if c.Consent == "http" && c.Status.Listen == "none" {
		v.fail("$.consent", "http needs status.listen")
	}
	if b := c.MQTT.Broker; b != "" && !strings.Contains(b, "://") {
		v.fail("$.mqtt.broker", "%q is no address such as mqtts://broker:8883", b)
	}
}

// FaceOptions returns the options of the detector.
func (c *Config) FaceOptions() face.Options {
	return face.Options{MinSize: c.Faces.MinSize, MaxSize: c.Faces.MaxSize, Angles: c.Faces.Angles}
}

// ParseColour reads a colour as #rrggbb.
func ParseColour(s string) ([3]byte, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil || len(s) != 7 || s[0] != '#' {
		return [3]byte{}, fmt.Errorf("%q is no colour such as #ffd000", s)
	}
	return [3]byte{byte(n >> 16), byte(n >> 8), byte(n)}, nil
}

// Source is where frames come from, taken apart.
type Source struct {
	Kind string // auto, v4l2, rpicam, http, replay
	Path string // device, address or file
}

// ParseSource reads camera.source.
func ParseSource(s string) (Source, error) {
	kind, path, _ := strings.Cut(s, ":")
	switch {
	case s == "auto" || s == "rpicam":
		return Source{Kind: s}, nil
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		return Source{"http", s}, nil
	case strings.HasPrefix(s, "/dev/"):
		return Source{"v4l2", s}, nil
	case (kind == "v4l2" || kind == "replay") && path != "":
		return Source{kind, path}, nil
	}
	return Source{}, fmt.Errorf("%q is no camera; want auto, rpicam, a device such as /dev/video0, http://HOST/stream or replay:FILE", s)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// quote makes a key safe in a path.
func quote(key string) string {
	if strings.ContainsAny(key, ".+-[]*' ") {
		return "'" + strings.ReplaceAll(key, "'", "") + "'"
	}
	return key
}
