package device_test

import (
	"context"
	"errors"
	"image"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/pins"
	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/model"
)

// fakeFaces sees one face wherever the frame's first pixel is not 0.
type fakeFaces struct{}

func (fakeFaces) Detect(img *image.Gray, faces []face.Face) []face.Face {
	if img.Pix[0] == 0 {
		return faces
	}
	return append(faces, face.Face{Box: image.Rect(40, 40, 160, 160), Score: 30, Eyes: true,
		Left: face.Point{X: 75, Y: 80}, Right: face.Point{X: 125, Y: 80}})
}

// fakeModel answers with the emotion that the frame's second pixel asked for.
type fakeModel struct {
	spec    model.Spec
	emotion int
	err     error
}

func (m *fakeModel) Predict(_ *image.Gray, out *model.Scores) error {
	for i := range out.Heads {
		clear(out.Heads[i])
		out.Heads[i][0] = 1
	}
	clear(out.Heads[0])
	out.Heads[0][m.emotion] = 1
	return m.err
}
func (m *fakeModel) Spec() *model.Spec { return &m.spec }
func (m *fakeModel) Engine() string    { return "fake" }
func (m *fakeModel) Close() error      { return nil }

// picture is a frame with enough texture to pass the gates.
func picture(f *camera.Frame, seen bool) {
	f.Resize(200, 200)
	for i := range f.Pix {
		f.Pix[i] = byte(60 + 120*(i/7%2+i/200/7%2)/2)
	}
	f.Pix[0] = 0
	if seen {
		f.Pix[0] = 1
	}
}

// fakeCamera gives a frame every 40 ms of whatever clock there is.
type fakeCamera struct {
	seq  uint64
	left int // frames until it fails; below 0 never
	err  error
	hang bool // instead of failing
	seen bool
}

func (c *fakeCamera) Next(ctx context.Context, f *camera.Frame) error {
	if c.left == 0 {
		if c.hang {
			<-ctx.Done()
			return ctx.Err()
		}
		return c.err
	}
	c.left--
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(40 * time.Millisecond):
	}
	picture(f, c.seen)
	c.seq++
	f.Seq, f.Time = c.seq, time.Now()
	return nil
}

func (c *fakeCamera) Close() error { return nil }

// journal is an observer that keeps everything.
type journal struct {
	forgot      [][2]int
	mu          sync.Mutex
	readings    []*device.Reading
	tracks      []*device.Track
	transitions []signal.Transition
}

func (j *journal) Reading(r *device.Reading) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.readings = append(j.readings, r.Clone())
}

// Forget notes what had been told until then: tracks, transitions.
func (j *journal) Forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forgot = append(j.forgot, [2]int{len(j.tracks), len(j.transitions)})
}

func (j *journal) Track(t *device.Track) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tracks = append(j.tracks, t.Clone())
}
func (j *journal) Transition(t signal.Transition) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.transitions = append(j.transitions, t)
}

func (j *journal) lines() (out []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, t := range j.transitions {
		if t.Line == "heartbeat" {
			continue
		}
		out = append(out, map[bool]string{true: "+", false: "-"}[t.Active]+t.Line)
	}
	return out
}

// read returns how many readings there are.
func (j *journal) read() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.readings)
}

