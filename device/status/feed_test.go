package status

import (
	"context"
	"image"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"mien/boards"
	"mien/device"
	"mien/device/signal"
	"mien/runtime/model"
)

// scene is a made-up device: people come and go, look this way and that, and
// lines follow. It stands in for the pipeline.
type scene struct {
	start   time.Time
	frame   int
	people  int
	lines   []signal.Line
	ready   atomic.Bool
	calm    atomic.Bool // only the first of the people is there
	preview bool
}

var demoInfo = Info{
	Name: "Hall camera", Version: "0.1.0", Board: "Raspberry Pi 4 Model B",
	Heads: []Head{
		{Name: "emotion", Labels: model.Emotion.Labels, Enabled: true}, {Name: "gender", Labels: model.Gender.Labels, Enabled: true},
		{Name: "race", Labels: model.Race.Labels, Enabled: false}, {Name: "age", Labels: model.Age.Labels, Enabled: true},
	},
	Header: header("rpi4"),
	System: "This board runs an image that is for USB cameras.",
}

func header(board string) []Pin {
	b, err := boards.ByName(board)
	if err != nil {
		panic(err)
	}
	return HeaderOf(b)
}

// Every free pin of a board is in its diagram, under the name that its line
// goes by, and what carries power is none of them.
func TestHeaderOf(t *testing.T) {
	all, err := boards.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		pins := HeaderOf(b)
		if b.Name == "workstation" || b.Name == "virtual" {
			if len(pins) != 0 {
				t.Errorf("%s has a header of %d pins", b.Name, len(pins))
			}
			continue
		}
		kinds := map[string]int{}
		for i, p := range pins {
			if kinds[p.Kind]++; p.Number != i+1 {
				t.Errorf("%s: pin %d comes after %d others", b.Name, p.Number, i)
			}
		}
		if len(pins) != 40 || kinds["power"] != 4 || kinds["ground"] != 8 || kinds["gpio"] < len(b.Header) {
			t.Fatalf("%s: %d pins: %v", b.Name, len(pins), kinds)
		}
		for _, p := range b.Header {
			if got := pins[p.Number-1]; got.Name != p.Name() || got.Kind != "gpio" {
				t.Errorf("%s: pin %d is %+v, want %s", b.Name, p.Number, got, p.Name())
			}
		}
	}
	if p := header("coral-mini")[2]; p.Name != "" || p.Kind != "other" {
		t.Errorf("a bus pin of the Coral Dev Board Mini is %+v", p) // its line is not GPIO2
	}
}

func newScene() *scene {
	s := &scene{start: time.Now(), people: 2}
	for _, l := range [][2]string{{"ready", "GPIO17"}, {"heartbeat", "GPIO27"}, {"face", "GPIO22"}, {"code0", "GPIO5"},
		{"code1", "GPIO6"}, {"code2", "GPIO13"}, {"strobe", "GPIO19"}, {"is_happy", "GPIO26"}} {
		s.lines = append(s.lines, signal.Line{Name: l[0], Pin: l[1], Since: s.start})
	}
	s.ready.Store(true)
	return s
}

func (s *scene) health() device.Health {
	h := device.Health{Ready: s.ready.Load(), Reason: "frames flow", Started: s.start.Add(-2 * time.Hour), Camera: "replay", Engine: "portable, 1 thread",
		Model: "edge-int8", Heads: []string{"emotion", "gender", "age"}, FrameRate: 24.3 + 1.5*math.Sin(float64(time.Since(s.start))/2e9), Frames: 175_032, Dropped: 12,
		Consent: "not needed", Celsius: 51.2, Throttled: "under-voltage"}
	h.State = signal.Reading
	if !h.Ready {
		h.State = signal.NoCamera
		h.Reason = "no frame for 1.2 s from /dev/video0: check the camera's cable"
	}
	return h
}

