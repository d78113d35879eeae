package device

import (
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mien/camera"
	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/runtime/track"
)

// Faces finds faces; *face.Detector does. One that looks at a part of each frame
// also has Looked(box image.Rectangle) bool, which says whether the last Detect
// would have seen a face in box; one that goes by the time has At(time.Time), which
// is told before Detect when the frame was taken.
type Faces interface {
	Detect(img *image.Gray, faces []face.Face) []face.Face
}

// Lines is told what the face that drives the header looks like; *Outputs is.
type Lines interface {
	Update(now time.Time, s signal.Seen)
}

// PipelineOptions say what to read. The zero value reads nothing: heads are
// named one by one, so that none is ever read by accident.
type PipelineOptions struct {
	Heads []string // enabled heads; others are never looked at, even when the model has them
	Track track.Options
	After uint64 // ids of tracks begin after this one: that of a pipeline before
	// Look is called with each frame and its reading, if set: for the preview
	// and the demo's picture. It must not keep either.
	Look func(*camera.Frame, *Reading)
}

// Pipeline makes readings of frames: faces, identities, answers, lines. It
// serves one goroutine, and in steady use allocates nothing.
type Pipeline struct {
	o       PipelineOptions
	faces   Faces
	model   infer.Model
	tracker *track.Tracker
	lines   Lines
	to      Observer

	heads   []model.Head // enabled, in file-format order
	scores  *model.Scores
	enabled model.Scores // the enabled rows of scores
	crop    image.Gray
	found   []face.Face
	looked  []track.Found
	where   func(image.Rectangle) bool // where the finder looked; nil: everywhere
	at      func(time.Time)            // tells the finder when the frame was taken; nil: it does not ask
	tracks  []*track.Track
	labels  []int
	reading Reading
	news    Track
	room    []FaceReading // memory of reading.Faces and their eyes
	eyes    []Eyes
	last    uint64 // highest id given
	subject uint64 // id of the track that drives the lines, or 0

	turn   atomic.Uint64 // a frame begun in an earlier one is told to nobody
	mu     sync.Mutex    // held while observers are told
	open   []Track       // tracks of which observers know
	heard  Reading       // the reading told last, without its faces
	faced  bool          // it had some
	newest uint64        // highest id told
}

// NewPipeline returns a pipeline that reads with m and tells lines and to,
// either of which may be nil. It fails when the model lacks an enabled head.
func NewPipeline(faces Faces, m infer.Model, lines Lines, to Observer, o PipelineOptions) (*Pipeline, error) {
	spec := m.Spec()
	p := &Pipeline{o: o, faces: faces, model: m, lines: lines, to: to, scores: spec.NewScores()}
	if part, ok := faces.(interface{ Looked(image.Rectangle) bool }); ok {
		p.where = part.Looked
	}
	if timed, ok := faces.(interface{ At(time.Time) }); ok {
		p.at = timed.At
	}
	heads, rows, err := EnabledHeads(spec, o.Heads)
	if err != nil {
		return nil, err
	}
	p.heads = heads
	view := model.Spec{Heads: heads}
	for _, i := range rows {
		p.enabled.Heads = append(p.enabled.Heads, p.scores.Heads[i])
		if i < len(spec.Card.Temperature) {
			view.Card.Temperature = append(view.Card.Temperature, spec.Card.Temperature[i])
		}
	}
	if p.tracker, err = track.New(&view, o.Track); err != nil {
		return nil, err
	}
	p.labels = make([]int, len(heads))
	p.crop = *image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	p.news.Face = p.blank()
	p.room = []FaceReading{} // not nil: JSON has an empty list for nobody
	return p, nil
}

// EnabledHeads returns the heads of spec that are named in enabled, in
// file-format order, and their positions in spec. No name at all enables every
// head but those that are never read unless they are named.
func EnabledHeads(spec *model.Spec, enabled []string) (heads []model.Head, rows []int, err error) {
	want := map[string]bool{}
	for _, name := range enabled {
		if spec.Index(name) < 0 {
			var has []string
			for _, h := range spec.Heads {
				has = append(has, h.Name)
			}
			return nil, nil, fmt.Errorf("device: head %q is enabled, but the model does not contain it (it has %s)", name, strings.Join(has, ", "))
		}
		want[name] = true
	}
	for i, h := range spec.Heads {
		if want[h.Name] || len(enabled) == 0 && !model.Sensitive(h.Name) {
			heads, rows = append(heads, h), append(rows, i)
		}
	}
	if len(heads) == 0 {
		return nil, nil, fmt.Errorf("device: no head is enabled: there is nothing to read")
	}
	return heads, rows, nil
}

