// Package device is the firmware without its hardware: a pipeline from frames
// to readings, tracks and signals, and a supervisor that keeps a camera
// running. What it needs from cameras, models and pins comes in as small
// interfaces; device/cmd/miend wires the real ones by hand.
//
// # Events
//
// Everything that leaves the device is one of four events, in Go and in
// JSON, the same on the terminal's readings.jsonl, the HTTP API and MQTT:
//
//	Reading            what was seen in one frame
//	Track              a face begins, its answers change, it ends
//	signal.Transition  a line of the header changed its level
//	State              the device begins to read, or does not read any more, and why
//
// As lines of JSON each is wrapped with its kind (see Line):
//
//	{"event":"reading","time":"2026-11-23T10:00:00.04Z","seq":7,"width":640,"height":480,
//	 "subject":1,"faces":[{"id":1,"box":{"x":200,"y":90,"w":150,"h":150},"eyes":[[240.1,140.2],[300.9,141]],
//	   "score":31.5,"problem":"fine","heads":[{"head":"emotion","label":"happy","confidence":0.8100,
//	   "probs":{"surprise":0.0200,"fear":0.0100, ...}}]}],
//	 "latency_ms":{"wait":0.4,"detect":9.1,"align":0.1,"predict":8.2,"track":0.01,"signal":0.02,"total":17.9}}
//	{"event":"track","kind":"begin","time":"...","face":{...}}
//	{"event":"transition","time":"...","line":"face","pin":"GPIO17","active":true,"level":1,"reason":"face present"}
//	{"event":"state","time":"...","state":"no camera","ready":false,"reason":"/dev/video0: no such device"}
package device

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
	"time"

	"mien/camera"
	"mien/device/signal"
	"mien/runtime/track"
)

// Reading is what was seen in one frame. The pipeline reuses its memory: an
// observer that keeps one past its call takes a Clone.
type Reading struct {
	Time   time.Time     `json:"time,omitzero"` // when the frame was taken
	Seq    uint64        `json:"seq"`           // of the frame; see camera.Frame
	Width  int           `json:"width"`         // of the frame, pixels
	Height int           `json:"height"`        //
	Faces  []FaceReading `json:"faces"`         // faces that count, in the order of their ids
	// Subject is the id of the face of which everything that can speak of one
	// alone speaks: lines, displays, MQTT's state. It is decided once a frame,
	// by the pipeline. 0 means nobody.
	Subject uint64  `json:"subject"`
	Latency Latency `json:"latency_ms"`
}

// FaceReading is one face and what is believed about it.
type FaceReading struct {
	ID      uint64        `json:"id"` // of the track, from 1, never used twice; 0 in a single picture
	Box     Box           `json:"box"`
	Eyes    *Eyes         `json:"eyes,omitempty"` // nil when they were not found
	Score   float32       `json:"score"`          // the detector's, without unit
	Problem string        `json:"problem"`        // why the last picture of the face was not believed; "unclear": it was, but an answer is uncertain; "fine"
	Heads   []HeadReading `json:"heads"`          // enabled heads, in file-format order
}

// Flaw is what was wrong with the face's last picture; empty when it was
// good, whether or not the model is sure of it.
func (f *FaceReading) Flaw() string {
	if f.Problem == track.Fine.String() || f.Problem == track.Unclear.String() {
		return ""
	}
	return f.Problem
}

// HeadReading is the answer of one head.
type HeadReading struct {
	Name       string  `json:"head"`
	Label      string  `json:"label"`      // empty while uncertain
	Confidence float32 `json:"confidence"` // calibrated probability of Label, or of the likeliest label while uncertain
	Uncertain  bool    `json:"uncertain,omitempty"`
	Probs      Probs   `json:"probs"`
	// Of a head that measures, whose Probs are empty and whose Label is the value
	// with its unit: the value, its standard deviation, and the unit.
	Value     float64 `json:"value,omitempty"`
	Deviation float64 `json:"deviation,omitempty"`
	Unit      string  `json:"unit,omitempty"` // empty for a head of labels
}

// Prob is the probability of one label.
type Prob struct {
	Label string
	P     float32
}

// Probs are the probabilities of a head's labels in file-format order. As
// JSON they are one object, its members in that order.
type Probs []Prob

// Box is a place in a frame, in pixels from its top left corner.
type Box struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// BoxOf converts a rectangle.
func BoxOf(r image.Rectangle) Box { return Box{r.Min.X, r.Min.Y, r.Dx(), r.Dy()} }

// Rect converts back.
func (b Box) Rect() image.Rectangle { return image.Rect(b.X, b.Y, b.X+b.W, b.Y+b.H) }

// Eyes are the centres of two pupils as x, y in pixels: the one at the
// smaller x first.
type Eyes [2][2]float64