func (s *scene) header() []signal.Line {
	out := append([]signal.Line(nil), s.lines...)
	beat := time.Since(s.start)/signal.Beat%2 == 0
	for i := range out {
		switch out[i].Name {
		case "ready", "face", "is_happy", "code2":
			out[i].Active = true
		case "heartbeat":
			out[i].Active = beat
		}
		if out[i].Active {
			out[i].Level = 1
		}
	}
	return out
}

// reading makes the next frame's reading.
func (s *scene) reading() *device.Reading {
	s.frame++
	t := float64(s.frame) / 25
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	r := &device.Reading{Time: time.Now(), Seq: uint64(s.frame), Subject: uint64(min(s.people, 1)), Width: 640, Height: 480,
		Latency: device.Latency{Wait: ms(1.2), Detect: ms(11.4 + math.Sin(t)), Align: ms(.4), Predict: ms(15.8), Track: ms(.05), Signal: ms(.3), Total: ms(29.2)}}
	moods := []int{3, 0, 6}
	people := s.people
	if s.calm.Load() {
		people = min(people, 1)
	}
	for i := range people {
		x, y := 90+i*260+int(20*math.Sin(t+float64(i))), 120+i*40
		f := device.FaceReading{ID: uint64(i + 1), Box: device.Box{X: x, Y: y, W: 150 + 10*i, H: 150 + 10*i}, Score: 31,
			Eyes: &device.Eyes{{float64(x + 45), float64(y + 55)}, {float64(x + 105), float64(y + 55)}}, Problem: "fine"}
		for _, h := range demoInfo.Heads {
			if h.Enabled {
				f.Heads = append(f.Heads, mood(h, (moods[i%3]+map[string]int{"gender": 5, "age": 6}[h.Name])%len(h.Labels), .78+.1*math.Sin(t)))
			}
		}
		if i == 2 {
			f.Problem = "turned away"
			f.Heads[0].Uncertain, f.Heads[0].Label = true, ""
		}
		r.Faces = append(r.Faces, f)
	}
	return r
}

func mood(h Head, label int, p float64) device.HeadReading {
	out := device.HeadReading{Name: h.Name, Label: h.Labels[label], Confidence: float32(p)}
	rest := 0.0
	for i := range h.Labels {
		if i != label {
			rest += 1 / float64(i+1)
		}
	}
	for i, l := range h.Labels {
		v := p
		if i != label {
			v = (1 - p) / float64(i+1) / rest
		}
		out.Probs = append(out.Probs, device.Prob{Label: l, P: float32(v)})
	}
	return out
}

// play feeds o as the pipeline would, until ctx ends.
func (s *scene) play(ctx context.Context, o device.Observer, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	first := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := s.reading()
		if first {
			first = false
			for i := range r.Faces {
				o.Track(&device.Track{Kind: device.Begin, Time: r.Time, Face: r.Faces[i]})
			}
			o.Transition(signal.Transition{Time: r.Time, Line: "face", Pin: "GPIO22", Active: true, Level: 1, Reason: "face present"})
			o.Transition(signal.Transition{Time: r.Time, Line: "is_happy", Pin: "GPIO26", Active: true, Level: 1, Reason: "happy"})
		}
		o.Reading(r)
		if f, ok := o.(interface{ Frame(*image.Gray) }); ok && s.preview {
			f.Frame(picture(s.frame))
		}
	}
}

// picture is a made-up camera picture: a slow gradient.
func picture(n int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			m.Pix[y*m.Stride+x] = byte(90 + (x+n)/8%100 + y/8)
		}
	}
	return m
}

// start serves with o on a free port of loopback and feeds from sc.
func start(t testing.TB, o Options, sc *scene) (*Server, string) {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	o.Info, o.Health, o.Lines = demoInfo, sc.health, sc.header
	if o.Requests == 0 {
		o.Requests = 10_000
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	sc.preview = o.Preview
	go sc.play(ctx, s, 40*time.Millisecond)
	return s, "http://" + l.Addr().(*net.TCPAddr).String()
}