// Heads returns the enabled heads.
func (p *Pipeline) Heads() []model.Head { return p.heads }

// Last returns the highest id given to a track.
func (p *Pipeline) Last() uint64 {
	if p == nil {
		return 0
	}
	return max(p.last, p.o.After)
}

// given is Last, of a pipeline that may be at work.
func (p *Pipeline) given() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.newest, p.o.After)
}

// errSilenced is what a frame ends with that was being read when Silence was
// called.
var errSilenced = errors.New("device: the frame was given up")

// Process makes a reading of one frame. Its memory is that of the next.
func (p *Pipeline) Process(f *camera.Frame) (*Reading, error) { return p.process(f, p.turn.Load()) }

func (p *Pipeline) process(f *camera.Frame, turn uint64) (*Reading, error) {
	l := &p.reading.Latency
	*l = Latency{}
	start := time.Now()
	if l.Wait = start.Sub(f.Time); l.Wait < 0 {
		l.Wait = 0
	}
	p.detect(f)
	at := lap(&l.Detect, start)
	matched := p.tracker.AssociateWhere(f.Time, p.looked, p.where)
	lap(&l.Track, at)
	if err := p.judge(f, matched, l); err != nil {
		return nil, err
	}
	at = time.Now()
	events := p.tracker.Commit()
	p.describe(f, matched)
	seen := p.choose()
	at = lap(&l.Track, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn.Load() != turn {
		return nil, errSilenced
	}
	if p.lines != nil {
		p.lines.Update(at, seen)
	}
	at = lap(&l.Signal, at)
	l.Total = l.Wait + at.Sub(start)
	p.tell(events, f.Time)
	p.report(&p.reading)
	if p.o.Look != nil {
		p.o.Look(f, &p.reading)
	}
	return &p.reading, nil
}

// Forget ends all tracks, for instance when the camera was lost or consent
// was taken back. Whoever was told of faces is told that there are none, and
// nothing that was seen stays in memory.
func (p *Pipeline) Forget(now time.Time) {
	p.Silence(now, true)
	p.tracker.Wipe()
	p.wipe()
}

// Silence tells whoever was told of faces that there are none, without
// waiting for the frame that is being read; what is seen on that one is told
// to nobody. With blank the ends of the tracks tell no answers. It may be called from any goroutine; Forget has to follow before the next frame.
func (p *Pipeline) Silence(now time.Time, blank bool) {
	p.turn.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silence(now, blank)
}

// Withdraw is Silence for consent that is taken back: before observers are told
// of the ends, those that keep what they were told forget it.
func (p *Pipeline) Withdraw(now time.Time) {
	p.turn.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.to.(Forgetter); ok {
		f.Forget()
	}
	p.silence(now, true)
}

func (p *Pipeline) silence(now time.Time, blank bool) {
	for i := range p.open {
		t := &p.open[i]
		t.Kind, t.Time = End, now
		if blank {
			t.Face.blank()
		}
		if p.to != nil {
			p.to.Track(t)
		}
		t.Face.blank()
	}
	p.open = p.open[:0]
	if p.faced {
		r := p.heard
		r.Time, r.Faces = now, []FaceReading{}
		p.report(&r)
	}
}

// wipe blackens every picture that the pipeline or what it uses still holds,
// by having them look at nothing, and forgets the answers.
func (p *Pipeline) wipe() {
	clear(p.crop.Pix)
	if f, ok := p.faces.(interface{ Forget() }); ok {
		f.Forget()
	}
	if w, h := p.reading.Width, p.reading.Height; w > 0 && h > 0 {
		p.found = p.faces.Detect(image.NewGray(image.Rect(0, 0, w, h)), p.found[:0])
		_ = p.model.Predict(&p.crop, p.scores) // its answer is of no interest either
	}
	for i := range p.scores.Heads {
		clear(p.scores.Heads[i])
	}
	for i := range p.room {
		p.room[i].blank()
	}
	p.news.Face.blank()
	p.found, p.looked, p.tracks, p.subject = p.found[:0], p.looked[:0], p.tracks[:0], 0
	p.reading.Faces, p.reading.Subject, p.reading.Latency = p.room[:0], 0, Latency{}
}

// report passes a reading on.
func (p *Pipeline) report(r *Reading) {
	p.faced = len(r.Faces) > 0
	p.heard = Reading{Time: r.Time, Seq: r.Seq, Width: r.Width, Height: r.Height}
	if p.to != nil {
		p.to.Reading(r)
	}
}

// Adopt takes over the faces that old follows, which serves no more: they
// keep their ids, and their answers for the heads that both have.
func (p *Pipeline) Adopt(old *Pipeline) {
	old.turn.Add(1)
	old.mu.Lock()
	defer old.mu.Unlock()
	rows := make([]int, len(p.heads))
	for i := range p.heads {
		rows[i] = slices.IndexFunc(old.heads, func(h model.Head) bool { return h.Equal(p.heads[i]) })
	}
	p.tracker.Adopt(old.tracker, rows)
	if d, ok := p.faces.(*face.Detector); ok {
		if before, ok := old.faces.(*face.Detector); ok {
			d.Adopt(before) // or it would search the whole picture first, while a track ends
		}
	}
	p.o.After, p.last, p.newest, p.subject = old.o.After, old.last, old.newest, old.subject
	p.heard, p.faced = old.heard, old.faced
	for i := range old.open {
		t := Track{Face: p.blank()}
		t.Face.ID, t.Face.Box = old.open[i].Face.ID, old.open[i].Face.Box
		for k, row := range rows {
			if row >= 0 {
				t.Face.Heads[k] = old.open[i].Face.Heads[row]
			}
		}
		p.open = append(p.open, t)
	}
}

func (p *Pipeline) detect(f *camera.Frame) {
	if p.at != nil {
		p.at(f.Time)
	}
	p.found = p.faces.Detect(&f.Gray, p.found[:0])
	p.looked = p.looked[:0]
	for i := range p.found {
		x := &p.found[i]
		p.looked = append(p.looked, track.Found{Box: x.Box, Left: track.Point(x.Left), Right: track.Point(x.Right), Eyes: x.Eyes, Score: x.Score})
	}
}

// judge aligns every face and asks the model about those worth asking.
func (p *Pipeline) judge(f *camera.Frame, matched []*track.Track, l *Latency) error {
	for i := range p.found {
		if matched[i] == nil {
			continue
		}
		at := time.Now()
		face.Align(&p.crop, &f.Gray, p.found[i])
		q := track.Measure(p.looked[i], &p.crop)
		at = lap(&l.Align, at)
		if p.tracker.Judge(q) == track.Fine {
			if err := p.model.Predict(&p.crop, p.scores); err != nil {
				return fmt.Errorf("device: frame %d, face at %v: %w", f.Seq, p.found[i].Box, err)
			}
			at = lap(&l.Predict, at)
		}
		p.tracker.Score(i, q, &p.enabled)
		lap(&l.Track, at)
	}
	return nil
}

// describe fills in the reading.
func (p *Pipeline) describe(f *camera.Frame, matched []*track.Track) {
	r := &p.reading
	r.Time, r.Seq, r.Width, r.Height = f.Time, f.Seq, f.Rect.Dx(), f.Rect.Dy()
	p.tracks = p.tracker.Tracks(p.tracks[:0])
	for len(p.room) < len(p.tracks) {
		p.room, p.eyes = append(p.room, p.blank()), append(p.eyes, Eyes{})
	}
	r.Faces = p.room[:len(p.tracks)]
	for i, tr := range p.tracks {
		p.fill(&r.Faces[i], tr)
		for k := range matched {
			if matched[k] == tr {
				p.sighted(&r.Faces[i], &p.found[k], &p.eyes[i])
			}
		}
	}
}

// blank forgets all that is known of a face but its number.
func (f *FaceReading) blank() {
	f.Box, f.Eyes, f.Score, f.Problem = Box{}, nil, 0, track.Stale.String()
	for i := range f.Heads {
		h := &f.Heads[i]
		h.Label, h.Confidence, h.Uncertain, h.Value, h.Deviation = "", 0, true, 0, 0
		for k := range h.Probs {
			h.Probs[k].P = 0
		}
	}
}

// blank is a face with room for every answer.
func (p *Pipeline) blank() FaceReading {
	out := FaceReading{Heads: make([]HeadReading, len(p.heads))}
	for i, h := range p.heads {
		out.Heads[i].Name = h.Name
		if out.Heads[i].Unit = h.Unit; h.Measures() {
			continue
		}
		out.Heads[i].Probs = make(Probs, len(h.Labels))
		for k, l := range h.Labels {
			out.Heads[i].Probs[k].Label = l
		}
	}
	return out
}

func (p *Pipeline) fill(dst *FaceReading, tr *track.Track) {
	p.last = max(p.last, tr.ID+p.o.After)
	dst.ID, dst.Box, dst.Eyes, dst.Score, dst.Problem = tr.ID+p.o.After, BoxOf(tr.Box), nil, 0, tr.Problem.String()
	for i := range tr.Heads {
		s, h := &tr.Heads[i], &dst.Heads[i]
		h.Label, h.Confidence, h.Uncertain = "", s.Confidence, s.Label == track.Uncertain
		if !h.Uncertain {
			h.Label = p.heads[i].Labels[s.Label]
		}
		if p.heads[i].Measures() {
			if h.Value, h.Deviation = s.Value, s.Deviation; !h.Uncertain {
				h.Label = p.heads[i].Text(s.Value)
			}
			continue
		}
		for k, v := range s.P {
			h.Probs[k].P = v
		}
	}
}

// sighted adds what the detector saw in this very frame.
func (p *Pipeline) sighted(dst *FaceReading, f *face.Face, eyes *Eyes) {
	dst.Score = float32(math.Round(100*float64(f.Score)) / 100)
	if f.Eyes {
		*eyes = Eyes{{f.Left.X, f.Left.Y}, {f.Right.X, f.Right.Y}}
		dst.Eyes = eyes
	}
}

// choose decides whose face the lines and every display speak of: that of
// which they spoke so far, until it is gone; then the nearest, which is the
// largest.
func (p *Pipeline) choose() signal.Seen {
	var who *track.Track
	for _, tr := range p.tracks {
		if tr.ID == p.subject {
			who = tr
			break
		}
		if who == nil || tr.Box.Dx() > who.Box.Dx() {
			who = tr
		}
	}
	if who == nil {
		p.subject, p.reading.Subject = 0, 0
		return signal.Seen{}
	}
	p.subject, p.reading.Subject = who.ID, who.ID+p.o.After
	for i := range p.labels {
		p.labels[i] = who.Heads[i].Label
	}
	return signal.Seen{Face: true, Labels: p.labels}
}

// tell passes news of tracks on, and remembers of which ones.
func (p *Pipeline) tell(events []track.Event, now time.Time) {
	for _, e := range events {
		p.news.Kind, p.news.Time = TrackKind(e.Kind.String()), now
		p.fill(&p.news.Face, e.Track)
		p.remember(&p.news)
		if p.to != nil {
			p.to.Track(&p.news)
		}
	}
}

func (p *Pipeline) remember(t *Track) {
	p.newest = max(p.newest, t.Face.ID)
	i := slices.IndexFunc(p.open, func(o Track) bool { return o.Face.ID == t.Face.ID })
	switch {
	case t.Kind == End && i >= 0:
		p.open[i], p.open[len(p.open)-1] = p.open[len(p.open)-1], p.open[i] // its memory serves the next
		p.open = p.open[:len(p.open)-1]
	case t.Kind != End && i < 0:
		p.open = grown(p.open, len(p.open)+1)
		i = len(p.open) - 1
		fallthrough
	case t.Kind != End:
		t.Face.copyInto(&p.open[i].Face)
	}
}

// lap adds the time since at to d and returns the time.
func lap(d *time.Duration, at time.Time) time.Time {
	now := time.Now()
	*d += now.Sub(at)
	return now
}
