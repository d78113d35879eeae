package signal

import (
	"strings"
	"testing"
	"time"

	"mien/runtime/model"
)

var emotionOnly = []model.Head{model.Emotion}

func wires(lines ...string) (out []Wire) {
	for _, l := range lines {
		out = append(out, Wire{Line: l, Pin: "PIN_" + l})
	}
	return out
}

// A number has no lines, and code lines cannot show it.
func TestNumbersHaveNoLines(t *testing.T) {
	years := model.NewNumber("years", 0, 6, "years")
	if got, want := Lines([]model.Head{years}), Lines(nil); len(got) != len(want) {
		t.Errorf("lines %v", got)
	}
	o := Options{}
	if at, err := o.Coded([]model.Head{years, model.Gender}); at != 1 || err != nil {
		t.Errorf("the code lines show head %d (%v), want that of labels", at, err)
	}
	o.Code = "years"
	if _, err := o.Coded([]model.Head{years}); err == nil {
		t.Error("code lines show a number")
	}
}

func TestOptionsRefused(t *testing.T) {
	for want, o := range map[string]Options{
		`no line "is_bored"`:      {Wires: wires("is_bored")},
		`no line "is_Asian"`:      {Wires: wires("is_Asian")}, // a head that is not enabled has no lines
		"face has no pin":         {Wires: []Wire{{Line: "face"}}},
		"both ready and face":     {Wires: []Wire{{"ready", "P", false}, {"face", "P", false}}},
		"two pins, A and B":       {Wires: []Wire{{"face", "A", false}, {"face", "B", false}}},
		"stall is 2s":             {Stall: 2 * time.Second},
		"pulse is 0s":             {Pulse: -1},
		"min_hold is 1m0s":        {MinHold: time.Minute},
		"ready has to drop":       {Stall: time.Second},
		"hang is 1ns, it has to ": {Hang: 1},
	} {
		if _, err := New(emotionOnly, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q in it", o, err, want)
		}
	}
}

// A pipeline that hangs while the camera runs is no longer ready.
func TestHang(t *testing.T) {
	m, err := New(emotionOnly, Options{Hang: 2 * time.Second, Wires: wires("ready")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	m.Frame(now)
	m.Update(now, Seen{})
	for range 30 {
		now = now.Add(100 * time.Millisecond)
		m.Frame(now)
		on, why := m.Ready()
		if wantOn := now.Before(time.Unix(2, 0)); on != wantOn {
			t.Fatalf("at %v ready is %v (%q)", now.Sub(time.Unix(0, 0)), on, why)
		}
	}
	if _, why := m.Ready(); why != "the pipeline hangs" {
		t.Errorf("reason %q", why)
	}
	m.Update(now, Seen{})
	m.Frame(now.Add(time.Millisecond))
	if on, _ := m.Ready(); !on {
		t.Error("a reading does not bring ready back")
	}
}

// Without wires there is nothing to write, and a device without a head that
// the code lines can show keeps its code at 0.
func TestUnwired(t *testing.T) {
	many := model.Head{Name: "many", Labels: strings.Split("abcdefgh", "")}
	if _, err := New([]model.Head{many}, Options{Code: "many"}); err == nil || !strings.Contains(err.Error(), "has 8") {
		t.Errorf("eight labels on three lines: %v", err)
	}
	m, err := New([]model.Head{many}, Options{Wires: wires("code0", "code1", "code2")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	for range 100 {
		now = now.Add(40 * time.Millisecond)
		if out := append(m.Frame(now), m.Update(now, Seen{Face: true, Labels: []int{4}})...); len(out) != 0 {
			t.Fatalf("%+v", out)
		}
	}
	if got := m.Snapshot(nil); len(got) != 3 || got[0].Pin != "PIN_code0" {
		t.Errorf("snapshot %+v", got)
	}
}

func TestMachineAllocatesNothing(t *testing.T) {
	m, err := New(model.Heads(), Options{Wires: wires(Lines(model.Heads())...)})
	if err != nil {
		t.Fatal(err)
	}
	now, labels, n, changed := time.Unix(0, 0), make([]int, 4), 0, 0
	turn := func() {
		now = now.Add(33 * time.Millisecond)
		n++
		changed += len(m.Frame(now))
		labels[0] = n / 20 % 7
		changed += len(m.Update(now, Seen{Face: n%100 < 80, Labels: labels}))
		changed += len(m.Tick(m.Next()))
	}
	if a := testing.AllocsPerRun(2000, turn); a != 0 {
		t.Errorf("%v allocations a frame", a)
	}
	if changed < 100 {
		t.Errorf("only %d transitions: the test tries nothing", changed)
	}
}
