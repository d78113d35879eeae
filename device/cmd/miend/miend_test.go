package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	ossignal "os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"mien/boards"
	"mien/camera"
	"mien/camera/replay"
	"mien/camera/replay/portrait"
	"mien/device"
	"mien/device/cmdline/prose"
	"mien/device/config"
	"mien/device/doctor"
	"mien/device/pins"
	"mien/device/signal"
	"mien/device/vitals"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/runtime/upright"
)

// modelFile is a small network with weights drawn at random: these tests are
// about the firmware, not about what the model knows.
func modelFile(t *testing.T, heads ...model.Head) string {
	t.Helper()
	if heads == nil {
		heads = model.Heads()
	}
	return write(t, "model.tflite", infertest.Marshal(t, infertest.Network(7, heads...)))
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// miend runs the command as main does.
func miend(args ...string) (stdout string, err error) {
	var out, log bytes.Buffer
	err = run(context.Background(), args, &out, &log)
	proofread(args, out.String(), log.String(), err)
	return out.String(), err
}

// proofread ends the tests where miend printed what nobody would write.
func proofread(args []string, out, log string, err error) {
	texts := []string{out, log}
	if err != nil {
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if slip := prose.Slip(text); slip != "" {
			panic(fmt.Sprintf("miend %s prints %q", strings.Join(args, " "), slip))
		}
	}
}

func TestProbe(t *testing.T) {
	pic := filepath.Join(t.TempDir(), "look.png")
	out, err := miend("probe", "--model", modelFile(t), "--annotated", pic, write(t, "a.jpg", portrait.JPEG()))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Engine string
		device.Reading
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Faces) != 1 || r.Width != portrait.Side || r.Engine == "" {
		t.Fatalf("%v\n%s", err, out)
	}
	f := r.Faces[0]
	if !f.Box.Rect().Overlaps(portrait.Face) || f.Eyes == nil {
		t.Fatalf("face %+v", f)
	}
	for i, want := range []float64{float64(portrait.LeftEye.X), float64(portrait.RightEye.X)} {
		if d := f.Eyes[i][0] - want; d < -6 || d > 6 {
			t.Errorf("eye %d at %v, want x %v", i, f.Eyes[i], want)
		}
	}
	if f.Head("emotion") == nil || f.Head("gender") == nil || f.Head("age") == nil || strings.Contains(out, "race") || strings.Contains(out, "Asian") {
		t.Errorf("heads of %s", out)
	}
	file, err := os.Open(pic)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := png.Decode(file); err != nil {
		t.Error(err)
	}
	// Race is read when it is asked for by name, and only then.
	if out, err = miend("probe", "--heads", "race", "--model", modelFile(t), write(t, "a.jpg", portrait.JPEG())); err != nil || !strings.Contains(out, "Asian") {
		t.Errorf("race by name: %v\n%s", err, out)
	}
}

// Every bad input has one error that names it.
func TestBadInput(t *testing.T) {
	good, pic := modelFile(t), write(t, "a.jpg", portrait.JPEG())
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cutModel, cutPic := write(t, "cut.tflite", whole[:len(whole)/2]), write(t, "cut.jpg", portrait.JPEG()[:2000])
	text := write(t, "text.txt", []byte("hello"))
	badConfig := write(t, "bad.yaml", []byte("camera:\n  widht: 3\n"))
	badLine := write(t, "line.yaml", []byte("signals: {lines: {is_bored: {pin: A}}}"))
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"no picture":   {[]string{"probe", "--model", good, "/no/such.jpg"}, []string{"/no/such.jpg", "no such file"}},
		"cut picture":  {[]string{"probe", "--model", good, cutPic}, []string{cutPic}},
		"no image":     {[]string{"probe", "--model", good, text}, []string{text, "want JPEG, PNG, GIF"}},
		"cut model":    {[]string{"probe", "--model", cutModel, pic}, []string{cutModel}},
		"no model":     {[]string{"probe", "--model", "/no/such.tflite", pic}, []string{"/no/such.tflite"}},
		"text model":   {[]string{"probe", "--model", text, pic}, []string{text}},
		"no engine":    {[]string{"probe", "--model", good, "--engine", "gpu", pic}, []string{"gpu"}},
		"lacks head":   {[]string{"probe", "--model", modelFile(t, model.Age), "--heads", "emotion", pic}, []string{`head "emotion" is enabled`, "it has age"}},
		"bad config":   {[]string{"run", "-c", badConfig}, []string{badConfig + ":2:3", "widht"}},
		"no config":    {[]string{"run", "-c", "/no/such.yaml"}, []string{"/no/such.yaml"}},
		"bad line":     {[]string{"check", badLine}, []string{badLine + ":1:", "is_bored", "there are ready"}},
		"bad command":  {[]string{"dance"}, []string{"dance"}},
		"no recording": {[]string{"run", "-c", write(t, "m.yaml", []byte("status: {listen: none}\nmodel: {file: "+good+"}")), "--replay", "/no/such.y4m"}, []string{"/no/such.y4m"}},
	} {
		out, err := miend(c.args...)
		if err == nil {
			t.Errorf("%s: no error\n%s", name, out)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", name, err, w)
			}
		}
	}
}