// Latency says where the time of one frame went. As JSON it is in
// milliseconds.
type Latency struct {
	Wait    time.Duration // from the picture being taken to the pipeline's start on it
	Detect  time.Duration // finding faces and eyes
	Align   time.Duration // levelling and judging, all faces
	Predict time.Duration // the model, all faces
	Track   time.Duration // identities, smoothing
	Signal  time.Duration // lines written
	Total   time.Duration // from the picture being taken to the last line written
}

// TrackKind is what happened to a face.
type TrackKind string

// The three events of a face's life.
const (
	Begin  TrackKind = "begin"
	Update TrackKind = "update" // the label of at least one head changed
	End    TrackKind = "end"
)

// Track is news about one face. Its memory is reused as a Reading's is.
type Track struct {
	Kind TrackKind   `json:"kind"`
	Time time.Time   `json:"time"`
	Face FaceReading `json:"face"`
}

// Observer is told everything that leaves the pipeline, from the pipeline's
// own goroutine: it returns at once and copies what it keeps. Readings come
// once a frame; tracks and transitions when there are any, before the reading
// of their frame.
type Observer interface {
	Reading(*Reading)
	Track(*Track)
	Transition(signal.Transition)
}

// State is what the device does about reading, and why it does not if it does
// not.
type State struct {
	Time   time.Time    `json:"time"` // since when
	State  signal.State `json:"state"`
	Ready  bool         `json:"ready"`  // State is signal.Reading
	Reason string       `json:"reason"` // in words, with what is wrong in particular
}

// StateObserver is an Observer that is told of states too, when they change.
type StateObserver interface {
	State(State)
}

// Forgetter is an Observer that keeps what it was told, to tell others later.
// When consent is taken back it forgets all of it, and tells nobody; what it is
// told from then on says nothing of anybody. Forget returns at once.
type Forgetter interface {
	Forget()
}

// Observers passes every event to each of its members in turn.
type Observers []Observer

// Reading implements Observer.
func (o Observers) Reading(r *Reading) {
	for _, x := range o {
		x.Reading(r)
	}
}

// Track implements Observer.
func (o Observers) Track(t *Track) {
	for _, x := range o {
		x.Track(t)
	}
}

// Transition implements Observer.
func (o Observers) Transition(t signal.Transition) {
	for _, x := range o {
		x.Transition(t)
	}
}

// State implements StateObserver.
func (o Observers) State(s State) {
	for _, x := range o {
		if x, ok := x.(StateObserver); ok {
			x.State(s)
		}
	}
}

// Forget implements Forgetter.
func (o Observers) Forget() {
	for _, x := range o {
		if x, ok := x.(Forgetter); ok {
			x.Forget()
		}
	}
}

// Health is the state of the whole device, for the status page, metrics and
// doctor. It is a value: Supervisor.Health returns a fresh one.
type Health struct {
	State     signal.State `json:"state"`
	Ready     bool         `json:"ready"`  // State is signal.Reading
	Reason    string       `json:"reason"` // why not ready, or "frames flow"
	Started   time.Time    `json:"started,omitzero"`
	Camera    string       `json:"camera"`
	Engine    string       `json:"engine"`
	Model     string       `json:"model"`
	Heads     []string     `json:"heads"`     // enabled ones
	FrameRate float64      `json:"fps"`       // readings a second, over the last seconds
	Frames    uint64       `json:"frames"`    // frames read since start
	Captured  uint64       `json:"captured"`  // frames that the camera has given since start
	Dropped   uint64       `json:"dropped"`   // frames overwritten by newer ones before anyone read them
	Bad       BadPictures  `json:"bad"`       // pictures of the camera that could not be used
	Restarts  uint64       `json:"restarts"`  // times the camera was opened again
	Renewals  uint64       `json:"renewals"`  // times the model was opened again because it hung
	Consent   string       `json:"consent"`   // "not needed", "given" or "awaited"; awaited means blind
	Preview   bool         `json:"preview"`   // pictures can be seen on the status page
	Throttled string       `json:"throttled"` // why the frame rate is held down, or empty
	Celsius   float64      `json:"celsius,omitempty"`
	// Parts are those that the device can do without and that the
	// configuration asks for.
	Parts []PartHealth `json:"parts"`
}

// BadPictures counts the pictures that a camera gave since start and that could
// not be used, by what was wrong with them; see camera.Fault.
type BadPictures struct {
	Cut         uint64 `json:"cut"`
	Damaged     uint64 `json:"damaged"`
	Unsupported uint64 `json:"unsupported"`
	TooLarge    uint64 `json:"too_large"`
	Last        string `json:"last"` // what was wrong with the last of them, in words
}

func badPictures(d camera.Dropped) BadPictures {
	return BadPictures{d.Counts[camera.Cut], d.Counts[camera.Damaged], d.Counts[camera.Unsupported], d.Counts[camera.TooLarge], d.Last}
}

// PartHealth is the state of a part that the device can do without.
type PartHealth struct {
	Name    string `json:"part"`    // page, mdns, history, mqtt, fleet, webhook, hook, oled, leds, buzzer
	Problem string `json:"problem"` // why it is out of order; empty while it works
}

