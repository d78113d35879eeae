package signal

import (
	"time"

	"mien/runtime/model"
)

// Seen is what one frame says about the face that drives the lines.
type Seen struct {
	Face   bool  // a face is present
	Labels []int // for each head given to New: the label's index, below 0 while uncertain
}

// Machine is the contract. Tell it of frames, readings and faults, and call
// Tick no later than Next says; each returns the lines that change, in the
// order in which they have to be written, and Written says when they were;
// Failed and Settled say of a wire that does not, or does again, follow.
// The returned slice is valid until the next call. A Machine in use allocates
// nothing and serves one goroutine.
type Machine struct {
	o      Options
	lines  []line
	labels []line // is_<label>; head and label say which
	heads  []model.Head
	shown  int // the head that the code lines show, or -1

	now         time.Time
	frame, read time.Time // the last of each
	pace        Pace
	state       State  // of fault
	fault       string // why nothing is read, or empty
	closed      bool
	raw         bool // Seen.Face of the last reading
	rawSince    time.Time
	answer      []int // labels of the last reading that had a face
	code        int
	coded       time.Time // when code changed last
	owed        bool      // code has not been strobed since it changed, or since ready rose
	why         string    // reason of the change at hand
	out         []Transition
}

type line struct {
	name, pin   string
	wired, low  bool
	active      bool
	astray      string // why the wire does not carry what active says; empty: it does
	since       time.Time
	head, label int
}

// Positions in Machine.lines.
const (
	ready = iota
	heartbeat
	face
	code0
	code1
	code2
	strobe
)

// New returns the contract's machine, every line inactive, for the heads that
// are enabled. Its lines stay inactive until the first reading.
func New(heads []model.Head, o Options) (*Machine, error) {
	o = o.Defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	wires, err := wire(heads, o.Wires)
	if err != nil {
		return nil, err
	}
	shown, err := o.Coded(heads)
	if err != nil {
		return nil, err
	}
	m := &Machine{o: o, heads: heads, shown: shown, answer: make([]int, len(heads)), state: Starting, fault: "not started"}
	add := func(to *[]line, name string, head, label int) {
		w, ok := wires[name]
		*to = append(*to, line{name: name, pin: w.Pin, low: w.Low, wired: ok, head: head, label: label})
	}
	for _, name := range Lines(nil) {
		add(&m.lines, name, -1, -1)
	}
	for i, h := range heads {
		if h.Measures() {
			continue
		}
		for k, l := range h.Labels {
			if name := LabelLine(heads, h, l); wires[name].Line != "" {
				add(&m.labels, name, i, k)
			}
		}
	}
	m.out = make([]Transition, 0, 2*(len(m.lines)+len(m.labels)))
	m.forget()
	return m, nil
}

// Frame tells the machine that the camera gave a frame.
func (m *Machine) Frame(now time.Time) []Transition {
	m.begin(now)
	m.frame = m.now
	m.pace.Frame(m.now)
	m.advance()
	return m.out
}

// Update tells the machine what was read from a frame. It ends a fault.
func (m *Machine) Update(now time.Time, s Seen) []Transition {
	m.begin(now)
	m.read, m.fault = m.now, ""
	if s.Face != m.raw {
		m.raw, m.rawSince = s.Face, m.now
	}
	if s.Face {
		for i := range m.answer {
			m.answer[i] = -1
			if i < len(s.Labels) {
				m.answer[i] = s.Labels[i]
			}
		}
	}
	m.advance()
	return m.out
}

// Fault tells the machine that the camera is lost, and why; see Blind.
func (m *Machine) Fault(now time.Time, why string) []Transition {
	return m.Blind(now, NoCamera, why)
}

// Blind tells the machine that nothing is read, and why: in a state, and in
// words. ready drops at once; the next Update ends it.
func (m *Machine) Blind(now time.Time, s State, why string) []Transition {
	m.begin(now)
	m.state, m.fault = s, why
	m.advance()
	return m.out
}