func TestEngines(t *testing.T) {
	file, pic := modelFile(t), write(t, "a.jpg", portrait.JPEG())
	out, err := miend("probe", "--engine", "portable", "--model", file, pic)
	if err != nil || !strings.Contains(out, `"engine": "portable`) {
		t.Errorf("%v\n%.200s", err, out)
	}
	// auto never fails where portable works, whatever this build has.
	if _, err := miend("probe", "--model", file, pic); err != nil {
		t.Error(err)
	}
}

func TestCheckAndVersion(t *testing.T) {
	out, err := miend("check", "--sample")
	if err != nil || out != string(config.Sample) {
		t.Errorf("%v\n%.200s", err, out)
	}
	path := write(t, "mien.yaml", config.Sample)
	if out, err = miend("check", path); err != nil || !strings.Contains(out, path+" is right: reads emotion, gender, age;") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = miend("version"); err != nil || !strings.HasPrefix(out, "miend ") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = miend("--help"); err != nil || !strings.Contains(out, "doctor") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDoctorCommand(t *testing.T) {
	cfg := write(t, "c.yaml", []byte("camera: {source: \"replay:/no/such.y4m\"}\nmodel: {file: "+modelFile(t)+"}"))
	out, err := miend("doctor", "--json", "-c", cfg)
	if err == nil || !strings.Contains(err.Error(), "to be mended") {
		t.Errorf("a camera is missing, and doctor says %v", err)
	}
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	state := map[string]doctor.State{}
	for _, f := range found {
		state[f.Part] = f.State
	}
	if state["camera"] != doctor.Fail || state["model"] == doctor.Fail || state["model"] == "" {
		t.Errorf("%+v", found)
	}
	if out, err = miend("doctor", "-c", write(t, "bad.yaml", []byte("x: 1"))); err == nil || !strings.Contains(out, "FAIL  config") || !strings.Contains(out, "do:  miend check --sample") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The demo tells what happens, leaves its two files, and never a word of race.
func TestDemo(t *testing.T) {
	file, dir := modelFile(t), t.TempDir()
	var out string
	inBubble(t, func(t *testing.T) {
		var err error
		if out, err = miend("demo", "--model", file, "--out", dir); err != nil {
			t.Fatal(err)
		}
	})
	for _, want := range []string{"▲ ready", "▲ heartbeat", "▲ face", "▽ face", "face gone", "▲ strobe", "GPIO17", "● face 1", "race is off", "readings in 10.0 s"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not print %q\n%s", want, out)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "readings.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var e struct{ Event string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		kinds[e.Event]++
	}
	if kinds["reading"] != 250 || kinds["transition"] < 20 || kinds["track"] < 2 {
		t.Errorf("events %v", kinds)
	}
	if bytes.Contains(data, []byte("race")) || bytes.Contains(data, []byte("Caucasian")) {
		t.Error("race is in the readings")
	}
	if st, err := os.Stat(filepath.Join(dir, "annotated.png")); err != nil || st.Size() < 10000 {
		t.Errorf("picture: %v", err)
	}
}

// inBubble runs f on a clock that only moves when everybody waits. The
// goroutine behind os/signal has to be older than the bubble.
func inBubble(t *testing.T, f func(*testing.T)) {
	c := make(chan os.Signal, 1)
	ossignal.Notify(c, syscall.SIGHUP)
	defer ossignal.Stop(c)
	synctest.Test(t, f)
}

// tape is an observer that keeps transitions.
type tape struct {
	mu sync.Mutex
	ts []signal.Transition
}

func (p *tape) Reading(*device.Reading) {}
func (p *tape) Track(*device.Track)     {}
func (p *tape) Transition(t signal.Transition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ts = append(p.ts, t)
}

func (p *tape) changes(line string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.ts {
		if t.Line == line {
			n++
		}
	}
	return n
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func scene(context.Context) (camera.Source, error) {
	return replay.Demo(replay.Options{Real: true, Loop: true}), nil
}

// A changed file is taken over without a move of ready; a wrong one is not.
func TestReload(t *testing.T) {
	file := modelFile(t)
	inBubble(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.Model.File, cfg.Status.Listen = file, "none"
		cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "A"}, "face": {Pin: "B"}}
		sim, rec := &pins.Sim{Names: []string{"A", "B", "C"}}, &tape{}
		a, err := newApp(cfg, quiet(), appOptions{open: scene, sim: sim, to: rec})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- a.run(ctx) }()
		time.Sleep(3 * time.Second)
		cfg.Heads = []string{"age"}
		cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "A"}, "face": {Pin: "C", Active: "low"}}
		cfg.Model.Engine = "portable" // waits for a restart
		engine := a.model.Engine()
		if err := a.reload(cfg); err != nil {
			t.Fatal(err)
		}
		if sim.Level("B") != -1 || sim.Level("C") < 0 || a.model.Engine() != engine {
			t.Errorf("pins B %d, C %d, engine %s", sim.Level("B"), sim.Level("C"), a.model.Engine())
		}
		wrong := cfg
		wrong.Signals.Lines = map[string]config.Line{"ready": {Pin: "D"}}
		if err := a.reload(wrong); err == nil || !strings.Contains(err.Error(), `"D"`) {
			t.Errorf("a line that is not there: %v", err)
		}
		time.Sleep(3 * time.Second)
		if h := a.health(); !h.Ready || fmt.Sprint(h.Heads) != "[age]" || rec.changes("ready") != 1 {
			t.Errorf("health %+v, ready moved %d times", h, rec.changes("ready"))
		}
		cancel()
		if err := errors.Join(<-ended, a.close()); err != nil {
			t.Error(err)
		}
		if sim.Level("A") != -1 || rec.changes("ready") != 2 {
			t.Error("ready did not go down at the end")
		}
	})
}

