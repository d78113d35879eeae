package status

import (
	"context"
	"sync"
	"time"

	"mien/device"
	"mien/device/signal"
)

// Sizes of the buffers. What does not fit pushes out the oldest.
const (
	inboxSize  = 256 // news from the pipeline that have not been encoded yet
	clientSize = 64  // messages that one watcher has not read yet
	pastSize   = 32  // tracks and transitions that a new watcher is told
)

// silence is how long a reading is shown when no other follows.
const silence = 3 * time.Second

// message is one server-sent event, encoded once for all watchers.
type message struct {
	id      uint64
	kind    string
	data    []byte
	passing bool // of no interest to who comes later
	seen    bool // tells of what was seen: not without consent
	epoch   uint64
}

// hub takes news from the pipeline and hands them to the watchers. The
// pipeline's side is a copy under a lock that nobody holds for long; encoding
// and handing on happen in run.
type hub struct {
	o       *Options
	every   time.Duration // between two readings
	started time.Time
	numbers map[string]int // of the pin that carries a GPIO line
	wake    chan struct{}
	scratch device.Reading // the reading that run has in hand
	preview func() bool    // whether pictures can be seen
	expire  func(time.Time)

	in struct {
		sync.Mutex
		reading device.Reading
		fresh   bool
		taken   time.Time      // when the reading came
		stages  device.Latency // sums since start
		frames  uint64
		news    ring[news]
		epoch   uint64            // counts wipes
		tracks  uint64            // that have begun
		changes map[string]uint64 // of each line
	}
	out struct {
		sync.Mutex
		id                    uint64
		info, reading, status message // the last of each, for those who come later
		past                  ring[message]
		faces                 int
		numbers               []number
		clients               map[*client]struct{}
		lost                  uint64 // messages that slow watchers missed
		unencodable           uint64
		epoch                 uint64 // messages of an earlier one are sent to nobody
	}
}

type news struct {
	kind  string
	what  any
	epoch uint64
}

func newHub(o *Options) *hub {
	h := &hub{o: o, every: time.Duration(float64(time.Second) / max(o.Rate, 0.1)), started: time.Now(),
		numbers: map[string]int{}, wake: make(chan struct{}, 1), preview: func() bool { return o.Preview }, expire: func(time.Time) {}}
	for _, p := range o.Info.Header {
		h.numbers[p.Name] = p.Number
	}
	h.in.changes = map[string]uint64{}
	h.in.news.items = make([]news, inboxSize)
	h.out.past.items = make([]message, pastSize)
	h.out.clients = map[*client]struct{}{}
	info := o.Info
	h.out.info = h.encode("info", &info)
	h.out.reading = h.encode("reading", &device.Reading{})
	h.out.status = h.encode("status", &Status{Time: h.started, Health: device.Health{State: signal.Starting, Reason: "starting", Started: h.started, Preview: o.Preview}})
	return h
}

// take copies a reading from the pipeline.
func (h *hub) take(r *device.Reading) {
	h.in.Lock()
	r.CopyInto(&h.in.reading)
	h.in.fresh, h.in.taken = true, time.Now()
	h.in.frames++
	s, l := &h.in.stages, &r.Latency
	s.Wait, s.Detect, s.Align, s.Predict = s.Wait+l.Wait, s.Detect+l.Detect, s.Align+l.Align, s.Predict+l.Predict
	s.Track, s.Signal, s.Total = s.Track+l.Track, s.Signal+l.Signal, s.Total+l.Total
	h.in.Unlock()
	h.nudge()
}

// look asks how the device is.
func (h *hub) look() *Status {
	now := time.Now()
	s := &Status{Time: now, Health: h.health()}
	if s.Health.Started.IsZero() {
		s.Health.Started = h.started
	}
	s.Uptime = max(now.Sub(s.Health.Started).Seconds(), 0)
	if h.o.Lines != nil {
		for _, l := range h.o.Lines() {
			s.Lines = append(s.Lines, Line{l, h.numbers[l.Pin]})
		}
	}
	if h.o.Outbox != nil {
		o := h.o.Outbox()
		s.Outbox = &o
	}
	if h.o.Fleet != nil {
		o := h.o.Fleet()
		s.Fleet = &o
	}
	return s
}

