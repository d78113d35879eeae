// Package track knows which face is which from frame to frame, and what is to
// be believed about each: it joins detections to identities, waits until a
// face has been seen often enough to be one, smooths the model's answers for
// each face by itself, and answers with a label only when it is sure.
//
// One frame is three calls: Associate with the faces found, Score for each
// face the model has looked at, Commit. Time is what the caller says it is;
// the same calls give the same answers. A Tracker in steady use allocates
// nothing, and serves one goroutine.
package track

import (
	"fmt"
	"image"
	"math"
	"math/bits"
	"time"

	"mien/runtime/model"
	"mien/runtime/model/confidence"
)

// Point is a place in a frame, in pixels.
type Point struct{ X, Y float64 }

// Found is one detection in one frame.
type Found struct {
	Box         image.Rectangle
	Left, Right Point   // the eyes, Left at the smaller x
	Eyes        bool    // whether they were found
	Score       float32 // how sure the finder is, on its own scale
}

// unsought is for how many times Options.Linger a face stays that nobody looks
// for: frames may be rare, and a finder may have others to look for.
const unsought = 4

// Uncertain is the label of a head about which nothing can be said.
const Uncertain = -1

// Options say how slow to believe. Zero means the default.
type Options struct {
	// Confirm of the last Window frames have to show a face before it counts
	// (3 of 5, at most 64). Detectors see faces in curtains, though rarely in
	// the same place twice.
	Confirm, Window int
	// MinScore is the finder's score from which a sighting counts towards
	// Confirm; zero takes every sighting. A face that counts is kept from half of
	// it on. A sighting without contrast or sharpness does not count towards
	// Confirm either: blurred textures are what finders take for faces most often.
	MinScore float32
	// Linger is how long a face may be missing before its track ends (700 ms); one
	// that was not looked for since is not missing, but for four times as long.
	Linger time.Duration
	// Smoothing is the time constant of the exponential smoothing (300 ms):
	// after that long a new answer has 63 % of the weight. Below 0: none.
	Smoothing time.Duration
	// MinConfidence is what a label needs to be given at all (0.5).
	MinConfidence float32
	// Hysteresis is how far a given label may sink below MinConfidence, or
	// behind another label, before it is taken back (0.08). Below 0: none.
	Hysteresis float32
	// Dwell is how long another answer has to hold before it is given
	// (250 ms). Below 0: none.
	Dwell time.Duration
	// Fresh is how long the last good picture of a face serves (1 s); after
	// that all its heads are uncertain.
	Fresh time.Duration
	// MaxFaces is how many faces are followed at once (8), candidates apart.
	MaxFaces int
	// Reach is how far a face may move between two frames, in widths of its
	// box, when its boxes do not overlap (0.6).
	Reach float64
	Gates Gates
}

func (o Options) defaults() Options {
	number(&o.Confirm, 3)
	number(&o.Window, max(5, o.Confirm))
	number(&o.Linger, 700*time.Millisecond)
	number(&o.Smoothing, 300*time.Millisecond)
	number(&o.MinConfidence, 0.5)
	number(&o.Hysteresis, 0.08)
	number(&o.Dwell, 250*time.Millisecond)
	number(&o.Fresh, time.Second)
	number(&o.MaxFaces, 8)
	number(&o.Reach, 0.6)
	o.Hysteresis = max(o.Hysteresis, 0)
	o.Gates = o.Gates.defaults()
	return o
}

func number[T int | time.Duration | float32 | float64](p *T, d T) {
	if *p == 0 {
		*p = d
	}
}

func (o *Options) check() error {
	switch {
	case o.Confirm < 1 || o.Window > 64 || o.Confirm > o.Window:
		return fmt.Errorf("track: a face must be seen in %d of %d frames; that has to be between 1 of 1 and 64 of 64", o.Confirm, o.Window)
	case o.MinConfidence <= 0 || o.MinConfidence > 1 || o.Hysteresis >= o.MinConfidence:
		return fmt.Errorf("track: least confidence %v with hysteresis %v; the first has to be in (0, 1], the second below it", o.MinConfidence, o.Hysteresis)
	case o.Linger < 0 || o.Fresh < 0 || o.MaxFaces < 1 || o.Reach < 0 || !(o.MinScore >= 0):
		return fmt.Errorf("track: linger %v, fresh %v, %d faces, reach %v, least score %v: none may be below zero", o.Linger, o.Fresh, o.MaxFaces, o.Reach, o.MinScore)
	}
	return nil
}

// State is what is believed about one head of one face.
type State struct {
	P          []float32 // smoothed, calibrated probability of each label
	Label      int       // the answer given, or Uncertain
	Confidence float32   // P of Label; of the likeliest label while uncertain
	Since      time.Time // when this answer was first given
	// Of a head that measures: the mean over P, and its standard deviation. Label
	// is the step next to it, and follows it once it is three quarters of a step
	// away; Confidence is the probability of a step's breadth about the mean.
	Value, Deviation float64
	candidate        int       // what the hysteresis would answer now
	pending          time.Time // since when
	scored           bool
}