func TestPace(t *testing.T) {
	low := vitals.Vitals{UnderVoltage: true}
	for _, c := range []struct {
		most float64
		on   bool
		v    vitals.Vitals
		rate float64
		why  string
	}{
		{0, true, vitals.Vitals{}, 0, ""},
		{10, true, vitals.Vitals{Celsius: 70}, 10, ""},
		{0, true, low, 5, "under-voltage"},
		{10, true, low, 5, "under-voltage"},
		{3, true, vitals.Vitals{Celsius: 80}, 3, "hot"},
		{10, false, low, 10, ""},
	} {
		cfg := config.Default()
		cfg.Camera.MaxRate, cfg.Health.Throttle = c.most, c.on
		if rate, why := pace(&cfg, c.v); rate != c.rate || why != c.why {
			t.Errorf("%+v: %v, %q", c, rate, why)
		}
	}
}

// pi5 is a file system that boards.Detect takes for a Raspberry Pi 5.
func pi5() fstest.MapFS {
	return fstest.MapFS{"proc/device-tree/compatible": &fstest.MapFile{Data: []byte("raspberrypi,5-model-b\x00brcm,bcm2712\x00")}}
}

// Where the kernel does not show it vcgencmd is asked, and only there.
func TestVcgencmd(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vcgencmd"), []byte("#!/bin/sh\n[ \"$*\" = get_throttled ] && echo throttled=0x50005\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := boards.ByName("rpi5")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	if v := vitalsOf(t.Context(), pi5(), b); v.Told {
		t.Errorf("without vcgencmd: %+v", v)
	}
	t.Setenv("PATH", dir)
	if v := vitalsOf(t.Context(), pi5(), b); !v.UnderVoltage || !v.Throttled || v.Slow(80) != "under-voltage" {
		t.Errorf("from vcgencmd: %+v", v)
	}
	root := pi5()
	root["sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"] = &fstest.MapFile{Data: []byte("0\n")}
	if v := vitalsOf(t.Context(), root, b); !v.Told || v.UnderVoltage {
		t.Errorf("from the kernel: %+v", v)
	}
	b.Throttle = "" // a board without such a firmware
	if v := vitalsOf(t.Context(), pi5(), b); v.Told {
		t.Errorf("on another board: %+v", v)
	}
}

