package device_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/signal"
	"mien/device/status"
)

// Every state of the contract is entered for real, and every output says the
// same: lines, health, the API's healthz, status and metrics, the events.
func TestStatesThroughAllOutputs(t *testing.T) {
	steady := func(context.Context) (camera.Source, error) { return &fakeCamera{left: -1, seen: true}, nil }
	type world struct {
		open  func(context.Context) (camera.Source, error)
		o     device.SupervisorOptions
		none  bool // no pipeline
		hangs bool
		fails bool
		then  func(*device.Supervisor)
	}
	for state, w := range map[signal.State]world{
		signal.Reading:   {open: steady},
		signal.Starting:  {open: func(ctx context.Context) (camera.Source, error) { <-ctx.Done(); return nil, ctx.Err() }},
		signal.NoCamera:  {open: func(context.Context) (camera.Source, error) { return nil, errors.New("no such device") }},
		signal.NoModel:   {open: steady, none: true, o: device.SupervisorOptions{Unable: signal.NoModel, UnableWhy: "face.tflite: no such file"}},
		signal.NoHead:    {open: steady, none: true, o: device.SupervisorOptions{Unable: signal.NoHead}},
		signal.NoConsent: {open: steady, o: device.SupervisorOptions{NeedConsent: true}},
		signal.Held:      {open: steady, then: func(s *device.Supervisor) { s.SetRate(-1, "hot") }},
		signal.Hung:      {open: steady, hangs: true, o: device.SupervisorOptions{Hang: time.Hour}},
		signal.WireFault: {open: steady, fails: true},
		signal.Stopped:   {open: steady},
	} {
		t.Run(string(state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newBrittle()
				var j journal
				var told []device.State
				out, err := device.NewOutputs(contract(t), h, j.Transition)
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t)
				m := newStuck(r.model, 1<<40)
				if w.hangs {
					m.left.Store(60)
				}
				var p *device.Pipeline
				if !w.none {
					if p, err = device.NewPipeline(fakeFaces{}, m, out, &j, device.PipelineOptions{Heads: []string{"emotion", "age"}}); err != nil {
						t.Fatal(err)
					}
				}
				var page *status.Server
				out.Watch(func(x device.State) {
					told = append(told, x)
					if page != nil {
						page.State(x)
					}
				})
				s := device.NewSupervisor(w.open, p, out, w.o)
				page, err = status.New(status.Options{Health: s.Health, Lines: out.Lines})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				lines := started(func() error { return out.Run(ctx) })
				run, end := context.WithCancel(t.Context())
				ended := started(func() error { return s.Run(run) })
				time.Sleep(3 * time.Second)
				if w.then != nil {
					w.then(s)
				}
				if w.fails {
					h.failing(func(pin string, _ int) bool { return pin == "P_heartbeat" })
				}
				if state == signal.Stopped {
					end()
				}
				if state != signal.Starting { // which ends by itself
					time.Sleep(15 * time.Second)
				}
				synctest.Wait()
				is, wire := s.Health(), h.levels()
				want := state == signal.Reading
				if is.State != state || is.Ready != want || is.Reason == "" {
					t.Errorf("health %+v", is)
				}
				if (wire["P_ready"] == 1) != want || (wire["P_face"] == 0) != want || (wire["P_is_happy"] == 1) != want {
					t.Errorf("lines %v", wire)
				}
				if len(told) > 0 && (told[len(told)-1].State != state || told[len(told)-1].Ready != want) || state != signal.Starting && len(told) == 0 {
					t.Errorf("told %+v", told)
				}
				get := func(path string) (int, string) {
					q := httptest.NewRequest("GET", "http://localhost"+path, nil)
					a := httptest.NewRecorder()
					page.Handler().ServeHTTP(a, q)
					return a.Code, a.Body.String()
				}
				code, body := get("/healthz")
				var z struct {
					Ready bool
					State signal.State
				}
				if err := json.Unmarshal([]byte(body), &z); err != nil || z.State != state || z.Ready != want || (code == 200) != want {
					t.Errorf("healthz %d %s", code, body)
				}
				_, text := get("/metrics")
				n := 0
				for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
					if name, ok := strings.CutPrefix(sc.Text(), `mien_state{state="`); ok {
						n++
						if is := strings.HasSuffix(name, " 1"); is != strings.HasPrefix(name, string(state)+`"`) {
							t.Errorf("metrics: %s", sc.Text())
						}
					}
				}
				if n != len(signal.States) {
					t.Errorf("metrics have %d of %d states", n, len(signal.States))
				}
				end()
				close(m.free)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				cancel()
				if h.failing(nil); <-lines != nil {
					t.Error("the lines do not end")
				}
			})
		})
	}
}