// Track is one face over time. Tracks returns pointers into the Tracker's own
// memory: read them, and copy what has to outlive the next Associate.
type Track struct {
	ID      uint64 // counts from 1 and is never used twice
	Box     image.Rectangle
	Since   time.Time // first seen
	Seen    time.Time // last seen
	Visible bool      // in the frame at hand
	Quality Quality   // of the last picture judged
	Problem Problem   // why the last picture was not believed; Unclear or Stale when all pictures were good
	Heads   []State   // in the order of the Spec

	confirmed bool
	history   uint64    // one bit a frame, the newest lowest: seen
	evidence  uint64    // likewise: the sighting counts towards Options.Confirm
	sure      time.Time // when the score last sufficed to be kept
	sought    bool      // it was looked for since
	good      time.Time
	used      bool
}

// Confirmed says whether the face has been seen often enough to count.
func (t *Track) Confirmed() bool { return t.confirmed }

// Kind is what happened to a track.
type Kind uint8

// The three events of a track's life.
const (
	Begin  Kind = iota // confirmed: seen in k of n frames, and believed to be a face
	Update             // the answer of at least one head changed
	End                // not seen for Options.Linger
)

func (k Kind) String() string { return [...]string{"begin", "update", "end"}[k%3] }

// Event is news about a track. Track stays valid until the next Associate.
type Event struct {
	Kind  Kind
	Track *Track
}

// Tracker follows faces. See New.
type Tracker struct {
	o           Options
	temperature []float32
	scales      [][]float64 // of heads that measure
	slots       []Track     // fixed memory: followed faces and candidates
	order       []*Track
	events      []Event
	matched     []*Track // track of each detection of the frame
	scratch     []float32
	now         time.Time
	last        uint64 // ID given last
}

// New returns a tracker for the answers of a model as spec describes it.
func New(spec *model.Spec, o Options) (*Tracker, error) {
	o = o.defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &Tracker{o: o, temperature: make([]float32, len(spec.Heads)), scales: make([][]float64, len(spec.Heads))}
	widest := 0
	for i, h := range spec.Heads {
		t.temperature[i] = 1
		if i < len(spec.Card.Temperature) {
			t.temperature[i] = spec.Card.Temperature[i]
		}
		if h.Measures() {
			t.scales[i] = h.Values()
		}
		widest = max(widest, len(h.Labels))
	}
	t.scratch = make([]float32, widest)
	// As many candidates again as faces: a false detection must not be able to
	// keep a face out.
	t.slots = make([]Track, 2*o.MaxFaces)
	for i := range t.slots {
		heads := make([]State, len(spec.Heads))
		for k, h := range spec.Heads {
			heads[k].P = make([]float32, len(h.Labels))
		}
		t.slots[i].Heads = heads
	}
	t.order = make([]*Track, 0, len(t.slots))
	t.events = make([]Event, 0, 2*len(t.slots))
	t.matched = make([]*Track, 0, 64)
	return t, nil
}

// Associate begins the frame taken at now. The returned slice has one track
// for each detection, nil for those that there is no room for; it and the
// tracks of earlier events are valid until the next Associate. A clock that
// goes back is taken to stand still.
func (t *Tracker) Associate(now time.Time, found []Found) []*Track {
	return t.AssociateWhere(now, found, nil)
}

// AssociateWhere is Associate for a finder that looked at a part of the frame:
// looked says whether it would have seen a face of that box. A face that nobody
// looked for was not missed: such a frame is none of the Window's. A nil looked
// is everywhere.
func (t *Tracker) AssociateWhere(now time.Time, found []Found, looked func(image.Rectangle) bool) []*Track {
	if t.now.IsZero() || now.After(t.now) {
		t.now = now
	}
	t.events = t.events[:0]
	for _, tr := range t.order {
		tr.Visible = false
	}
	t.matched = t.matched[:0]
	for range found {
		t.matched = append(t.matched, nil)
	}
	t.pair(found)
	for _, tr := range t.order {
		if tr.Visible || looked == nil || looked(tr.Box) {
			tr.history <<= 1
			tr.evidence <<= 1
			tr.sought = true
		}
	}
	for i := range found {
		if t.matched[i] == nil {
			t.matched[i] = t.begin()
		}
		if tr := t.matched[i]; tr != nil {
			tr.see(t.now, found[i].Box)
			if found[i].Score >= t.o.MinScore {
				tr.evidence |= 1
			}
			if 2*found[i].Score >= t.o.MinScore {
				tr.sure, tr.sought = t.now, false
			}
		}
	}
	return t.matched
}

