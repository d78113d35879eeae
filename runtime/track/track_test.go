package track

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/model"
)

var (
	spec  = &model.Spec{Heads: []model.Head{model.Emotion, model.Age}}
	start = time.Unix(1_700_000_000, 0)
	good  = Quality{Size: 100, Sharpness: 500, Brightness: 128, Contrast: 50}
)

func tracker(t testing.TB, o Options) *Tracker {
	t.Helper()
	tr, err := New(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func box(x, y, side int) Found {
	return Found{Box: image.Rect(x-side/2, y-side/2, x-side/2+side, y-side/2+side)}
}

// sure gives p to one label of every head and spreads the rest.
func sure(label int, p float32) *model.Scores {
	s := spec.NewScores()
	for _, h := range s.Heads {
		for k := range h {
			h[k] = (1 - p) / float32(len(h)-1)
		}
		h[label] = p
	}
	return s
}

// frame runs one frame in which every face found gets the same answer.
func frame(t *Tracker, at time.Duration, s *model.Scores, found ...Found) []Event {
	t.Associate(start.Add(at), found)
	for i := range found {
		t.Score(i, good, s)
	}
	return t.Commit()
}

func TestFaceCountsAfterKOfN(t *testing.T) {
	tr := tracker(t, Options{Confirm: 3, Window: 5})
	s := sure(3, .9)
	seen := []bool{true, false, true, false, true, true}
	for i, there := range seen {
		var found []Found
		if there {
			found = []Found{box(100, 100, 60)}
		}
		events := frame(tr, time.Duration(i)*40*time.Millisecond, s, found...)
		if begun := len(events) > 0 && events[0].Kind == Begin; begun != (i == 4) {
			t.Errorf("frame %d: begun %v; the third sighting is in frame 4", i, begun)
		}
	}
}

// A false detection that stays nowhere never becomes a face, however many
// there are.
func TestFlickerNeverCounts(t *testing.T) {
	tr := tracker(t, Options{})
	for i := range 2000 {
		at := box(100+(i%7)*200, 100+(i%5)*200, 60)
		if ev := frame(tr, time.Duration(i)*33*time.Millisecond, sure(3, .99), at); len(ev) != 0 {
			t.Fatalf("frame %d: %v of track %d", i, ev[0].Kind, ev[0].Track.ID)
		}
	}
}

// Two people walk about, pass above each other, and are found in random
// order with a shaky box. Nobody's answers may leak into the other's.
func TestFacesStayApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tr := tracker(t, Options{})
	labels := [2]int{3, 4} // one only ever happy, the other only ever sad
	who := map[uint64]int{}
	for i := range 1500 {
		phase := float64(i) / 60
		shake := func() int { return r.IntN(7) - 3 }
		found := []Found{
			box(400+int(200*math.Sin(phase))+shake(), 150+shake(), 90+shake()),
			box(400-int(200*math.Sin(phase))+shake(), 290+shake(), 80+shake()),
		}
		person := []int{0, 1}
		if r.IntN(2) == 0 {
			found[0], found[1], person = found[1], found[0], []int{1, 0}
		}
		if r.IntN(20) == 0 { // a miss
			found, person = found[:1], person[:1]
		}
		matched := tr.Associate(start.Add(time.Duration(i)*33*time.Millisecond), found)
		for j := range found {
			s := spec.NewScores()
			for _, h := range s.Heads {
				h[labels[person[j]]] = 1
			}
			tr.Score(j, good, s)
			if matched[j].ID != 0 {
				if p, known := who[matched[j].ID]; known && p != person[j] {
					t.Fatalf("frame %d: track %d changed person", i, matched[j].ID)
				}
				who[matched[j].ID] = person[j]
			}
		}
		tr.Commit()
		for _, f := range tr.Tracks(nil) {
			if p, known := who[f.ID]; known && f.Heads[0].P[labels[1-p]] > Floor {
				t.Fatalf("frame %d: the other's answer leaked: %v", i, f.Heads[0].P)
			}
		}
	}
	if len(who) != 2 {
		t.Errorf("%d identities for 2 people", len(who))
	}
}

// Floor is what a label nobody saw may have.
const Floor = 1e-3

// Smoothing follows the clock: twice the frames give the same curve.
func TestSmoothingIsTimeBased(t *testing.T) {
	at := func(step time.Duration) float32 {
		tr := tracker(t, Options{Smoothing: 400 * time.Millisecond, Confirm: 1, Window: 1})
		frame(tr, 0, sure(0, 1), box(50, 50, 60))
		for d := step; d <= 600*time.Millisecond; d += step {
			frame(tr, d, sure(3, 1), box(50, 50, 60))
		}
		return tr.Tracks(nil)[0].Heads[0].P[3]
	}
	want := 1 - math.Exp(-600./400)
	for _, step := range []time.Duration{10, 30, 100, 300} {
		if got := at(step * time.Millisecond); math.Abs(float64(got)-want) > 1e-3 {
			t.Errorf("a frame each %d ms: %.4f after 600 ms, want %.4f", step, got, want)
		}
	}
}

// Answers that hop about the threshold do not make the label flap, and one
// weak frame does not take a label away.
func TestHysteresisAndDwell(t *testing.T) {
	tr := tracker(t, Options{Smoothing: -1, Confirm: 1, Window: 1})
	f := box(80, 80, 60)
	for i := range 20 {
		frame(tr, time.Duration(i)*50*time.Millisecond, sure(3, .8), f)
	}
	at := time.Second
	for i := range 100 {
		p := float32(.46 + .06*float64(i%2)) // either side of 0.5, within the hysteresis
		for _, e := range frame(tr, at, sure(3, p), f) {
			t.Fatalf("p %v: %v", p, e.Kind)
		}
		at += 50 * time.Millisecond
	}
	if l := tr.Tracks(nil)[0].Heads[0].Label; l != 3 {
		t.Fatalf("label %d, want 3", l)
	}
	for i := range 4 { // 200 ms of another answer: shorter than the dwell
		if ev := frame(tr, at, sure(4, .95), f); len(ev) != 0 {
			t.Fatalf("changed after %d frames", i)
		}
		at += 50 * time.Millisecond
	}
	frame(tr, at, sure(3, .8), f)
	at += 50 * time.Millisecond
	changed := false
	for range 8 {
		changed = changed || len(frame(tr, at, sure(4, .95), f)) > 0
		at += 50 * time.Millisecond
	}
	if l := tr.Tracks(nil)[0].Heads[0].Label; !changed || l != 4 {
		t.Errorf("after 400 ms of another answer: label %d, changed %v", l, changed)
	}
}

func TestUncertain(t *testing.T) {
	tr := tracker(t, Options{Confirm: 1, Window: 1})
	f := box(80, 80, 60)
	for i := range 20 {
		frame(tr, time.Duration(i)*50*time.Millisecond, sure(3, .4), f)
	}
	got := tr.Tracks(nil)[0]
	if h := got.Heads[0]; h.Label != Uncertain || math.Abs(float64(h.Confidence)-.4) > 1e-5 || got.Problem != Unclear {
		t.Errorf("label %d at %v (%v), want uncertain at 0.4", h.Label, h.Confidence, got.Problem)
	}
}

// Good pictures stop coming: first the problem is named, then what was known
// is no longer claimed.
func TestBadPicturesGoStale(t *testing.T) {
	tr := tracker(t, Options{Confirm: 1, Window: 1, Fresh: 500 * time.Millisecond})
	f := box(80, 80, 60)
	at := time.Duration(0)
	for range 20 {
		frame(tr, at, sure(3, .9), f)
		at += 50 * time.Millisecond
	}
	blurred := good
	blurred.Sharpness = 3
	for i := range 20 {
		tr.Associate(start.Add(at), []Found{f})
		tr.Score(0, blurred, sure(4, 1))
		tr.Commit()
		got := tr.Tracks(nil)[0]
		if got.Problem != Blurred {
			t.Fatalf("frame %d: %v, want blurred", i, got.Problem)
		}
		since := time.Duration(i+1) * 50 * time.Millisecond
		want := 3
		if since > 500*time.Millisecond {
			want = Uncertain
		}
		if got.Heads[0].Label != want || got.Heads[0].P[4] > .1 {
			t.Fatalf("%v after the last good picture: label %d, want %d (%v)", since, got.Heads[0].Label, want, got.Heads[0].P)
		}
		at += 50 * time.Millisecond
	}
}

func TestTemperatureIsApplied(t *testing.T) {
	calibrated := *spec
	calibrated.Card.Temperature = []float32{2, 1}
	tr, err := New(&calibrated, Options{Confirm: 1, Window: 1})
	if err != nil {
		t.Fatal(err)
	}
	frame(tr, 0, sure(3, .9), box(80, 80, 60))
	got := tr.Tracks(nil)[0].Heads
	// sqrt(.9) against six times sqrt(.1/6)
	want := math.Sqrt(.9) / (math.Sqrt(.9) + 6*math.Sqrt(.1/6))
	if math.Abs(float64(got[0].P[3])-want) > 1e-4 || math.Abs(float64(got[1].P[3])-.9) > 1e-4 {
		t.Errorf("emotion %.4f, age %.4f; want %.4f and 0.9", got[0].P[3], got[1].P[3], want)
	}
}

// Whatever comes in, the promises hold: identities are unique and live once,
// labels are given only as sure as promised and not before the dwell, and no
// more faces are followed than asked for.
func TestPromisesOverRandomInput(t *testing.T) {
	o := Options{MaxFaces: 3, Dwell: 120 * time.Millisecond}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		tr := tracker(t, o)
		lives := map[uint64]Kind{}
		answered := map[uint64]time.Time{}
		at := time.Duration(0)
		lastID := uint64(0)
		for range 800 {
			at += time.Duration(r.IntN(120)-10) * time.Millisecond // clocks also go back
			var found []Found
			for range r.IntN(6) {
				found = append(found, box(100+r.IntN(3)*150+r.IntN(20), 100+r.IntN(20), r.IntN(120)))
			}
			tr.Associate(start.Add(at), found)
			for i := range found {
				if r.IntN(4) > 0 {
					q := good
					q.Sharpness = float64(r.IntN(200))
					tr.Score(i, q, noise(r))
				}
			}
			for _, e := range tr.Commit() {
				id := e.Track.ID
				last, known := lives[id]
				if e.Kind == Begin && (known || id <= lastID) || e.Kind != Begin && (!known || last == End) {
					t.Fatalf("seed %d: %v of track %d after %v (known %v)", seed, e.Kind, id, last, known)
				}
				lives[id], lastID = e.Kind, max(lastID, id)
			}
			tracks := tr.Tracks(nil)
			if len(tracks) > o.MaxFaces {
				t.Fatalf("%d faces, at most %d were asked for", len(tracks), o.MaxFaces)
			}
			for _, f := range tracks {
				h := f.Heads[0]
				var sum float64
				for _, v := range h.P {
					sum += float64(v)
				}
				if h.scored && math.Abs(sum-1) > 1e-4 {
					t.Fatalf("probabilities sum to %v", sum)
				}
				before, ok := answered[f.ID]
				if given := ok && !h.Since.Equal(before); given && h.Label != Uncertain {
					if h.P[h.Label] < .5 {
						t.Fatalf("label %d given at %v", h.Label, h.P[h.Label])
					}
					if h.Since.Sub(before) < o.Dwell {
						t.Fatalf("label %d %v after the answer before, the dwell is %v", h.Label, h.Since.Sub(before), o.Dwell)
					}
				}
				answered[f.ID] = h.Since
			}
		}
		if lastID == 0 {
			t.Fatalf("seed %d: no face ever began: the test tests nothing", seed)
		}
		for _, e := range tr.Reset() {
			if e.Kind != End {
				t.Errorf("reset gives %v", e.Kind)
			}
			lives[e.Track.ID] = End
		}
		for id, k := range lives {
			if k != End {
				t.Errorf("track %d never ended", id)
			}
		}
	}
}