// Failed tells the machine that the wire of a line could not be written, and
// why: what it carries is not known. ready drops, and nothing rises, until
// Settled.
func (m *Machine) Failed(name, why string) {
	if l := m.line(name); l != nil {
		l.astray = why
	}
}

// Settled tells the machine that the wire of a line carries since now what it
// should.
func (m *Machine) Settled(name string, now time.Time) {
	l := m.line(name)
	if l == nil || l.astray == "" {
		return
	}
	l.astray = ""
	if now.After(l.since) {
		l.since = now
	}
	if l.since.After(m.coded) && l.code() {
		m.coded = l.since
	}
}

func (m *Machine) line(name string) *line {
	for _, ls := range [2][]line{m.lines, m.labels} {
		for i := range ls {
			if ls[i].name == name {
				return &ls[i]
			}
		}
	}
	return nil
}

func (l *line) code() bool { return l.name == "code0" || l.name == "code1" || l.name == "code2" }

// Close begins the end: as Fault, but for good. Tick on until Safe.
func (m *Machine) Close(now time.Time) []Transition {
	m.begin(now)
	m.closed = true
	m.advance()
	return m.out
}

// Tick does what is due at now.
func (m *Machine) Tick(now time.Time) []Transition {
	m.begin(now)
	m.advance()
	return m.out
}

// Written tells the machine when the transitions that it returned last were on
// their pins. Writing takes time, and what the contract promises holds on the
// wire: setup, pulse and holds count from there. m.now stays, or a deadline that
// passed during the writing would never be due.
func (m *Machine) Written(now time.Time) {
	if !now.After(m.now) {
		return
	}
	for _, ls := range [2][]line{m.lines, m.labels} {
		for i := range ls {
			if ls[i].since.Equal(m.now) {
				ls[i].since = now
			}
		}
	}
	if m.coded.Equal(m.now) {
		m.coded = now
	}
}

// Safe reports whether every line is at its safe level.
func (m *Machine) Safe() bool {
	for _, ls := range [2][]line{m.lines, m.labels} {
		for i := range ls {
			if ls[i].active {
				return false
			}
		}
	}
	return true
}

// Ready reports the state of the line ready, and why it is not active.
func (m *Machine) Ready() (bool, string) {
	_, why := m.trouble()
	return m.lines[ready].active, why
}

// State returns the state of the device, and why it is in it. In Reading
// alone is ready active; in others it may be so until its hold is over.
func (m *Machine) State() (State, string) {
	switch s, why := m.trouble(); {
	case s != "":
		return s, why
	case !m.lines[ready].active:
		return Starting, "frames flow; ready is about to rise"
	}
	return Reading, "frames flow"
}

// Snapshot appends the wired lines as they stand.
func (m *Machine) Snapshot(to []Line) []Line {
	for _, ls := range [2][]line{m.lines, m.labels} {
		for i := range ls {
			if l := &ls[i]; l.wired {
				to = append(to, Line{Name: l.name, Pin: l.pin, Active: l.active, Level: l.level(), Since: l.since, Fault: l.astray})
			}
		}
	}
	return to
}