// shifting is a file system whose files change while it is read.
type shifting struct {
	mu sync.Mutex
	fs fstest.MapFS
}

func (s *shifting) Open(name string) (fs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fs.Open(name)
}

func (s *shifting) put(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fs[name] = &fstest.MapFile{Data: []byte(text + "\n")}
}

// Low power holds the rate down within seconds, says so where people look, and
// the full rate is back when the power is.
func TestUnderVoltageHoldsTheRateDown(t *testing.T) {
	file := modelFile(t)
	inBubble(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.Model.File, cfg.Status.Listen, cfg.Faces.MinSize = file, "none", 400 // finding nobody is quick
		root := &shifting{fs: pi5()}
		const throttled = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
		root.put(throttled, "0")
		a, err := newApp(cfg, quiet(), appOptions{open: scene, sim: &pins.Sim{}, root: root})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- a.run(ctx) }()
		for _, step := range []struct {
			bits, why string
			low, high float64
		}{{"0", "", 20, 30}, {"50001", "under-voltage", 4, 6}, {"50000", "", 20, 30}} {
			root.put(throttled, step.bits)
			time.Sleep(2100 * time.Millisecond) // to notice
			before := a.health().Frames
			time.Sleep(2 * time.Second)
			h := a.health()
			if rate := float64(h.Frames-before) / 2; h.Throttled != step.why || rate < step.low || rate > step.high {
				t.Errorf("get_throttled %s: %.1f readings a second, held down %q", step.bits, rate, h.Throttled)
			}
			if !h.Ready {
				t.Errorf("get_throttled %s: not ready: %s", step.bits, h.Reason)
			}
		}
		cancel()
		if err := errors.Join(<-ended, a.close()); err != nil {
			t.Error(err)
		}
	})
}

// A pin may be called by its place on the header; all say the line's name.
func TestHeaderNames(t *testing.T) {
	file := modelFile(t)
	cfg := config.Default()
	cfg.Model.File, cfg.Status.Listen, cfg.Consent, cfg.Buzzer.Pin = file, "none", "gpio header 15", "header 36"
	cfg.Signals.Lines = map[string]config.Line{"ready": {Pin: "header 11"}, "face": {Pin: "GPIO27"}}
	sim := &pins.Sim{Names: []string{"GPIO17", "GPIO27", "GPIO16"}}
	a, err := newApp(cfg, quiet(), appOptions{open: scene, sim: sim, root: pi5()})
	if err != nil {
		t.Fatal(err)
	}
	if pin, _ := a.now.Load().ConsentPin(); pin != "GPIO22" || sim.Level("GPIO17") != 0 || sim.Level("GPIO16") != 0 {
		t.Errorf("consent on %s, ready at %d, buzzer at %d", pin, sim.Level("GPIO17"), sim.Level("GPIO16"))
	}
	if cfg.Signals.Lines["ready"].Pin != "header 11" {
		t.Error("the caller's configuration was changed")
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
	cfg.Signals.Lines["face"] = config.Line{Pin: "GPIO17"}
	if _, err := newApp(cfg, quiet(), appOptions{open: scene, sim: &pins.Sim{}, root: pi5()}); err == nil || !strings.Contains(err.Error(), "GPIO17 is given to both") {
		t.Errorf("one pin under two names: %v", err)
	}
}

// lever is a consent switch; at -1 it cannot be read.
type lever struct {
	mu    sync.Mutex
	level int
}

func (l *lever) Read() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.level < 0 {
		return 0, errors.New("input/output error")
	}
	return l.level, nil
}

func (l *lever) set(level int) {
	l.mu.Lock()
	l.level = level
	l.mu.Unlock()
}

