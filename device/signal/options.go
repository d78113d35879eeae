package signal

import (
	"fmt"
	"strings"
	"time"

	"mien/runtime/model"
)

// Wire joins a line of the contract to a line of a GPIO chip.
type Wire struct {
	Line string // ready, heartbeat, face, code0, code1, code2, strobe, or is_<label>
	Pin  string // the GPIO line's name
	Low  bool   // active low: the wire carries 0 while the line is active
}

// Options are the timing of the contract and its wires. A duration of zero
// means the default; below zero means none.
type Options struct {
	MinHold  time.Duration // least time between two changes of a line (200 ms, at most 10 s)
	OnDelay  time.Duration // a face is present this long before face is active (200 ms)
	OffDelay time.Duration // and absent this long before it is inactive (500 ms)
	Setup    time.Duration // codes are stable this long before strobe, and as long after it (20 ms, at most 1 s)
	Pulse    time.Duration // strobe is active this long (100 ms, 1 ms to 1 s)
	Stall    time.Duration // without a frame this long the camera counts as lost (800 ms, at most 900 ms), a slow one later: see Pace
	Hang     time.Duration // without a reading this long, though frames flow, the pipeline counts as hung (10 s)
	Wires    []Wire
	// Code is the head whose label the code lines show; "" means the first that
	// has few enough labels for them.
	Code string
}

// Codes is how many labels three code lines tell apart, beside none.
const Codes = 7

// Coded returns the place of the head whose label the code lines show, or -1
// when there is none that they can.
func (o *Options) Coded(heads []model.Head) (int, error) {
	for i, h := range heads {
		switch {
		case o.Code == h.Name && h.Measures():
			return -1, fmt.Errorf("signal: code lines tell labels apart, and head %s is a number", h.Name)
		case h.Measures():
		case o.Code == "" && len(h.Labels) <= Codes:
			return i, nil
		case o.Code == h.Name && len(h.Labels) > Codes:
			return -1, fmt.Errorf("signal: code lines tell %d labels apart, and head %s has %d", Codes, h.Name, len(h.Labels))
		case o.Code == h.Name:
			return i, nil
		}
	}
	if o.Code != "" && len(heads) > 0 {
		return -1, fmt.Errorf("signal: no enabled head %q for the code lines to show", o.Code)
	}
	return -1, nil
}

// Beat is half the period of heartbeat.
const Beat = 500 * time.Millisecond

// Defaults returns o with every zero replaced.
func (o Options) Defaults() Options {
	for _, v := range []struct {
		p *time.Duration
		d time.Duration
	}{
		{&o.MinHold, 200 * time.Millisecond}, {&o.OnDelay, 200 * time.Millisecond},
		{&o.OffDelay, 500 * time.Millisecond}, {&o.Setup, 20 * time.Millisecond},
		{&o.Pulse, 100 * time.Millisecond}, {&o.Stall, 800 * time.Millisecond}, {&o.Hang, 10 * time.Second},
	} {
		if *v.p == 0 {
			*v.p = v.d
		}
		*v.p = max(*v.p, 0)
	}
	return o
}

func (o *Options) check() error {
	for _, v := range []struct {
		name     string
		d        time.Duration
		min, max time.Duration
		why      string
	}{
		{"min_hold", o.MinHold, 0, 10 * time.Second, "a line must be able to reach its safe level"},
		{"on_delay", o.OnDelay, 0, time.Minute, "a visitor does not wait longer"},
		{"off_delay", o.OffDelay, 0, time.Minute, "a visitor does not wait longer"},
		{"setup", o.Setup, 0, time.Second, "a code would be old when it is strobed"},
		{"pulse", o.Pulse, time.Millisecond, time.Second, "a controller has to see it, and the next code has to wait for its end"},
		{"stall", o.Stall, 50 * time.Millisecond, 900 * time.Millisecond, "ready has to drop within 1 s of a lost camera"},
		{"hang", o.Hang, 100 * time.Millisecond, time.Minute, "a hung pipeline must not stay ready"},
	} {
		if v.d < v.min || v.d > v.max {
			return fmt.Errorf("signal: %s is %v, it has to be between %v and %v: %s", v.name, v.d, v.min, v.max, v.why)
		}
	}
	return nil
}

// Lines returns the names of all lines that a device with these heads can
// drive, in the order in which they are evaluated. A head that measures has none.
func Lines(heads []model.Head) []string {
	out := []string{"ready", "heartbeat", "face", "code0", "code1", "code2", "strobe"}
	for _, h := range heads {
		if h.Measures() {
			continue
		}
		for _, l := range h.Labels {
			out = append(out, LabelLine(heads, h, l))
		}
	}
	return out
}

// LabelLine returns the name of the line of a label, is_<label>, or
// is_<head>_<label> where several of the heads have a label of that name.
func LabelLine(heads []model.Head, h model.Head, label string) string {
	n := 0
	for _, o := range heads {
		if !o.Measures() && o.Label(label) >= 0 {
			n++
		}
	}
	if n > 1 {
		return "is_" + h.Name + "_" + label
	}
	return "is_" + label
}

// wire checks the wires and returns them by line.
func wire(heads []model.Head, wires []Wire) (map[string]Wire, error) {
	known := map[string]bool{}
	for _, l := range Lines(heads) {
		known[l] = true
	}
	byLine, byPin := map[string]Wire{}, map[string]string{}
	for _, w := range wires {
		switch {
		case !known[w.Line]:
			return nil, fmt.Errorf("signal: no line %q; with the enabled heads there are %s", w.Line, strings.Join(Lines(heads), ", "))
		case w.Pin == "":
			return nil, fmt.Errorf("signal: line %s has no pin", w.Line)
		case byPin[w.Pin] != "":
			return nil, fmt.Errorf("signal: pin %s is given to both %s and %s", w.Pin, byPin[w.Pin], w.Line)
		case byLine[w.Line].Pin != "":
			return nil, fmt.Errorf("signal: line %s is given two pins, %s and %s", w.Line, byLine[w.Line].Pin, w.Pin)
		}
		byLine[w.Line], byPin[w.Pin] = w, w.Line
	}
	return byLine, nil
}
