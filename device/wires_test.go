package device_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mien/device"
	"mien/device/signal"
)

// brittle is a header whose pins fail when fails says so. It knows what each
// wire carries.
type brittle struct {
	mu    sync.Mutex
	fails func(pin string, level int) bool
	wire  map[string]int
	wrote func(pin string, level int)
}

type brittlePin struct {
	h    *brittle
	name string
}

func (p brittlePin) Write(level int) error {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if p.h.fails != nil && p.h.fails(p.name, level) {
		return errors.New(p.name + ": input/output error")
	}
	was := p.h.wire[p.name]
	p.h.wire[p.name] = level
	if p.h.wrote != nil && was != level {
		p.h.wrote(p.name, level)
	}
	return nil
}
func (brittlePin) Close() error { return nil }

// failing changes when pins fail.
func (h *brittle) failing(f func(pin string, level int) bool) {
	h.mu.Lock()
	h.fails = f
	h.mu.Unlock()
}

// levels is what the wires carry.
func (h *brittle) levels() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.wire)
}

func (h *brittle) Open(name string, level int) (device.Pin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wire[name] = level
	return brittlePin{h, name}, nil
}

func newBrittle() *brittle { return &brittle{wire: map[string]int{}} }

func contract(t *testing.T) *signal.Machine {
	t.Helper()
	m, err := signal.New(heads(), signal.Options{Wires: allWires()})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// visits are frames with a face of one label, or without one, 40 ms apart.
type visits struct {
	out *device.Outputs
	now time.Time
}

func (v *visits) frames(n, label int) {
	for range n {
		v.now = v.now.Add(40 * time.Millisecond)
		v.out.Frame(v.now)
		v.out.Update(v.now, signal.Seen{Face: label >= 0, Labels: []int{label, -1}})
	}
}

// A wire that could not be written once follows at the next piece of work, and
// ready is inactive in between; a new configuration is not refused for it.
func TestWireFollows(t *testing.T) {
	for _, w := range allWires() {
		t.Run(w.Line, func(t *testing.T) {
			for level := range 2 {
				h := newBrittle()
				out, err := device.NewOutputs(contract(t), h, nil)
				if err != nil {
					t.Fatal(err)
				}
				v := &visits{out, time.Now()}
				failed, dropped := false, false
				out.Watch(func(s device.State) {
					dropped = dropped || s.State == signal.WireFault && strings.Contains(s.Reason, w.Pin)
				})
				h.fails = func(pin string, l int) bool {
					if fail := pin == w.Pin && l == level && !failed; fail {
						failed = true
						return true
					}
					return false
				}
				for _, label := range []int{3, 1, 4, -1, 3} { // codes 4, 2, 5, 0, 4
					for range 40 {
						v.frames(1, label)
					}
				}
				v.frames(100, 3)
				on, why := out.Ready()
				// A ready that did not rise was never ready.
				if !failed && !(w.Line == "ready" && level == 0) || failed && !dropped && w.Line != "ready" || !on {
					t.Fatalf("write of %d failed %v; ready dropped %v, is %v (%s) at last", level, failed, dropped, on, why)
				}
				for _, l := range out.Lines() {
					if l.Level != h.wire[l.Pin] || l.Fault != "" {
						t.Errorf("a failed write of %d: %+v, its wire carries %d", level, l, h.wire[l.Pin])
					}
				}
				if err := out.Replace(contract(t)); err != nil {
					t.Errorf("a reload is refused: %v", err)
				}
			}
		})
	}
}

// While a pin cannot be written for good, ready is inactive, says which, and
// every other line is at its safe level; a reload is not refused, and once the
// pin works all is as it should be.
func TestPinFails(t *testing.T) {
	h := newBrittle()
	h.fails = func(pin string, _ int) bool { return pin == "P_code2" }
	out, err := device.NewOutputs(contract(t), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visits{out, time.Now()}
	v.frames(100, 3) // happy is code 4
	if s := out.State(); s.Ready || s.State != signal.WireFault || !strings.Contains(s.Reason, "P_code2") {
		t.Errorf("state %+v", s)
	}
	for pin, level := range h.levels() {
		if safe := map[bool]int{true: 1, false: 0}[pin == "P_face"]; level != safe {
			t.Errorf("%s carries %d", pin, level)
		}
	}
	if err := out.Replace(contract(t)); err != nil {
		t.Errorf("a reload is refused: %v", err)
	}
	h.failing(nil)
	v.frames(100, 3)
	if on, why := out.Ready(); !on || h.wire["P_code2"] != 1 || h.wire["P_is_happy"] != 1 || h.wire["P_face"] != 0 {
		t.Errorf("the pin works again: ready %v (%q), %v", on, why, h.wire)
	}
}

// The contract holds on the wires though writes fail at random, for one
// attempt or for seconds: nothing rises without ready, of one head's lines
// one is active at most, codes stand while strobe is active, no wire stays
// wrong.
func TestWiresOverRandomFailures(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			r, chance := rand.New(rand.NewPCG(seed, 7)), rand.New(rand.NewPCG(seed, 8))
			h := newBrittle()
			var bad string
			dead := map[string]time.Time{} // pins that fail until then
			fails := func(pin string, _ int) bool {
				if time.Now().Before(dead[pin]) {
					return true
				}
				switch p := chance.IntN(100); {
				case p < 8:
					return true
				case p < 10:
					dead[pin] = time.Now().Add(time.Duration(chance.IntN(3000)) * time.Millisecond)
					return true
				}
				return false
			}
			active := func(line string) bool { return (h.wire["P_"+line] == 1) != (line == "face") }
			h.wrote = func(pin string, _ int) {
				line := strings.TrimPrefix(pin, "P_")
				switch {
				case line == "ready" || line == "heartbeat" || bad != "":
				case active(line) && !active("ready"):
					bad = line + " rises without ready"
				case active("is_happy") && active("is_sad"):
					bad = "two labels at once"
				case strings.HasPrefix(line, "code") && active("strobe"):
					bad = line + " changes under strobe"
				}
			}
			var told []signal.Transition
			out, err := device.NewOutputs(contract(t), h, func(x signal.Transition) { told = append(told, x) })
			if err != nil {
				t.Fatal(err)
			}
			h.failing(fails)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- out.Run(ctx) }()
			faults := 0
			step := func(label int) {
				time.Sleep(40 * time.Millisecond)
				out.Frame(time.Now())
				out.Update(time.Now(), signal.Seen{Face: label >= 0, Labels: []int{label, -1}})
				synctest.Wait()
			}
			label := -1
			for i := range 2000 {
				if r.IntN(20) == 0 {
					label = []int{-1, 3, 4}[r.IntN(3)]
				}
				step(label)
				if s := out.State(); s.State == signal.WireFault {
					faults++
				}
				if bad != "" {
					t.Errorf("seed %d, step %d: %s", seed, i, bad)
					break
				}
			}
			h.failing(nil)
			for range 200 {
				step(3)
			}
			for _, l := range out.Lines() {
				if l.Level != h.wire[l.Pin] {
					t.Errorf("seed %d: %+v, its wire carries %d", seed, l, h.wire[l.Pin])
				}
			}
			if on, why := out.Ready(); !on || faults == 0 || !active("is_happy") {
				t.Errorf("seed %d: ready %v (%s), %d steps with a fault", seed, on, why, faults)
			}
			last := map[string]bool{}
			for _, x := range told {
				if last[x.Line] == x.Active {
					t.Errorf("seed %d: %s was told to be %v twice", seed, x.Line, x.Active)
				}
				last[x.Line] = x.Active
			}
			for _, l := range out.Lines() {
				if last[l.Name] != l.Active {
					t.Errorf("seed %d: %s was told last to be %v", seed, l.Name, last[l.Name])
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// The first write of every line fails while the device ends: the lines get to
// their safe level nonetheless.
func TestExitTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBrittle()
		out, err := device.NewOutputs(contract(t), h, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- out.Run(ctx) }()
		for range 50 {
			time.Sleep(40 * time.Millisecond)
			out.Frame(time.Now())
			out.Update(time.Now(), signal.Seen{Face: true, Labels: []int{3, -1}})
		}
		tried := map[string]int{}
		h.failing(func(pin string, _ int) bool { tried[pin]++; return tried[pin] == 1 })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		var wrong []string
		for pin, level := range h.levels() {
			if safe := map[bool]int{true: 1, false: 0}[pin == "P_face"]; level != safe {
				wrong = append(wrong, fmt.Sprintf("%s carries %d", pin, level))
			}
		}
		if slices.Sort(wrong); len(wrong) > 0 || len(tried) == 0 {
			t.Errorf("%d pins tried; %v", len(tried), wrong)
		}
	})
}
