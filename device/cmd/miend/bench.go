package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"mien/boards"
	"mien/camera"
	"mien/camera/replay"
	"mien/camera/replay/portrait"
	"mien/device"
	"mien/device/cmdline"
	"mien/device/config"
	"mien/device/pins"
	"mien/device/signal"
	"mien/runtime/face"
)

type benchCmd struct {
	configFlag
	For    time.Duration `help:"How long to measure (${default})." default:"10s" least:"100ms" most:"1h"`
	Model  string        `placeholder:"FILE" help:"A .tflite file instead of the configured model."`
	Engine string        `placeholder:"NAME" help:"auto, tflite or portable, instead of the configured one."`
	JSON   bool          `help:"Print JSON."`
}

// benched is what this machine does with the configured finder, model and heads.
type benched struct {
	Version string  `json:"version"`
	Board   string  `json:"board"`
	Arch    string  `json:"arch"`
	Model   string  `json:"model"`
	Engine  string  `json:"engine"`
	Finder  string  `json:"finder"`
	Width   int     `json:"width"` // of the frames, pixels
	Height  int     `json:"height"`
	Seconds float64 `json:"seconds"` // measured
	Frames  int     `json:"frames"`
	Faces   int     `json:"frames_with_a_face"`
	Moves   int     `json:"transitions"` // of lines
	Rate    float64 `json:"frames_per_second"`
	Steady  float64 `json:"steady"` // the rate of the last fifth as a part of the first fifth's

	// From a frame in memory to the last line written, and the parts of it.
	Median     float64 `json:"frame_to_pin_ms_median"`
	P95        float64 `json:"frame_to_pin_ms_95"`
	Worst      float64 `json:"frame_to_pin_ms_worst"`
	Finding    float64 `json:"finding_ms_mean"`
	Predicting float64 `json:"model_ms_mean"`

	Celsius    float64  `json:"celsius,omitempty"` // the hottest; absent where the board does not say
	Told       bool     `json:"throttling_told"`   // whether the board says of throttling
	Throttling []string `json:"throttling"`        // what held it down while it was measured
	Line       string   `json:"line"`              // all of it, to be published
}

// Run has recorded frames of a face go through the whole chain as fast as they
// will, to the lines of a simulated header: nothing that is wired moves.
func (c benchCmd) Run(e env) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	override(&cfg, c.Model, c.Engine, nil)
	b := bench{r: benched{Version: version, Arch: runtime.GOARCH, Throttling: []string{}}}
	if err := b.open(cfg); err != nil {
		return err
	}
	if err := errors.Join(b.measure(e, c.For), b.app.close()); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(&b.r)
	}
	return b.r.print(e.stdout)
}

// bench measures. As a device.Observer it counts the lines' transitions.
type bench struct {
	r        benched
	app      *app
	pipeline *device.Pipeline
	works    []float64 // ms of each frame
}

// open wires what a configuration reads with to a simulated header.
func (b *bench) open(from config.Config) error {
	cfg := config.Default()
	cfg.Model, cfg.Heads, cfg.Faces, cfg.Answers, cfg.Lead, cfg.Health = from.Model, from.Heads, from.Faces, from.Answers, from.Lead, from.Health
	cfg.Status.Listen, cfg.Signals.Pins = "none", "simulated"
	heads, _, err := canRead(&cfg, boards.Board{})
	if err != nil {
		return err
	}
	cfg.Signals.Lines = demoLines(heads, cfg.LeadOf(heads))
	b.app, err = newApp(cfg, slog.New(slog.DiscardHandler), appOptions{once: true, to: b, sim: &pins.Sim{},
		open: func(context.Context) (camera.Source, error) { return benchScene(), nil }})
	if err != nil {
		return err
	}
	b.r.Board, b.r.Model, b.r.Engine = b.app.board.Title, b.app.modelName, b.app.model.Engine()
	o := cfg.FaceOptions()
	o.Live = true
	finder, err := face.NewDetector(o)
	if err != nil {
		return err
	}
	b.r.Finder = string(finder.Finder())
	b.pipeline, err = device.NewPipeline(finder, b.app.engine(), b.app.out, b.app.to, device.PipelineOptions{Heads: b.app.now.Load().Heads, Track: cfg.TrackOptions()})
	return err
}

// benchScene is somebody who stays, moves a little and tilts the head, again and
// again, at no pace of its own.
func benchScene() camera.Source {
	second := time.Second
	return replay.NewScene(replay.SceneOptions{
		Picture: portrait.Gray(),
		Anchor:  portrait.LeftEye.Add(portrait.RightEye).Div(2),
		Options: replay.Options{Loop: true},
		Keys: []replay.Key{
			{X: 0.55, Y: 0.36, Scale: 1.2},
			{At: 2 * second, X: 0.5, Y: 0.34, Scale: 1.4, Tilt: 10},
			{At: 4 * second, X: 0.45, Y: 0.36, Scale: 1.3},
			{At: 6 * second, X: 0.5, Y: 0.38, Scale: 1.2, Tilt: -10},
			{At: 8 * second, X: 0.55, Y: 0.36, Scale: 1.2},
		},
	})
}