// Without the line's consent the device is blind, and blind again when the
// line cannot be read.
func TestConsentLine(t *testing.T) {
	file := modelFile(t)
	inBubble(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.Model.File, cfg.Status.Listen, cfg.Consent = file, "none", "gpio ASK"
		a, err := newApp(cfg, quiet(), appOptions{open: scene})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := &lever{}
		go a.follow(ctx, l)
		for _, step := range []struct {
			level int
			hold  time.Duration
			want  string
		}{{0, time.Second, "awaited"}, {1, 40 * time.Millisecond, "awaited"}, {0, time.Second, "awaited"},
			{1, time.Second, "given"}, {0, time.Second, "awaited"}, {1, time.Second, "given"}, {-1, time.Second, "awaited"}} {
			l.set(step.level)
			time.Sleep(step.hold)
			if got := a.health().Consent; got != step.want {
				t.Errorf("line at %d for %v: consent %q, want %q", step.level, step.hold, got, step.want)
			}
		}
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
}

// stopping is a camera that gives frames for a while and then none.
type stopping struct {
	*replay.Source
	left int
}

func (s *stopping) Next(ctx context.Context, f *camera.Frame) error {
	if s.left--; s.left < 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Source.Next(ctx, f)
}

// systemd hears READY, STATUS and WATCHDOG: a camera that is away is said, and
// no reason to start again.
func TestSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	cfg := config.Default()
	cfg.Model.File, cfg.Status.Listen = modelFile(t), "none"
	opened := 0
	a, err := newApp(cfg, quiet(), appOptions{open: func(context.Context) (camera.Source, error) {
		if opened++; opened > 1 {
			return nil, errors.New("unplugged")
		}
		return &stopping{replay.Demo(replay.Options{Real: true}), 20}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx) }()
	fed, away := 0, 0
	for lost := false; away < 3; {
		heard := hear(t, l)
		lost = lost || strings.Contains(heard, "STATUS=unplugged")
		if strings.Contains(heard, "WATCHDOG=1") {
			if fed++; lost {
				away++
			}
		}
	}
	if fed == away {
		t.Error("the watchdog was not fed while frames came")
	}
	cancel()
	if err := errors.Join(<-ended, a.close()); err != nil {
		t.Error(err)
	}
}

func hear(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := l.Read(b)
	if err != nil {
		t.Fatalf("systemd hears nothing: %v", err)
	}
	return string(b[:n])
}

// A recording that ends, ends the run; lines and log say what was done.
func TestRunReplay(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.jpg", i)), portrait.JPEG(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := write(t, "c.yaml", []byte("status: {listen: none}\nmodel: {file: "+modelFile(t)+"}\nheads: [emotion]\n"))
	var log bytes.Buffer
	if err := run(context.Background(), []string{"run", "-c", cfg, "--replay", dir}, io.Discard, &log); err != nil {
		t.Fatal(err)
	}
	if s := log.String(); !strings.Contains(s, "audit") || !strings.Contains(s, "reads emotion; no preview; consent none; no picture stored or sent") {
		t.Errorf("log %s", s)
	}
}

// A recording that the configuration names is a camera that is played once, or
// again and again when asked; turned as the camera is.
func TestReplayFromConfiguration(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.jpg", i)), portrait.JPEG(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := func(more string) string {
		return write(t, "c.yaml", []byte("camera: {source: \"replay:"+dir+"\", rate: 25"+more+"}\nstatus: {listen: none}\nmodel: {file: "+modelFile(t)+"}\nheads: [emotion]\n"))
	}
	var log bytes.Buffer
	if err := run(context.Background(), []string{"run", "-c", cfg("")}, io.Discard, &log); err != nil || strings.Contains(log.String(), "camera lost") {
		t.Errorf("%v: %s", err, log.String())
	}
	for _, args := range [][]string{{"run", "-c", cfg(", loop: true")}, {"run", "-c", cfg(""), "--loop"}} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(2*time.Second, cancel)
		if err := run(ctx, args, io.Discard, io.Discard); err != nil || ctx.Err() == nil {
			t.Errorf("%v: ended by itself, %v", args, err)
		}
	}
	c, err := config.Load(cfg(", loop: true, rotate: 90, mirror: true"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	want := upright.Turn{Degrees: 90, Mirror: true}.Image(portrait.Gray()).(*image.Gray)
	frames, off := 0, 0
	app, err := newApp(c, quiet(), appOptions{look: func(f *camera.Frame, _ *device.Reading) {
		for i, v := range want.Pix {
			if d := int(v) - int(f.Pix[i]); d < -3 || d > 3 {
				off++
			}
		}
		if frames++; frames == 7 { // more than the recording has
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(app.run(ctx), app.close()); err != nil || frames < 7 || off > 0 {
		t.Errorf("%d frames, %d pixels are not as in the turned picture, %v", frames, off, err)
	}
}