type rig struct {
	sim    pins.Sim
	j      journal
	model  fakeModel
	out    *device.Outputs
	pipe   *device.Pipeline
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func heads() []model.Head { return []model.Head{model.Emotion, model.Age} }

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{model: fakeModel{spec: model.Spec{Heads: model.Heads()}, emotion: 3}}
	m, err := signal.New(heads(), signal.Options{Wires: allWires()})
	if err != nil {
		t.Fatal(err)
	}
	if r.out, err = device.NewOutputs(m, &r.sim, r.j.Transition); err != nil {
		t.Fatal(err)
	}
	r.pipe, err = device.NewPipeline(fakeFaces{}, &r.model, r.out, &r.j, device.PipelineOptions{Heads: []string{"age", "emotion"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func allWires() (out []signal.Wire) {
	for _, l := range append(signal.Lines(nil), "is_happy", "is_sad") {
		out = append(out, signal.Wire{Line: l, Pin: "P_" + l, Low: l == "face"})
	}
	return out
}

// start runs the outputs and the supervisor; call stop for a clean exit.
func (r *rig) start(t *testing.T, s *device.Supervisor) {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.done.Go(func() {
		if err := r.out.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.done.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

func (r *rig) stop() {
	r.cancel()
	r.done.Wait()
}

func TestFaceToPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if r.sim.Level("P_ready") != 0 || r.sim.Level("P_face") != 1 {
			t.Fatal("lines do not start at their safe level")
		}
		cam := &fakeCamera{left: -1, seen: true}
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return cam, nil }, r.pipe, r.out, device.SupervisorOptions{})
		r.start(t, s)
		time.Sleep(2 * time.Second)
		if r.sim.Level("P_face") != 0 || r.sim.Level("P_is_happy") != 1 || r.sim.Level("P_code2") != 1 {
			t.Errorf("after two seconds of a happy face: %v", r.j.lines())
		}
		h := s.Health()
		if !h.Ready || h.Reason != "frames flow" || h.FrameRate < 20 || h.FrameRate > 30 {
			t.Errorf("health %+v", h)
		}
		r.stop()
		want := []string{"+ready", "+strobe", "-strobe", "+face", "+is_happy", "+code2", "+strobe", "-strobe",
			"-ready", "-face", "-is_happy", "-code2"}
		if got := r.j.lines(); !slices.Equal(got, want) {
			t.Errorf("lines\n%v, want\n%v", got, want)
		}
		if r.sim.Level("P_face") != -1 {
			t.Error("pins are not given back")
		}
		if len(r.j.tracks) == 0 || r.j.tracks[0].Kind != device.Begin {
			t.Errorf("tracks %+v", r.j.tracks)
		}
		last := r.j.readings[len(r.j.readings)-1]
		if f := last.Faces[0]; f.Head("emotion").Label != "happy" || f.Head("age") == nil || f.Head("race") != nil || f.Head("gender") != nil || f.Eyes == nil {
			t.Errorf("reading %+v: want happy, age, and no head that is not enabled", f)
		}
	})
}

func TestCameraLostAndFound(t *testing.T) {
	for name, cam := range map[string]fakeCamera{
		"error": {left: 50, seen: true, err: errors.New("unplugged")},
		"end":   {left: 50, seen: true, err: io.EOF},
		"hang":  {left: 50, seen: true, hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				opened, refused := 0, 0
				var notes []string
				open := func(context.Context) (camera.Source, error) {
					if opened == 1 && refused < 3 {
						refused++
						return nil, errors.New("no such device")
					}
					opened++
					c := cam
					return &c, nil
				}
				s := device.NewSupervisor(open, r.pipe, r.out, device.SupervisorOptions{Note: func(n string) { notes = append(notes, n) }})
				start := time.Now()
				r.start(t, s)
				// Lost after 2 s, noticed by 5 s at the latest, refused at most
				// 250+500+1000 ms long, then 2 s of frames again.
				time.Sleep(30 * time.Second)
				r.stop()
				if opened < 3 || refused != 3 || s.Health().Restarts < 5 {
					t.Errorf("opened %d, refused %d, restarts %d", opened, refused, s.Health().Restarts)
				}
				lost := 50*40*time.Millisecond + time.Second
				var dropped, back bool
				for _, tr := range r.j.transitions {
					at := tr.Time.Sub(start)
					dropped = dropped || tr.Line == "ready" && !tr.Active && at <= lost
					back = back || dropped && tr.Line == "ready" && tr.Active
				}
				if !dropped || !back {
					t.Errorf("ready dropped within a second: %v; came back: %v\n%v", dropped, back, r.j.lines())
				}
				// Each loss is told as it happens: no face, and the track's end.
				told, by := map[string]bool{}, 3*time.Second
				if name == "hang" {
					by = 5500 * time.Millisecond
				}
				for _, x := range r.j.readings {
					told["reading"] = told["reading"] || len(x.Faces) == 0 && x.Seq > 40 && x.Time.Sub(start) < by
				}
				for _, x := range r.j.tracks {
					told["track"] = told["track"] || x.Kind == device.End && x.Time.Sub(start) < by
				}
				if !told["reading"] || !told["track"] {
					t.Errorf("told that nobody is there any more: %v", told)
				}
				if len(notes) == 0 || name == "error" && !strings.Contains(notes[0], "unplugged") {
					t.Errorf("notes %q", notes)
				}
			})
		})
	}
}

func TestRecordingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		open := func(context.Context) (camera.Source, error) {
			return &fakeCamera{left: 10, err: io.EOF}, nil
		}
		s := device.NewSupervisor(open, r.pipe, r.out, device.SupervisorOptions{Once: true})
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(r.j.readings); n != 10 {
			t.Errorf("%d readings of 10 frames", n)
		}
	})
}

func TestBlindWithoutConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil },
			r.pipe, r.out, device.SupervisorOptions{NeedConsent: true})
		r.start(t, s)
		time.Sleep(2 * time.Second)
		if n := r.j.read(); n != 0 || r.sim.Level("P_ready") != 0 || r.sim.Level("P_face") != 1 || s.Health().State != signal.NoConsent {
			t.Errorf("without consent: %d readings, lines %v, %+v", n, r.j.lines(), s.Health())
		}
		s.Consent(true)
		time.Sleep(2 * time.Second)
		if r.j.read() == 0 || r.sim.Level("P_face") != 0 || s.Health().Consent != "given" || !s.Health().Ready {
			t.Errorf("with consent: %d readings, lines %v", r.j.read(), r.j.lines())
		}
		s.Consent(false)
		n := r.j.read()
		if last := r.j.readings[n-1]; len(last.Faces) != 0 || s.Health().Ready || r.sim.Level("P_ready") != 0 {
			t.Errorf("consent just taken back: %+v, %+v", last, s.Health())
		}
		time.Sleep(2 * time.Second)
		if r.j.read() != n || r.sim.Level("P_face") != 1 {
			t.Errorf("consent taken back: %d readings more, lines %v", r.j.read()-n, r.j.lines())
		}
		r.stop()
		// What is kept to be told later is forgotten, before it is told what ends.
		if len(r.j.forgot) != 1 {
			t.Fatalf("told to forget %d times", len(r.j.forgot))
		}
		for _, news := range r.j.tracks[r.j.forgot[0][0]:] {
			if news.Face.Head("emotion").Label != "" {
				t.Errorf("told after forgetting: %+v", news)
			}
		}
		after := r.j.transitions[r.j.forgot[0][1]:]
		for _, c := range after {
			if c.Active && c.Line != "heartbeat" {
				t.Errorf("told after forgetting: %+v", c)
			}
		}
		if !slices.ContainsFunc(after, func(c signal.Transition) bool { return c.Line == "ready" }) {
			t.Errorf("that ready dropped is forgotten: %+v", r.j.transitions)
		}
		if last := r.j.tracks[len(r.j.tracks)-1]; last.Kind != device.End || last.Face.Head("emotion").Label != "" || last.Face.Head("emotion").Confidence != 0 {
			t.Errorf("last news of the face is %+v", last)
		}
	})
}

// A crash of the model ends the run with an error, the lines safe.
func TestCrashLeavesSafely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cam := &fakeCamera{left: -1, seen: true}
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return cam, nil }, r.pipe, r.out, device.SupervisorOptions{})
		ctx, cancel := context.WithCancel(context.Background())
		lines := make(chan error, 1)
		go func() { lines <- r.out.Run(ctx) }()
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(2 * time.Second)
		if r.sim.Level("P_ready") != 1 {
			t.Fatal("not ready")
		}
		if err := s.Replace(func(p *device.Pipeline) (*device.Pipeline, error) { r.model.emotion = 99; return p, nil }); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "reading a frame: runtime error: index out of range") {
			t.Errorf("the run ends with %v", err)
		}
		cancel()
		if err := <-lines; err != nil {
			t.Error(err)
		}
		if got := r.j.lines(); got[len(got)-1][0] != '-' || r.sim.Level("P_ready") != -1 {
			t.Errorf("lines %v", got)
		}
	})
}

func TestRateIsHeldDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil },
			r.pipe, r.out, device.SupervisorOptions{})
		s.SetRate(5, "under-voltage")
		r.start(t, s)
		time.Sleep(10 * time.Second)
		if n := r.j.read(); n < 45 || n > 51 || s.Health().Throttled != "under-voltage" || s.Health().Dropped < 150 {
			t.Errorf("%d readings in 10 s at 5 a second, health %+v", n, s.Health())
		}
		r.stop()
	})
}

