package fleet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mien/device"
	"mien/device/fleet"
	"mien/runtime/testwait"
)

// countsOf are what a board counts that saw so many faces, each of one label and in
// view for a while of its own.
func countsOf(r *rand.Rand, faces int, shares map[string]float64) *fleet.Counts {
	c := &fleet.Counts{Seconds: 3600, Begun: faces, Answers: map[string]map[string]int{"age": {}}, Uncertain: map[string]int{}}
	labels := []string{"0-19", "20-39", "40-59", "60+"}
	for range faces {
		v, label := r.Float64(), labels[len(labels)-1]
		for _, l := range labels {
			if v -= shares[l]; v < 0 {
				label = l
				break
			}
		}
		frames := 1 + int(r.ExpFloat64()*150)
		c.Answers["age"][label] += frames
		c.Readings += frames
	}
	c.WithFace = c.Readings
	return c
}

func boardsOf(n int, tag string, counts func(i int) *fleet.Counts) (all []*Board) {
	for i := range n {
		all = append(all, &Board{Standing: Standing{Site: "hall", Board: fmt.Sprintf("%s%04d", tag, i), Health: &fleet.Health{Tags: []string{tag}}, Hour: counts(i)}})
	}
	return all
}

var usual = map[string]float64{"0-19": .2, "20-39": .45, "40-59": .3, "60+": .05}

// What chance does is not called drift, whether boards count few faces or many; what
// a camera that has turned does is.
func TestDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	wrong, compared := 0, 0
	for range 20 {
		all := boardsOf(200, "kiosk", func(int) *fleet.Counts { return countsOf(r, 30+r.IntN(2000), usual) })
		compare(all)
		for _, b := range all {
			compared += len(b.Drift)
			if b.Drift[0].Distance > b.Drift[0].Bound {
				wrong++
			}
		}
	}
	if compared != 4000 || wrong > 2 {
		t.Errorf("%d of %d boards that do not drift are said to, in 20 looks", wrong, compared)
	}
	old := map[string]float64{"0-19": .05, "20-39": .15, "40-59": .3, "60+": .5}
	for _, n := range []int{3, 200} {
		all := boardsOf(n, "kiosk", func(i int) *fleet.Counts {
			if i == 1 {
				return countsOf(r, 400, old)
			}
			return countsOf(r, 400, usual)
		})
		compare(all)
		for i, b := range all {
			if d := b.Drift[0]; (d.Distance > d.Bound) != (i == 1) || d.Group != n || d.Faces != 400 {
				t.Errorf("of %d boards number %d: %+v", n, i, d)
			}
		}
		if s := all[1].Drift[0].Shares["60+"]; s.Board < .3 || s.Group > .15 {
			t.Errorf("shares %+v", all[1].Drift[0].Shares)
		}
	}
}

// Who cannot be compared is not: with few faces, in a group of two, or with other tags.
func TestNotCompared(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	few := boardsOf(9, "few", func(int) *fleet.Counts { return countsOf(r, fewestFaces-1, usual) })
	two := boardsOf(2, "two", func(int) *fleet.Counts { return countsOf(r, 1000, usual) })
	three := boardsOf(3, "three", func(int) *fleet.Counts { return countsOf(r, 1000, usual) })
	one := boardsOf(5, "same", func(int) *fleet.Counts { return countsOf(r, 1000, map[string]float64{"0-19": 1}) })
	apart := boardsOf(3, "apart", func(i int) *fleet.Counts {
		return countsOf(r, 1000, map[string]float64{[]string{"0-19", "20-39", "40-59"}[i]: 1})
	})
	compare(slices.Concat(few, two, three, one, apart))
	for _, b := range slices.Concat(few, two, one) {
		if len(b.Drift) > 0 {
			t.Errorf("%s is compared: %+v", b.Board, b.Drift)
		}
	}
	for _, b := range three {
		if len(b.Drift) != 1 {
			t.Errorf("%s is not compared", b.Board)
		}
	}
	for _, b := range apart { // nothing is usual there: all differ
		if d := b.Drift[0]; !(d.Distance > d.Bound) || d.Distance > 1 {
			t.Errorf("%s: %+v", b.Board, d)
		}
	}
}

// The last hour goes by what was counted, and its oldest part goes.
func TestLastHour(t *testing.T) {
	var r recent
	for i := range 200 {
		r.add(&fleet.Counts{Seconds: 60, Readings: i, Answers: map[string]map[string]int{"age": {"20-39": 1}}, Uncertain: map[string]int{"age": 2}})
	}
	s := r.sum()
	if n := int(s.Seconds) / 60; n < 60 || n > 70 || s.Answers["age"]["20-39"] != n || s.Uncertain["age"] != 2*n || s.Readings != n*(200+199-n)/2 {
		t.Errorf("%+v", s)
	}
	if (recent{}).sum() != nil {
		t.Error("nothing has a sum")
	}
}