// pair joins detections to the tracks there are, closest pair first. With a
// handful of faces that differs from the optimal assignment only when two
// faces are nearer to each other than to themselves a frame ago.
func (t *Tracker) pair(found []Found) {
	for {
		var best float64
		var who *Track
		which := 0
		for _, tr := range t.order {
			if tr.Visible {
				continue
			}
			for i := range found {
				if t.matched[i] != nil {
					continue
				}
				a := affinity(tr.Box, found[i].Box, t.o.Reach)
				if tr.confirmed && a > 0 {
					a++ // a face that counts goes before a candidate
				}
				if a > best {
					best, who, which = a, tr, i
				}
			}
		}
		if who == nil {
			return
		}
		who.Visible = true
		t.matched[which] = who
	}
}

// affinity is above 0 for two boxes that may be the same face: intersection
// over union, plus how near the centres are as a share of the reach. Boxes of
// which one is more than twice as wide as the other never match.
func affinity(a, b image.Rectangle, reach float64) float64 {
	wa, wb := float64(a.Dx()), float64(b.Dx())
	if wa <= 0 || wb <= 0 || wa > 2*wb || wb > 2*wa {
		return 0
	}
	dx := float64(a.Min.X+a.Max.X-b.Min.X-b.Max.X) / 2
	dy := float64(a.Min.Y+a.Max.Y-b.Min.Y-b.Max.Y) / 2
	near := 1 - math.Hypot(dx, dy)/(reach*(wa+wb)/2)
	inter := a.Intersect(b)
	both := float64(inter.Dx()) * float64(inter.Dy())
	iou := both / (wa*float64(a.Dy()) + wb*float64(b.Dy()) - both)
	if near <= 0 && iou < 0.2 {
		return 0
	}
	return iou + max(near, 0)
}

// begin takes a free slot for a new candidate, or returns nil.
func (t *Tracker) begin() *Track {
	for i := range t.slots {
		tr := &t.slots[i]
		if tr.used {
			continue
		}
		heads := tr.Heads
		for k := range heads {
			heads[k] = State{P: heads[k].P, Label: Uncertain, Since: t.now, candidate: Uncertain, pending: t.now}
			clear(heads[k].P)
		}
		*tr = Track{Heads: heads, Since: t.now, Problem: Stale, used: true}
		t.order = append(t.order, tr)
		return tr
	}
	return nil
}

func (tr *Track) see(now time.Time, box image.Rectangle) {
	tr.Box, tr.Seen, tr.Visible = box, now, true
	tr.history |= 1
}

// Score gives the model's answer about detection i of the frame and the
// quality of the picture that it saw. A picture that fails a gate changes
// nothing but Quality and Problem. s is left as it is.
func (t *Tracker) Score(i int, q Quality, s *model.Scores) {
	if i < 0 || i >= len(t.matched) || t.matched[i] == nil {
		return
	}
	tr := t.matched[i]
	tr.Quality, tr.Problem = q, t.o.Gates.check(q)
	if t.o.MinScore > 0 && (tr.Problem == Flat || tr.Problem == Blurred) {
		tr.evidence &^= 1
	}
	if tr.Problem != Fine || len(s.Heads) != len(tr.Heads) {
		return
	}
	keep := 0.0 // weight of what was believed before
	if !tr.good.IsZero() && t.o.Smoothing > 0 {
		keep = math.Exp(-t.now.Sub(tr.good).Seconds() / t.o.Smoothing.Seconds())
	}
	for k := range tr.Heads {
		if t.smooth(&tr.Heads[k], s.Heads[k], t.temperature[k], float32(keep)) {
			tr.good = t.now
		}
	}
}

// Judge says whether a picture of quality q would be believed, so that the
// caller need not run the model on one that would not.
func (t *Tracker) Judge(q Quality) Problem { return t.o.Gates.check(q) }

// smooth mixes the answer p into h. An answer that is no distribution, which
// a broken model may give, is ignored.
func (t *Tracker) smooth(h *State, p []float32, temperature, keep float32) bool {
	if len(p) != len(h.P) {
		return false
	}
	var sum float32
	for _, v := range p {
		if !(v >= 0) {
			return false
		}
		sum += v
	}
	if !(sum > 0.5 && sum < 2) {
		return false
	}
	fresh := t.scratch[:copy(t.scratch, p)]
	for k := range fresh {
		fresh[k] /= sum // int8 outputs sum to 1 only within their steps
	}
	confidence.Scale(fresh, temperature)
	if !h.scored {
		keep, h.scored = 0, true
	}
	for k, v := range fresh {
		h.P[k] = min(keep*h.P[k]+(1-keep)*v, 1) // rounding may overshoot
	}
	return true
}