func (h *hub) health() device.Health {
	if h.o.Health == nil {
		return device.Health{State: signal.Starting, Reason: "nobody has said how the device is", Started: h.started, Preview: h.preview()}
	}
	d := h.o.Health()
	if d.State == "" {
		d.State = signal.Starting
		if d.Ready {
			d.State = signal.Reading
		}
	}
	d.Preview = h.preview()
	return d
}

func (h *hub) event(kind string, what any) {
	h.in.Lock()
	switch e := what.(type) {
	case *device.Track:
		if e.Kind == device.Begin {
			h.in.tracks++
		}
	case *signal.Transition:
		h.in.changes[e.Line]++
	}
	h.in.news.push(news{kind, what, h.in.epoch})
	h.in.Unlock()
	h.nudge()
}

func (h *hub) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run hands news on until ctx ends: events at once, readings at their rate,
// the status every second.
func (h *hub) run(ctx context.Context) {
	var next time.Time // when the next reading may go
	timer := time.NewTimer(h.every)
	defer timer.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	h.report()
	defer func() { h.scratch = device.Reading{} }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			h.report()
			continue
		case <-h.wake:
		case <-timer.C:
		}
		now := time.Now()
		switch sent, held := h.pass(!now.Before(next)); {
		case sent:
			next = now.Add(h.every)
		case held:
			timer.Reset(next.Sub(now))
		}
	}
}

func (h *hub) report() {
	h.expire(time.Now())
	h.send(h.encode("status", h.look()))
	h.forget(time.Now())
}

// forget empties the reading when none has come for a while: whoever was in
// view is not known to be there, and without consent is not to be told of.
func (h *hub) forget(now time.Time) {
	h.in.Lock()
	silent := !h.in.taken.IsZero() && now.Sub(h.in.taken) > silence && !h.in.fresh
	if silent {
		h.in.taken = time.Time{}
		h.in.reading = device.Reading{}
	}
	h.in.Unlock()
	if !silent {
		return
	}
	last := h.scratch
	h.scratch = device.Reading{}
	h.out.Lock()
	h.out.faces, h.out.numbers = 0, nil
	h.out.Unlock()
	h.send(h.encode("reading", &device.Reading{Time: last.Time, Seq: last.Seq, Width: last.Width, Height: last.Height}))
}

// pass empties the inbox; a reading goes out only if one is due, and is held
// back otherwise.
func (h *hub) pass(due bool) (sent, held bool) {
	for {
		h.in.Lock()
		n, ok := h.in.news.pop()
		h.in.Unlock()
		if !ok {
			break
		}
		m := h.encode(n.kind, n.what)
		m.seen, m.epoch = n.kind != "state", n.epoch
		if t, ok := n.what.(*signal.Transition); ok {
			m.passing = t.Line == "heartbeat" || t.Line == "strobe"
		}
		h.send(m)
	}
	h.in.Lock()
	fresh, epoch := h.in.fresh, h.in.epoch
	if fresh && due {
		h.in.reading, h.scratch = h.scratch, h.in.reading
		h.in.fresh = false
	}
	h.in.Unlock()
	if !fresh || !due {
		return false, fresh
	}
	m := h.encode("reading", &h.scratch)
	m.seen, m.epoch = true, epoch
	h.out.Lock()
	h.out.faces, h.out.numbers = len(h.scratch.Faces), numbersOf(&h.scratch, h.out.numbers[:0])
	h.out.Unlock()
	h.send(m)
	return true, false
}

// wipe forgets all that was seen, on its way or told, and empties the reading.
func (h *hub) wipe() {
	h.in.Lock()
	h.in.epoch++
	epoch := h.in.epoch
	last := h.in.reading
	h.in.reading, h.in.fresh, h.in.taken = device.Reading{}, false, time.Time{}
	clear(h.in.news.items)
	h.in.news.head, h.in.news.n = 0, 0
	h.in.Unlock()
	empty := h.encode("reading", &device.Reading{Time: last.Time, Seq: last.Seq, Width: last.Width, Height: last.Height})
	h.out.Lock()
	h.out.epoch, h.out.faces, h.out.numbers = epoch, 0, nil
	h.out.reading = message{kind: "reading"}
	clear(h.out.past.items)
	h.out.past.head, h.out.past.n = 0, 0
	for c := range h.out.clients {
		c.wipe()
	}
	h.out.Unlock()
	h.send(empty)
}