// Clone returns a copy that shares no memory with r.
func (r *Reading) Clone() *Reading {
	out := *r
	out.Faces = make([]FaceReading, len(r.Faces))
	for i := range r.Faces {
		out.Faces[i] = r.Faces[i].Clone()
	}
	return &out
}

// Clone returns a copy that shares no memory with f.
func (f *FaceReading) Clone() FaceReading {
	out := *f
	if f.Eyes != nil {
		e := *f.Eyes
		out.Eyes = &e
	}
	out.Heads = make([]HeadReading, len(f.Heads))
	for i, h := range f.Heads {
		h.Probs = slices.Clone(h.Probs)
		out.Heads[i] = h
	}
	return out
}

// Clone returns a copy that shares no memory with t.
func (t *Track) Clone() *Track {
	out := *t
	out.Face = t.Face.Clone()
	return &out
}

// SubjectFace returns the face that Subject names, or nil.
func (r *Reading) SubjectFace() *FaceReading {
	for i := range r.Faces {
		if r.Faces[i].ID == r.Subject && r.Subject != 0 {
			return &r.Faces[i]
		}
	}
	return nil
}

// Head returns the answer of the head of that name, or nil.
func (f *FaceReading) Head(name string) *HeadReading {
	for i := range f.Heads {
		if f.Heads[i].Name == name {
			return &f.Heads[i]
		}
	}
	return nil
}

// Line returns an event, a *Reading, *Track, signal.Transition, State or Health, as
// one line of JSON with its kind in the member "event" and a newline at the
// end.
func Line(event any) ([]byte, error) {
	var kind string
	switch event.(type) {
	case *Reading:
		kind = "reading"
	case *Track:
		kind = "track"
	case signal.Transition:
		kind = "transition"
	case State:
		kind = "state"
	case Health:
		kind = "health"
	default:
		return nil, fmt.Errorf("device: %T is no event", event)
	}
	b, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("device: %s as JSON: %w", kind, err)
	}
	out := append([]byte(`{"event":"`+kind+`",`), b[1:]...)
	return append(out, '\n'), nil
}

// MarshalJSON writes one object, labels in order, four decimals.
func (p Probs) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, x := range p {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(x.Label)
		if err != nil {
			return nil, err
		}
		b = append(append(b, key...), ':')
		b = append(b, probability(x.P)...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes and keeps the order.
func (p *Probs) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("device: probabilities have to be a JSON object, got %.20s", b)
	}
	*p = (*p)[:0]
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var v float32
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("device: probability of %v: %w", key, err)
		}
		*p = append(*p, Prob{key.(string), v})
	}
	return nil
}

// MarshalJSON writes pixels to a tenth.
func (e Eyes) MarshalJSON() ([]byte, error) {
	type plain Eyes // without this method
	for i := range e {
		for k := range e[i] {
			e[i][k] = math.Round(10*e[i][k]) / 10
		}
	}
	return json.Marshal(plain(e))
}

// MarshalJSON writes the confidence with the decimals of Probs.
func (h HeadReading) MarshalJSON() ([]byte, error) {
	var value, deviation *float64
	if h.Unit != "" && !h.Uncertain {
		v, d := significant(h.Value), significant(h.Deviation)
		value, deviation = &v, &d
	}
	return json.Marshal(struct {
		Name       string      `json:"head"`
		Label      string      `json:"label"`
		Confidence json.Number `json:"confidence"`
		Uncertain  bool        `json:"uncertain,omitempty"`
		Probs      Probs       `json:"probs"`
		Value      *float64    `json:"value,omitempty"`
		Deviation  *float64    `json:"deviation,omitempty"`
		Unit       string      `json:"unit,omitempty"`
	}{h.Name, h.Label, json.Number(probability(h.Confidence)), h.Uncertain, h.Probs, value, deviation, h.Unit})
}

// significant rounds a number to four digits, which is more than a model tells.
func significant(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return r
}

// probability is p as JSON has it everywhere: four decimals.
func probability(p float32) string { return strconv.FormatFloat(float64(p), 'f', 4, 32) }

// millis is Latency as JSON has it.
type millis struct {
	Wait    float64 `json:"wait"`
	Detect  float64 `json:"detect"`
	Align   float64 `json:"align"`
	Predict float64 `json:"predict"`
	Track   float64 `json:"track"`
	Signal  float64 `json:"signal"`
	Total   float64 `json:"total"`
}

// MarshalJSON writes milliseconds with three decimals.
func (l Latency) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(millis{ms(l.Wait), ms(l.Detect), ms(l.Align), ms(l.Predict), ms(l.Track), ms(l.Signal), ms(l.Total)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Latency) UnmarshalJSON(b []byte) error {
	var m millis
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	d := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	*l = Latency{d(m.Wait), d(m.Detect), d(m.Align), d(m.Predict), d(m.Track), d(m.Signal), d(m.Total)}
	return nil
}
