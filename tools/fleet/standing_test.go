package fleet

import (
	"testing"
	"time"

	"mien/device"
	"mien/device/fleet"
)

// The hub says of a board what the board said last, and of one that has not been
// heard of that it has not.
func TestStand(t *testing.T) {
	h := newHub(t)
	door, wall := fleet.ID{Site: "hall", Board: "door"}, fleet.ID{Site: "hall", Board: "wall"}
	o := h.enrol(t, door)
	h.enrol(t, wall)
	o.Every, o.Version = 100*time.Millisecond, "v7"
	o.Health = func() device.Health { return device.Health{State: "reading"} }
	b, stop := run(t, o)
	for range 3 {
		b.Reading(&device.Reading{Time: time.Now()})
	}
	v, err := h.Watch(t.Context(), h.js)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Stop()
	x := look(t, v, "door", func(b *Board) bool { return b.Health != nil && b.Hour != nil && b.Hour.Readings == 3 })
	stop()
	if s := x.Standing; s.Health.Version != "v7" || s.State(s.Seen) != "reading" || s.State(s.Seen.Add(time.Hour)) != "silent" {
		t.Errorf("the door stands as %+v", s)
	}
	if s := look(t, v, "wall", troubleOf("new")).Standing; s.Health != nil || s.State(time.Now()) != "never heard of" {
		t.Errorf("the wall stands as %+v", s)
	}
}

func TestRates(t *testing.T) {
	r := ratesOf(&fleet.Counts{Readings: 100, WithFace: 25, Uncertain: map[string]int{"age": 3}, Answers: map[string]map[string]int{"age": {"20-39": 5}, "gender": {"female": 4}}})
	if r.WithFace == nil || *r.WithFace != 0.25 || r.Uncertain == nil || *r.Uncertain != 0.25 {
		t.Errorf("%+v", r)
	}
	for _, none := range []*fleet.Counts{nil, {}} {
		if r := ratesOf(none); r != (Rates{}) {
			t.Errorf("of nothing there is a rate: %+v", r)
		}
	}
}
