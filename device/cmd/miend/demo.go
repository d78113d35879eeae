package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mien/boards"
	"mien/camera"
	"mien/device"
	"mien/device/cmdline"
	"mien/device/config"
	"mien/device/display"
	"mien/device/pins"
	"mien/device/signal"
	"mien/runtime/model"
	"mien/runtime/secret"
)

type demoCmd struct {
	Out    string `placeholder:"DIR" default:"build/demo" help:"Where readings.jsonl and annotated.png go (${default})."`
	Model  string `placeholder:"FILE" help:"A .tflite file instead of the model inside miend."`
	Engine string `placeholder:"NAME" default:"auto" help:"auto, tflite or portable."`
}

// demoLines is the header of the demo: the contract's lines, and a line for
// each of the first labels of the lead head.
func demoLines(heads []model.Head, lead model.Head) map[string]config.Line {
	lines := map[string]config.Line{
		"ready": {Pin: "GPIO17"}, "heartbeat": {Pin: "GPIO27"}, "face": {Pin: "GPIO22"},
		"code0": {Pin: "GPIO5"}, "code1": {Pin: "GPIO6"}, "code2": {Pin: "GPIO13"}, "strobe": {Pin: "GPIO19"},
	}
	if lead.Measures() { // no label for code lines to show
		for _, l := range []string{"code0", "code1", "code2", "strobe"} {
			delete(lines, l)
		}
		return lines
	}
	for i, pin := range []string{"GPIO23", "GPIO24", "GPIO25", "GPIO26", "GPIO12", "GPIO20", "GPIO16"} {
		if i < len(lead.Labels) {
			lines[signal.LabelLine(heads, lead, lead.Labels[i])] = config.Line{Pin: pin}
		}
	}
	return lines
}

// Run shows the whole chain on recorded frames, without hardware. Race stays
// off.
func (c demoCmd) Run(e env) error {
	cfg := config.Default()
	cfg.Camera.Source, cfg.Status.Listen, cfg.Health.Throttle = secret.NewURL("demo"), "none", false
	cfg.Signals.OffDelay = 200 * time.Millisecond // the scene ends soon after the face has left
	cfg.Signals.Pins = "simulated"
	override(&cfg, c.Model, c.Engine, nil)
	heads, _, err := canRead(&cfg, boards.Board{})
	if err != nil {
		return err
	}
	cfg.Signals.Lines = demoLines(heads, cfg.LeadOf(heads))
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	d := &demo{}
	if err := d.open(filepath.Join(c.Out, "readings.jsonl")); err != nil {
		return err
	}
	t := newTicker(e.stdout, cmdline.Colour(e.stdout))
	a, err := newApp(cfg, slog.New(slog.DiscardHandler), appOptions{
		open: func(context.Context) (camera.Source, error) { return demoScene(), nil },
		once: true, to: device.Observers{t, d}, sim: &pins.Sim{}, look: d.look})
	if err != nil {
		return errors.Join(err, d.close())
	}
	d.lines = a.out.Lines
	fmt.Fprintf(e.stdout, "%s  %s\n%s\n\n", t.paint(bold, "mien"), a.modelName,
		t.paint(grey, a.model.Engine()+" · recorded frames of one face · simulated header · race is off"))
	err = errors.Join(a.run(e.ctx), a.close(), d.close())
	if err != nil {
		return err
	}
	picture := filepath.Join(c.Out, "annotated.png")
	if err := d.picture(picture); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "\n%s\n%s\n%s\n", d.summary(t.lines), d.path, picture)
	return nil
}

// demo is a device.Observer that writes every event as a line of JSON, and
// keeps the most telling frame for the picture.
type demo struct {
	mu      sync.Mutex
	path    string
	file    *os.File
	w       *bufio.Writer
	err     error
	lines   func() []signal.Line
	best    float32
	frame   camera.Frame
	reading *device.Reading
	header  []signal.Line
	faces   int
	work    []time.Duration // of each reading, without the wait
	parts   device.Latency
	first   time.Time
	last    time.Time
}

func (d *demo) open(path string) (err error) {
	d.path = path
	if d.file, err = os.Create(path); err != nil {
		return err
	}
	d.w = bufio.NewWriter(d.file)
	return nil
}

func (d *demo) write(event any) {
	b, err := device.Line(event)
	if err == nil {
		_, err = d.w.Write(b)
	}
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("%s: %w", d.path, err)
	}
}

// Reading implements device.Observer.
func (d *demo) Reading(r *device.Reading) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(r)
	if d.first.IsZero() {
		d.first = r.Time
	}
	d.last = r.Time
	if len(r.Faces) > 0 {
		d.faces++
	}
	d.work = append(d.work, r.Latency.Total-r.Latency.Wait)
	d.parts.Detect += r.Latency.Detect
	d.parts.Predict += r.Latency.Predict
}

// Track implements device.Observer.
func (d *demo) Track(t *device.Track) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(t)
}

// State implements device.StateObserver.
func (d *demo) State(s device.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(s)
}

// Transition implements device.Observer.
func (d *demo) Transition(t signal.Transition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(t)
}

// look keeps the frame whose answers are the surest and the face the largest,
// with eyes and the line face active.
func (d *demo) look(f *camera.Frame, r *device.Reading) {
	x := r.SubjectFace()
	if x == nil {
		return
	}
	score := float32(x.Box.W) / 100
	header := d.lines()
	for _, l := range header {
		if l.Name == "face" && l.Active {
			score += 2
		}
	}
	for i := range x.Heads {
		if !x.Heads[i].Uncertain {
			score += 1 + x.Heads[i].Confidence
		}
	}
	if x.Eyes == nil || x.Flaw() != "" {
		score /= 4
	}
	if score <= d.best {
		return
	}
	d.best, d.reading, d.header = score, r.Clone(), header
	d.frame.Resize(f.Rect.Dx(), f.Rect.Dy())
	for y := range f.Rect.Dy() {
		copy(d.frame.Pix[y*d.frame.Stride:][:f.Rect.Dx()], f.Pix[y*f.Stride:])
	}
}

func (d *demo) close() error {
	return errors.Join(d.err, d.w.Flush(), d.file.Close())
}

func (d *demo) picture(path string) error {
	if d.reading == nil {
		return errors.New("demo: no face was found on the recorded frames")
	}
	a, err := display.NewAnnotator()
	if err != nil {
		return err
	}
	return writePNG(path, a.Draw(&d.frame.Gray, d.reading, d.header))
}

func (d *demo) summary(transitions int) string {
	n := len(d.work)
	if n == 0 {
		return "no readings"
	}
	slices.Sort(d.work)
	ms := func(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }
	return fmt.Sprintf("%d readings in %.1f s, %d with a face; %d pin transitions; median %.1f ms a reading (mean: finding faces %.1f, model %.1f)",
		n, d.last.Sub(d.first).Seconds(), d.faces, transitions, ms(d.work[n/2]), ms(d.parts.Detect)/float64(n), ms(d.parts.Predict)/float64(n))
}