// Next returns when Tick is due at the latest; the zero time means that
// nothing is.
func (m *Machine) Next() time.Time {
	var next time.Time
	at := func(t time.Time, d time.Duration) {
		if t.IsZero() {
			return
		}
		if t = t.Add(d); t.After(m.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	at(m.frame, m.patience())
	if m.fault == "" {
		at(m.read, m.hang())
	}
	at(m.rawSince, m.o.OnDelay)
	at(m.rawSince, m.o.OffDelay)
	at(m.lines[ready].since, m.o.MinHold)
	at(m.lines[ready].since, m.o.Setup)
	at(m.lines[heartbeat].since, Beat)
	at(m.lines[face].since, m.o.MinHold)
	at(m.coded, m.o.Setup)
	at(m.coded, m.o.MinHold)
	at(m.lines[strobe].since, m.o.Pulse)
	at(m.lines[strobe].since, m.o.Setup)
	for i := range m.labels {
		at(m.labels[i].since, m.o.MinHold)
	}
	return next
}

func (m *Machine) begin(now time.Time) {
	m.out = m.out[:0]
	if now.After(m.now) { // a clock that goes back stands still
		m.now = now
	}
	m.stall()
}

// stall turns silence into a fault. It runs before anything new is taken in,
// so that a long gap is seen even when nobody called Tick during it.
func (m *Machine) stall() {
	switch {
	case m.fault != "":
	case m.now.Sub(m.frame) >= m.patience():
		m.state, m.fault = NoCamera, "no frames from the camera"
	case m.now.Sub(m.read) >= m.hang():
		m.state, m.fault = Hung, "the pipeline hangs"
	}
	if m.fault != "" {
		m.advance()
	}
}

// patience is how long no frame may come: Options.Stall, and with a slow camera
// two and a half times as long as it takes from one frame to the next.
func (m *Machine) patience() time.Duration { return max(m.o.Stall, m.pace.Gap()*5/2) }

// hang is how long no reading may come, which is not before there is a frame.
func (m *Machine) hang() time.Duration { return max(m.o.Hang, m.patience()) }

// trouble says why ready has to be inactive; nothing when it has not.
func (m *Machine) trouble() (State, string) {
	switch {
	case m.closed:
		return Stopped, "exit"
	case m.fault != "":
		return m.state, m.fault
	case m.frame.IsZero() || m.now.Sub(m.frame) >= m.patience():
		return NoCamera, "no frames from the camera"
	}
	for _, ls := range [2][]line{m.lines, m.labels} {
		for i := range ls {
			if ls[i].astray != "" {
				return WireFault, ls[i].astray
			}
		}
	}
	return "", ""
}

// short is why ready has to be inactive in a few words.
func (m *Machine) short() string {
	if s, _ := m.trouble(); s != "" {
		return s.Meaning().Title
	}
	return ""
}

// advance brings every line as far as its hold allows. ready goes first: it
// is what says that the others mean something.
func (m *Machine) advance() {
	_, trouble := m.trouble()
	m.why = m.short()
	m.setReady(trouble == "")
	m.setHeartbeat(trouble == "")
	live := m.lines[ready].active
	if live && trouble != "" {
		m.setCodes(m.code) // frozen, but a pulse ends in time
		return
	}
	m.setFace(live)
	m.setLabels(live)
	want := 0
	if live && m.lines[face].active && m.shown >= 0 && m.answer[m.shown] >= 0 {
		want = m.answer[m.shown] + 1
	}
	m.reason(live, want > 0, "answer", "no answer")
	m.setCodes(want)
}

func (m *Machine) reason(live, on bool, yes, no string) {
	switch _, trouble := m.trouble(); {
	case !live && trouble != "":
		m.why = m.short()
	case on:
		m.why = yes
	default:
		m.why = no
	}
}

// setReady lets ready go down before its hold is over when the camera has
// been silent for longer than patience, or did not reach its wire. It rises on a frame alone, so that it is
// active for at least the shorter of the two.
func (m *Machine) setReady(healthy bool) {
	r := &m.lines[ready]
	if !r.active && !m.frame.Equal(m.now) {
		return
	}
	hold := m.o.MinHold
	if r.active && (m.now.Sub(m.frame) >= m.patience() || r.astray != "") {
		hold = 0
	}
	if healthy {
		m.why = "frames flow"
	}
	if !m.set(r, healthy, hold) {
		return
	}
	m.owed = r.active
	if !r.active {
		m.forget()
	}
}

// forget drops all that was seen.
func (m *Machine) forget() {
	if m.raw {
		m.raw, m.rawSince = false, m.now
	}
	m.forgetAnswer()
}

func (m *Machine) forgetAnswer() {
	for i := range m.answer {
		m.answer[i] = -1
	}
}

func (m *Machine) setHeartbeat(healthy bool) {
	b := &m.lines[heartbeat]
	if healthy {
		m.why = "frames flow"
	}
	m.set(b, healthy && !b.active, Beat)
}

func (m *Machine) setFace(live bool) {
	f := &m.lines[face]
	on, quiet := f.active, m.now.Sub(m.rawSince)
	switch {
	case !live:
		on = false
	case m.raw && quiet >= m.o.OnDelay:
		on = true
	case !m.raw && quiet >= m.o.OffDelay:
		on = false
	}
	m.reason(live, on, "face present", "face gone")
	if m.set(f, on, m.o.MinHold) && !f.active {
		m.forgetAnswer()
	}
}

// setLabels moves the is_<label> lines. Those of one head break before they
// make: at no time are two of them active.
func (m *Machine) setLabels(live bool) {
	live = live && m.lines[face].active
	for i := range m.labels {
		if l := &m.labels[i]; !live || m.answer[l.head] != l.label {
			m.reason(live, false, "", "answer changed")
			m.set(l, false, m.o.MinHold)
		}
	}
	for i := range m.labels {
		if l := &m.labels[i]; live && m.answer[l.head] == l.label && !m.busy(l.head, i) {
			m.why = "answer"
			m.set(l, true, m.o.MinHold)
		}
	}
}

// busy reports whether a line of head other than number i is active.
func (m *Machine) busy(head, i int) bool {
	for k := range m.labels {
		if k != i && m.labels[k].head == head && m.labels[k].active {
			return true
		}
	}
	return false
}

// setCodes runs the hand-shake of the code lines: change, Setup, strobe for
// Pulse, Setup, and only then the next change.
func (m *Machine) setCodes(want int) {
	s, r := &m.lines[strobe], &m.lines[ready]
	quiet := m.now.Sub(s.since)
	if s.active {
		m.why = "pulse over"
		m.set(s, false, m.o.Pulse)
		return
	}
	if !r.active {
		m.owed = false
	}
	if quiet < m.o.Setup {
		return
	}
	if s.astray != "" { // it may still be active
		return
	}
	if m.owed {
		if m.now.Sub(m.coded) >= m.o.Setup && m.now.Sub(r.since) >= m.o.Setup && m.codeOnWire() {
			m.owed, m.why = false, "code stable"
			m.set(s, true, 0)
		}
		return
	}
	if want == m.code || m.now.Sub(m.coded) < m.o.MinHold {
		return
	}
	m.code, m.coded, m.owed = want, m.now, r.active
	for bit := range 3 {
		m.set(&m.lines[code0+bit], want>>bit&1 == 1, 0)
	}
}

// codeOnWire reports whether the code lines carry the code.
func (m *Machine) codeOnWire() bool {
	return m.lines[code0].astray == "" && m.lines[code1].astray == "" && m.lines[code2].astray == ""
}

// set changes l when it is not so already and has held for long enough, and
// reports whether it did.
func (m *Machine) set(l *line, active bool, hold time.Duration) bool {
	if l.active == active || !l.since.IsZero() && m.now.Sub(l.since) < hold {
		return false
	}
	l.active, l.since = active, m.now
	if l.wired {
		m.out = append(m.out, Transition{Time: m.now, Line: l.name, Pin: l.pin, Active: active, Level: l.level(), Reason: m.why})
	}
	return true
}

func (l *line) level() int {
	if l.active != l.low {
		return 1
	}
	return 0
}

// Adopt takes over the state of old, which serves no more: lines that both
// have stand as they stood, a label line that is new is inactive. What their
// wires carry is for the caller to say again.
func (m *Machine) Adopt(old *Machine) {
	m.now, m.frame, m.pace, m.read, m.state, m.fault, m.closed = old.now, old.frame, old.pace, old.read, old.state, old.fault, old.closed
	m.raw, m.rawSince, m.code, m.coded, m.owed = old.raw, old.rawSince, old.code, old.coded, old.owed
	for i := range m.lines {
		m.lines[i].active, m.lines[i].since = old.lines[i].active, old.lines[i].since
	}
	for i := range m.labels {
		for k := range old.labels {
			if m.labels[i].name == old.labels[k].name {
				m.labels[i].active, m.labels[i].since = old.labels[k].active, old.labels[k].since
			}
		}
	}
	for i := range m.heads {
		for k := range old.heads {
			if m.heads[i].Name == old.heads[k].Name {
				m.answer[i] = old.answer[k]
			}
		}
	}
}