// noise is a random answer, now and then a broken one.
func noise(r *rand.Rand) *model.Scores {
	s := sure(r.IntN(5), .3+.7*r.Float32())
	if r.IntN(10) == 0 {
		s.Heads[0][r.IntN(7)] = float32(math.NaN())
	}
	return s
}

func TestDeterministic(t *testing.T) {
	run := func() (out []string) {
		r := rand.New(rand.NewPCG(9, 9))
		tr := tracker(t, Options{})
		for i := range 500 {
			var found []Found
			for range r.IntN(4) {
				found = append(found, box(100+r.IntN(3)*120, 100, 60+r.IntN(9)))
			}
			for _, e := range frame(tr, time.Duration(i)*40*time.Millisecond, noise(r), found...) {
				out = append(out, time.Duration(i).String()+e.Kind.String()+e.Track.Box.String())
			}
		}
		return out
	}
	if d := cmp.Diff(run(), run()); d != "" {
		t.Error(d)
	}
}

func TestAllocatesNothing(t *testing.T) {
	tr := tracker(t, Options{})
	crop := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	found := []Found{box(100, 100, 60), box(300, 100, 70), box(500, 100, 80)}
	s := [2]*model.Scores{sure(3, .9), sure(4, .9)}
	tracks := make([]*Track, 0, 8)
	at := start
	i := 0
	turn := func() {
		at = at.Add(40 * time.Millisecond)
		i++
		n := 2 + i/20%2 // one face comes and goes
		tr.Associate(at, found[:n])
		for k := range n {
			q := Measure(found[k], crop)
			q.Brightness, q.Contrast, q.Sharpness = 100, 50, 500
			tr.Score(k, q, s[i/30%2])
		}
		tr.Commit()
		tracks = tr.Tracks(tracks[:0])
	}
	for range 100 {
		turn()
	}
	if n := testing.AllocsPerRun(200, turn); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Confirm: 4, Window: 3}, {Window: 65}, {Confirm: -1}, {MinConfidence: 2},
		{MinConfidence: .05, Hysteresis: .1}, {Linger: -1}, {MaxFaces: -1}} {
		if _, err := New(spec, o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	tr := tracker(b, Options{})
	found := []Found{box(100, 100, 60), box(300, 100, 70), box(500, 100, 80), box(700, 100, 80)}
	s := sure(3, .9)
	at := start
	for b.Loop() {
		at = at.Add(40 * time.Millisecond)
		tr.Associate(at, found)
		for k := range found {
			tr.Score(k, good, s)
		}
		tr.Commit()
	}
}

// What the finder is not sure of, or what has no texture, never counts; a face
// that counts is kept while its score does not fall below half of what it
// needed.
func TestFaceNeedsEvidence(t *testing.T) {
	blurred := good
	blurred.Sharpness = 3
	for _, c := range []struct {
		name   string
		scores []float32 // of one frame each, 100 ms apart
		q      Quality
		want   []bool
	}{
		{"sure", []float32{2, 2, 2}, good, []bool{false, false, true}},
		{"unsure", []float32{1.9, 1.9, 1.9, 1.9, 1.9, 1.9}, good, make([]bool, 6)},
		{"sure at times", []float32{2, 0.5, 2, 0.5, 2}, good, []bool{false, false, false, false, true}},
		{"blurred", []float32{9, 9, 9, 9, 9}, blurred, make([]bool, 5)},
		{"fades", []float32{9, 9, 9, 1, 1, .9, .9, .9, .9, .9}, good, []bool{false, false, true, true, true, true, true, false, false, false}},
	} {
		tr := tracker(t, Options{MinScore: 2, Linger: 250 * time.Millisecond})
		for i, v := range c.scores {
			f := box(100, 100, 80)
			f.Score = v
			tr.Associate(start.Add(time.Duration(i)*100*time.Millisecond), []Found{f})
			tr.Score(0, c.q, sure(3, .9))
			tr.Commit()
			if got := len(tr.Tracks(nil)) > 0; got != c.want[i] {
				t.Errorf("%s: frame %d: counts %v, want %v", c.name, i, got, c.want[i])
			}
		}
	}
}

func TestNotLookedIsNotGone(t *testing.T) {
	tr := tracker(t, Options{Confirm: 3, Window: 5})
	box := image.Rect(100, 100, 200, 200)
	now := time.Unix(0, 0)
	for i := range 15 {
		now = now.Add(33 * time.Millisecond)
		var found []Found
		if i%3 == 0 { // looked for in every third frame alone: three sightings take seven frames
			found = []Found{{Box: box}}
		}
		tr.AssociateWhere(now, found, func(b image.Rectangle) bool { return i%3 == 0 && b == box })
		events := tr.Commit()
		if begun := len(events) == 1 && events[0].Kind == Begin; begun != (i == 6) {
			t.Errorf("frame %d: %v", i, events)
		}
	}
	if n := len(tr.Tracks(nil)); n != 1 {
		t.Errorf("%d tracks, want one", n)
	}
	// Looked for and not seen is gone after a while, as ever.
	now = now.Add(800 * time.Millisecond)
	tr.AssociateWhere(now, nil, func(image.Rectangle) bool { return true })
	if events := tr.Commit(); len(events) != 1 || events[0].Kind != End {
		t.Errorf("at the end: %v", events)
	}
}

// Where frames are rare a face is looked for seldom: it stays until it was looked
// for in vain, or for four times as long as one that was.
func TestSeldomLookedForStays(t *testing.T) {
	tr := tracker(t, Options{Confirm: 1, Window: 1})
	box := image.Rect(100, 100, 200, 200)
	now := time.Unix(0, 0)
	seldom := func(found []Found, looked bool) []Event {
		now = now.Add(900 * time.Millisecond)
		tr.AssociateWhere(now, found, func(image.Rectangle) bool { return looked })
		return tr.Commit()
	}
	seldom([]Found{{Box: box}}, true)
	for i := range 3 {
		if events := seldom(nil, false); len(events) != 0 {
			t.Errorf("frame %d, in which nobody looked: %v", i, events)
		}
	}
	if events := seldom(nil, false); len(events) != 1 || events[0].Kind != End {
		t.Errorf("after 3.6 s: %v, want an end", events)
	}
	seldom([]Found{{Box: box}}, true)
	if events := seldom(nil, true); len(events) != 1 || events[0].Kind != End {
		t.Errorf("looked for in vain: %v, want an end", events)
	}
}

// A number is smoothed as probabilities are, and its step follows it only when
// it has moved away.
func TestNumbers(t *testing.T) {
	years := model.NewNumber("years", 0, 100, "years")
	tr, err := New(&model.Spec{Heads: []model.Head{years}}, Options{Confirm: 1, Window: 1, Smoothing: -1, Dwell: -1})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Duration(0)
	say := func(v float64) State {
		s := &model.Scores{Heads: [][]float32{model.Target(years.Values(), v)}}
		frame(tr, at, s, box(100, 100, 50))
		at += 40 * time.Millisecond
		return tr.Tracks(nil)[0].Heads[0]
	}
	for _, x := range []struct {
		v    float64
		step int
	}{{34, 7}, {37.9, 7}, {36, 7}, {39.5, 8}, {36.5, 8}, {36, 7}} {
		s := say(x.v)
		if math.Abs(s.Value-x.v) > 0.01 || s.Label != x.step || s.Confidence < 0.99 || s.Deviation > 2.6 {
			t.Errorf("%g: value %g, step %d (want %d), confidence %g, deviation %g", x.v, s.Value, s.Label, x.step, s.Confidence, s.Deviation)
		}
	}
	slow, err := New(&model.Spec{Heads: []model.Head{years}}, Options{Confirm: 1, Window: 1, Smoothing: time.Second, Dwell: -1})
	if err != nil {
		t.Fatal(err)
	}
	tr, at = slow, 0
	say(20)
	if s := say(80); s.Value < 20 || s.Value > 25 || s.Deviation < 5 {
		t.Errorf("40 ms later: %g, deviation %g: it is not smoothed", s.Value, s.Deviation)
	}
}