// measure lets frames through until length has passed. Drawing them is not
// measured.
func (b *bench) measure(e env, length time.Duration) error {
	frames := benchScene()
	defer frames.Close()
	wait := newWait(e.stderr, "measuring", length)
	defer wait.end()
	var f camera.Frame
	begun, looked := time.Now(), time.Time{}
	for now := begun; now.Sub(begun) < length; now = time.Now() {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		if now.Sub(looked) >= time.Second {
			looked = now
			b.look(e.ctx)
			wait.set(now.Sub(begun))
		}
		if err := frames.Next(e.ctx, &f); err != nil {
			return err
		}
		f.Time = time.Now()
		b.app.out.Frame(f.Time)
		r, err := b.pipeline.Process(&f)
		if err != nil {
			return err
		}
		b.count(r)
	}
	b.look(e.ctx)
	b.r.Width, b.r.Height, b.r.Seconds = f.Rect.Dx(), f.Rect.Dy(), time.Since(begun).Seconds()
	b.sum()
	return nil
}

// look notes how the board is.
func (b *bench) look(ctx context.Context) {
	v := vitalsOf(ctx, b.app.root, b.app.board)
	b.r.Celsius, b.r.Told = max(b.r.Celsius, v.Celsius), b.r.Told || v.Told
	if why := v.Slow(b.app.now.Load().Health.TooHot); why != "" && !slices.Contains(b.r.Throttling, why) {
		b.r.Throttling = append(b.r.Throttling, why)
	}
}

func (b *bench) count(r *device.Reading) {
	b.works = append(b.works, millis(r.Latency.Total))
	b.r.Finding += millis(r.Latency.Detect)
	b.r.Predicting += millis(r.Latency.Predict)
	if len(r.Faces) > 0 {
		b.r.Faces++
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// sum makes figures of what was counted; there is at least one frame.
func (b *bench) sum() {
	r, n := &b.r, len(b.works)
	mean := func(works []float64) float64 {
		var sum float64
		for _, w := range works {
			sum += w
		}
		return sum / float64(len(works))
	}
	fifth := max(n/5, 1)
	r.Frames, r.Rate = n, 1000/mean(b.works)
	r.Steady = mean(b.works[:fifth]) / mean(b.works[n-fifth:])
	r.Finding, r.Predicting = r.Finding/float64(n), r.Predicting/float64(n)
	slices.Sort(b.works)
	r.Median, r.P95, r.Worst = b.works[n/2], b.works[n*95/100], b.works[n-1]
	r.Line = fmt.Sprintf("miend %s on %s: %.1f ms from frame to pin (95 %% within %.1f), %.3g frames/s of %dx%d, %s, %s, finder %s; %s",
		r.Version, cmp.Or(r.Board, r.Arch), r.Median, r.P95, r.Rate, r.Width, r.Height, r.Model, r.Engine, r.Finder, r.state())
}

// state says how hot and how free the board was.
func (r *benched) state() string {
	state := "throttling not told"
	switch {
	case len(r.Throttling) > 0:
		state = strings.Join(r.Throttling, ", ")
	case r.Told:
		state = "not throttled"
	}
	if r.Celsius > 0 {
		state += fmt.Sprintf(", %.0f °C", r.Celsius)
	}
	return state
}

func (r *benched) print(w io.Writer) error {
	fmt.Fprintf(w, "frame to pin  median %.1f ms, 95 %% within %.1f, worst %.1f (mean: finding faces %.1f, model %.1f)\n",
		r.Median, r.P95, r.Worst, r.Finding, r.Predicting)
	fmt.Fprintf(w, "frames        %.1f/s; %d in %.1f s, drawn and read, %d with a face; %s of lines; the last fifth at %.0f %% of the first one's speed\n",
		r.Rate, r.Frames, r.Seconds, r.Faces, cmdline.Count(r.Moves, "transition"), 100*r.Steady)
	fmt.Fprintf(w, "throttling    %s\n\n", r.state())
	_, err := fmt.Fprintln(w, r.Line)
	return err
}

// Transition implements device.Observer.
func (b *bench) Transition(signal.Transition) { b.r.Moves++ }

// Reading implements device.Observer.
func (b *bench) Reading(*device.Reading) {}

// Track implements device.Observer.
func (b *bench) Track(*device.Track) {}

// wait shows on a terminal how much of a time is over, for times that are long
// to look at nothing.
type wait struct {
	w      io.Writer
	title  string
	length time.Duration
}

func newWait(w io.Writer, title string, length time.Duration) *wait {
	if length <= 2*time.Second || !cmdline.Terminal(w) {
		w = io.Discard
	}
	return &wait{w, title, length}
}

func (b *wait) set(done time.Duration) {
	const width = 40
	n := int(width * min(done, b.length) / b.length)
	fmt.Fprintf(b.w, "\r%s [%s%s] %.0f of %.0f s", b.title, strings.Repeat("=", n), strings.Repeat("-", width-n), done.Seconds(), b.length.Seconds())
}

// end takes the line away.
func (b *wait) end() { fmt.Fprint(b.w, "\r\x1b[K") }