// A new configuration takes over while the device runs: ready stays, lines
// that both have do not move, the others go safely.
func TestReplaceKeepsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := device.NewSupervisor(func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil },
			r.pipe, r.out, device.SupervisorOptions{})
		r.start(t, s)
		time.Sleep(2 * time.Second)
		before := len(r.j.lines())
		wires := slices.DeleteFunc(allWires(), func(w signal.Wire) bool { return w.Line == "code2" })
		m, err := signal.New(heads(), signal.Options{MinHold: 100 * time.Millisecond, Wires: append(wires, signal.Wire{Line: "is_fear", Pin: "P_new"})})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.out.Replace(m); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := r.j.lines()[before:]; len(got) != 0 {
			t.Errorf("lines moved: %v", got)
		}
		if r.sim.Level("P_ready") != 1 || r.sim.Level("P_code2") != -1 || r.sim.Level("P_new") != 0 || r.sim.Level("P_is_happy") != 1 {
			t.Error("wrong levels after the change")
		}
		r.sim.Names = []string{"P_ready"}
		if m, err = signal.New(heads(), signal.Options{Wires: []signal.Wire{{Line: "ready", Pin: "P_ready"}, {Line: "face", Pin: "P_none"}}}); err != nil {
			t.Fatal(err)
		}
		if err := r.out.Replace(m); err == nil || r.sim.Level("P_is_happy") != 1 {
			t.Errorf("a pin that is not there: %v, and the lines before have to stay", err)
		}
		r.stop()
	})
}

// A header that lacks a line keeps nothing claimed.
func TestPinMissing(t *testing.T) {
	m, err := signal.New(heads(), signal.Options{Wires: allWires()})
	if err != nil {
		t.Fatal(err)
	}
	h := &pins.Sim{Names: []string{"P_ready", "P_heartbeat"}}
	if _, err := device.NewOutputs(m, h, nil); err == nil || !strings.Contains(err.Error(), `line face: pins: no GPIO line is called "P_face"`) {
		t.Error(err)
	}
	if h.Level("P_ready") != -1 {
		t.Error("ready is still claimed")
	}
}

func TestPipelineRefuses(t *testing.T) {
	only := &fakeModel{spec: model.Spec{Heads: []model.Head{model.Emotion}}}
	race := &fakeModel{spec: model.Spec{Heads: []model.Head{model.Race}}}
	for want, x := range map[string]struct {
		m       *fakeModel
		enabled []string
	}{
		`"age" is enabled, but the model does not`: {only, []string{"age"}},
		`(it has emotion)`:                         {only, []string{"mood"}},
		"no head is enabled":                       {race, nil}, // it is read only when it is named
	} {
		enabled := x.enabled
		_, err := device.NewPipeline(fakeFaces{}, x.m, nil, nil, device.PipelineOptions{Heads: enabled})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", enabled, err, want)
		}
	}
	only.err = errors.New("bad tensor")
	p, err := device.NewPipeline(fakeFaces{}, only, nil, nil, device.PipelineOptions{Heads: []string{"emotion"}})
	if err != nil {
		t.Fatal(err)
	}
	var f camera.Frame
	picture(&f, true)
	f.Seq = 7
	if _, err := p.Process(&f); err == nil || !strings.Contains(err.Error(), "frame 7") || !strings.Contains(err.Error(), "bad tensor") {
		t.Errorf("a failing model: %v", err)
	}
}

type quiet struct{}

func (quiet) Reading(*device.Reading)      {}
func (quiet) Track(*device.Track)          {}
func (quiet) Transition(signal.Transition) {}

func TestPipelineAllocatesNothing(t *testing.T) {
	r := newRig(t)
	p, err := device.NewPipeline(fakeFaces{}, &r.model, r.out, quiet{}, device.PipelineOptions{Heads: []string{"emotion", "age"}})
	if err != nil {
		t.Fatal(err)
	}
	var f camera.Frame
	picture(&f, true)
	f.Time = time.Now()
	turn := func() {
		f.Seq++
		f.Time = f.Time.Add(33 * time.Millisecond)
		r.model.emotion = int(f.Seq / 40 % 7)
		f.Pix[0] = byte(f.Seq / 100 % 2)
		r.out.Frame(time.Now())
		if _, err := p.Process(&f); err != nil {
			t.Fatal(err)
		}
	}
	for range 300 {
		turn()
	}
	r.j.transitions = make([]signal.Transition, 0, 1<<16)
	if n := testing.AllocsPerRun(500, turn); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