// Commit ends the frame: candidates that have been seen often enough begin,
// faces long unseen end, and every head's answer is settled. The events are in
// the order in which the tracks were first seen, and valid until the next
// Associate, as are the tracks.
func (t *Tracker) Commit() []Event {
	followed := 0
	for _, tr := range t.order {
		if tr.confirmed {
			followed++
		}
	}
	kept := t.order[:0]
	for _, tr := range t.order {
		changed := t.settle(tr)
		switch {
		case tr.confirmed && t.now.Sub(tr.sure) > t.o.Linger && (tr.sought || t.now.Sub(tr.sure) > unsought*t.o.Linger):
			t.events = append(t.events, Event{End, tr})
			tr.used = false // begin wipes it, so the event can be read until the next Associate
			continue
		case tr.confirmed && changed:
			t.events = append(t.events, Event{Update, tr})
		case !tr.confirmed && t.count(tr.evidence) >= t.o.Confirm && followed < t.o.MaxFaces:
			followed++
			t.last++
			tr.ID, tr.confirmed = t.last, true
			t.events = append(t.events, Event{Begin, tr})
		case !tr.confirmed && (t.count(tr.history) == 0 || t.now.Sub(tr.Seen) > t.o.Linger):
			tr.used = false
			continue
		}
		kept = append(kept, tr)
	}
	t.order = kept
	return t.events
}

// count counts the frames of the window that have their bit in history.
func (t *Tracker) count(history uint64) int {
	return bits.OnesCount64(history & (1<<t.o.Window - 1))
}

// settle moves every head of tr towards what its probabilities say, and
// reports whether an answer changed.
func (t *Tracker) settle(tr *Track) (changed bool) {
	fresh := !tr.good.IsZero() && t.now.Sub(tr.good) <= t.o.Fresh
	unclear := false
	for k := range tr.Heads {
		h := &tr.Heads[k]
		c := Uncertain
		if fresh && h.scored {
			c = t.choose(h, t.scales[k])
		}
		if c != h.candidate {
			h.candidate, h.pending = c, t.now
		}
		// What is stale is dropped at once: it is no longer an observation.
		if c != h.Label && (!fresh || t.now.Sub(h.pending) >= t.o.Dwell) {
			h.Label, h.Since, changed = c, t.now, true
		}
		if h.Confidence = top(h.P); h.Label != Uncertain {
			h.Confidence = h.P[h.Label]
		}
		if t.scales[k] != nil {
			h.Confidence = about(t.scales[k], h.P, h.Value)
		}
		unclear = unclear || h.Label == Uncertain
	}
	switch {
	case !fresh && tr.Problem == Fine:
		tr.Problem = Stale
	case tr.Problem == Unclear && !unclear:
		tr.Problem = Fine
	case tr.Problem == Fine && unclear:
		tr.Problem = Unclear
	}
	return changed
}

// choose is the hysteresis: the label given is kept while it is not far below
// what it needs nor far behind the likeliest. What measures always has an answer.
func (t *Tracker) choose(h *State, scale []float64) int {
	if scale != nil {
		h.Value, h.Deviation = model.Mean(scale, h.P)
		if l := h.Label; l != Uncertain && math.Abs(h.Value-scale[l]) <= 0.75*(scale[1]-scale[0]) {
			return l
		}
		return model.Nearest(scale, h.Value)
	}
	best := 0
	for k, v := range h.P {
		if v > h.P[best] {
			best = k
		}
	}
	if l := h.Label; l != Uncertain && h.P[l] >= t.o.MinConfidence-t.o.Hysteresis && h.P[best]-h.P[l] <= t.o.Hysteresis {
		return l
	}
	if h.P[best] >= t.o.MinConfidence {
		return best
	}
	return Uncertain
}

// about is the probability of the steps that are at most one from v.
func about(scale []float64, p []float32, v float64) (sum float32) {
	for i, s := range scale {
		if math.Abs(s-v) <= scale[1]-scale[0] {
			sum += p[i]
		}
	}
	return min(sum, 1)
}

func top(p []float32) (v float32) {
	for _, x := range p {
		v = max(v, x)
	}
	return v
}

// Tracks appends the faces that count to dst, in the order in which they were
// first seen. They are valid until the next Associate.
func (t *Tracker) Tracks(dst []*Track) []*Track {
	for _, tr := range t.order {
		if tr.confirmed {
			dst = append(dst, tr)
		}
	}
	return dst
}

// Reset ends everything at once, for instance when the camera was lost: the
// events are the ends of the faces that counted.
func (t *Tracker) Reset() []Event {
	t.events = t.events[:0]
	for _, tr := range t.order {
		tr.used = false
		if tr.Visible = false; tr.confirmed {
			t.events = append(t.events, Event{End, tr})
		}
	}
	t.order, t.matched = t.order[:0], t.matched[:0]
	return t.events
}