func (h *hub) encode(kind string, what any) message {
	b, err := encode(what)
	if err != nil { // a NaN from a broken model: counted, and the watchers go without
		h.out.Lock()
		h.out.unencodable++
		h.out.Unlock()
		return message{}
	}
	return message{kind: kind, data: b}
}

func (h *hub) send(m message) {
	if m.data == nil {
		return
	}
	h.out.Lock()
	defer h.out.Unlock()
	if m.seen && m.epoch != h.out.epoch {
		return // consent was withdrawn in the meantime
	}
	h.out.id++
	m.id = h.out.id
	switch m.kind {
	case "info":
		h.out.info = m
	case "reading":
		h.out.reading = m
	case "status":
		h.out.status = m
	default:
		if !m.passing {
			h.out.past.push(m)
		}
	}
	for c := range h.out.clients {
		if c.push(m) {
			h.out.lost++
		}
	}
}

// latest returns the last of each kind as JSON.
func (h *hub) latest() (info, reading, status []byte) {
	h.out.Lock()
	defer h.out.Unlock()
	return h.out.info.data, h.out.reading.data, h.out.status.data
}

// join adds a watcher, who first gets the state of things, and of what
// happened lately that which came after the message with the id last. It
// returns nil when there are as many as are allowed.
func (h *hub) join(last uint64) *client {
	h.out.Lock()
	defer h.out.Unlock()
	if len(h.out.clients) >= h.o.MaxStreams {
		return nil
	}
	c := &client{wake: make(chan struct{}, 1)}
	c.waiting.items = make([]message, clientSize)
	now := h.out.id
	if last > now {
		last = 0 // from before a restart
	}
	tell := func(m message, id uint64) {
		if m.id = id; m.data != nil {
			c.push(m)
		}
	}
	tell(h.out.info, last)
	for i := range h.out.past.n {
		if m := h.out.past.items[(h.out.past.head+i)%pastSize]; m.id > last {
			tell(m, m.id)
		}
	}
	tell(h.out.status, now)
	tell(h.out.reading, now)
	h.out.clients[c] = struct{}{}
	return c
}

func (h *hub) leave(c *client) {
	h.out.Lock()
	delete(h.out.clients, c)
	h.out.Unlock()
}

// client is one watcher's buffer.
type client struct {
	mu      sync.Mutex
	waiting ring[message]
	lost    uint64
	wake    chan struct{}
}

func (c *client) push(m message) (lost bool) {
	c.mu.Lock()
	lost = c.waiting.push(m)
	if lost {
		c.lost++
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return lost
}

// wipe drops what tells of what was seen.
func (c *client) wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := make([]message, 0, c.waiting.n)
	for {
		m, ok := c.waiting.pop()
		if !ok {
			break
		}
		if !m.seen {
			keep = append(keep, m)
		}
	}
	for _, m := range keep {
		c.waiting.push(m)
	}
}

// take moves what waits to dst, and says how many were lost before it.
func (c *client) take(dst []message) (_ []message, lost uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		m, ok := c.waiting.pop()
		if !ok {
			break
		}
		dst = append(dst, m)
	}
	lost, c.lost = c.lost, 0
	return dst, lost
}

// ring is a queue of fixed size; what is pushed into a full one pushes out
// the oldest.
type ring[T any] struct {
	items   []T
	head, n int
}

func (r *ring[T]) push(v T) (lost bool) {
	if lost = r.n == len(r.items); lost {
		r.head = (r.head + 1) % len(r.items)
		r.n--
	}
	r.items[(r.head+r.n)%len(r.items)] = v
	r.n++
	return lost
}

func (r *ring[T]) pop() (v T, ok bool) {
	if r.n == 0 {
		return v, false
	}
	var none T
	v, r.items[r.head] = r.items[r.head], none
	r.head = (r.head + 1) % len(r.items)
	r.n--
	return v, true
}