// send has a board say something that it makes up itself.
func send(t *testing.T, h *hub, id fleet.ID, name string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		_, err = h.js.Publish(t.Context(), id.Subject(name), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// look returns a board as a View sees it once that is so.
func look(t *testing.T, v *View, name string, so func(*Board) bool) (b *Board) {
	t.Helper()
	testwait.Until(t, name+" is so", func() bool {
		v.mu.Lock()
		v.checked = time.Time{}
		v.mu.Unlock()
		all, err := v.Boards(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(b *Board) bool { return b.Board == name })
		if i < 0 {
			return false
		}
		b = all[i]
		return so(b)
	})
	return b
}

func troubleOf(kind string) func(*Board) bool {
	return func(b *Board) bool { return textOf(b, kind) != "" }
}

// A View says what a board says, and what is wrong with it, the worst first; and
// forgets whom the hub forgets.
func TestView(t *testing.T) {
	h := newHub(t)
	h.enrol(t, hall)
	send(t, h, hall, fleet.OfHealth, fleet.Health{Life: "a", State: "reading", Version: "v1"})
	v, err := h.Watch(t.Context(), h.js)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Stop()
	all, err := v.Boards(time.Now())
	if err != nil || len(all) != 1 || all[0].Now != "reading" || len(all[0].Troubles) > 0 {
		t.Fatalf("%v, %v: what is kept is read before a View is there", all, err)
	}
	send(t, h, hall, fleet.OfHealth, fleet.Health{Life: "a", State: "no camera", Reason: "unplugged", Queued: 500, Lost: 3, Throttled: "hot",
		Parts: []device.PartHealth{{Name: "mqtt", Problem: "no broker"}, {Name: "oled"}}})
	b := look(t, v, "door", troubleOf("state"))
	var got []string
	for _, x := range b.Troubles {
		got = append(got, x.Kind+": "+x.Text)
	}
	if s := strings.Join(got, "; "); s != "state: unplugged; part: mqtt: no broker; lost: 3 messages had no room since it started; queue: 500 messages wait; held down: held down: hot" {
		t.Errorf("it says %s", s)
	}
	if all, err = v.Boards(time.Now().Add(time.Hour)); err != nil || all[0].Now != "silent" || all[0].Troubles[0].Kind != "silent" || all[0].Hour != nil {
		t.Errorf("an hour later %+v, %v", all[0], err)
	}
	// The copy of a board and the board take turns.
	for _, life := range []string{"b", "a"} {
		send(t, h, hall, fleet.OfHealth, fleet.Health{Life: life, State: "reading"})
	}
	look(t, v, "door", troubleOf("copied"))
	if _, err := h.Forget(t.Context(), h.js, hall); err != nil {
		t.Log(err) // revoking asks a hub.json, which this hub has not
	}
	h.enrol(t, fleet.ID{Site: "hall", Board: "wall"})
	look(t, v, "wall", troubleOf("new"))
}

// A board that was stolen says anything. It is said of that board, and stops nothing.
func TestNonsense(t *testing.T) {
	h := newHub(t)
	h.enrol(t, hall)
	v, err := h.Watch(t.Context(), h.js)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Stop()
	labels := map[string]int{}
	for i := range 1000 {
		labels[fmt.Sprint(i)] = 1
	}
	for i, c := range []any{"no counts", fleet.Counts{Readings: -1}, fleet.Counts{WithFace: 2, Readings: 1}, fleet.Counts{Seconds: -1}, fleet.Counts{Begun: 1 << 40},
		fleet.Counts{Uncertain: map[string]int{"age": -4}}, fleet.Counts{Answers: map[string]map[string]int{"age": {"\x1b[2J": 4}}}, fleet.Counts{Answers: map[string]map[string]int{"age": labels}}} {
		v.mu.Lock()
		v.known = map[fleet.ID]*known{}
		v.mu.Unlock()
		send(t, h, hall, fleet.OfHealth, fleet.Health{State: "reading"})
		send(t, h, hall, fleet.OfCounts, c)
		if b := look(t, v, "door", troubleOf("nonsense")); b.Hour != nil {
			t.Errorf("%d: counted: %+v", i, b.Hour)
		}
	}
	send(t, h, hall, fleet.OfHealth, fleet.Health{State: "reading", Version: "\x1b[2Jv9", Reason: strings.Repeat("x", 1<<16), Tags: make([]string, 1000)})
	b := look(t, v, "door", func(b *Board) bool { return b.Health != nil && strings.HasSuffix(b.Health.Version, "v9") })
	if h := b.Health; h.Version != "[2Jv9" || len(h.Reason) != mostText || len(h.Tags) != mostList {
		t.Errorf("version %q, %d characters of a reason, %d tags", h.Version, len(h.Reason), len(h.Tags))
	}
}

// Each change is one, and what stays the same is none.
func TestChanges(t *testing.T) {
	board := func(name, state, version string, troubles ...Trouble) *Board {
		return &Board{Standing: Standing{Site: "hall", Board: name, Health: &fleet.Health{Version: version}}, Now: state, Troubles: troubles}
	}
	before := []*Board{board("a", "reading", "v1"), board("b", "reading", "v1", Trouble{"queue", "30 messages wait"}), board("c", "silent", "v1", Trouble{"silent", "x"}),
		board("d", "reading", "v1", Trouble{"drift", "age"})}
	now := []*Board{board("a", "reading", "v2"), board("b", "reading", "v1", Trouble{"queue", "31 messages wait"}), board("c", "reading", "v1", Trouble{"part", "mqtt: away"}),
		board("e", "reading", "v1")}
	var got []string
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range changes(before, now, at) {
		got = append(got, c.String())
	}
	want := []string{"03:04:05 hall/a version: v2 (was v1)", "03:04:05 hall/c state: reading (was silent)", "03:04:05 hall/c part: mqtt: away",
		"03:04:05 hall/e enrolled: yes", "03:04:05 hall/d enrolled: no more (was yes)"}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := changes(now, now, at); len(got) > 0 {
		t.Errorf("nothing has changed: %v", got)
	}
}
