package signal

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mien/runtime/model"
)

// The property test runs the machine against a world of cameras that stall,
// faces that come and go, scores that wander, a clock whose ticks come up to
// 100 ms late and pins that take up to 3 ms to write, and has the transitions judged by a checker that shares
// nothing with the machine but the words of the contract.

const (
	jitter = 100 * time.Millisecond
	slow   = 3 * time.Millisecond
)

// world makes the inputs: a random walk of scores, cut at a confidence.
type world struct {
	r      *rand.Rand
	heads  []model.Head
	score  [][]float64
	face   bool
	labels []int
}

func newWorld(r *rand.Rand, heads []model.Head) *world {
	w := &world{r: r, heads: heads, labels: make([]int, len(heads))}
	for _, h := range heads {
		w.score = append(w.score, make([]float64, len(h.Labels)))
	}
	return w
}

func (w *world) see() Seen {
	if w.r.Float64() < 0.08 {
		w.face = !w.face
	}
	for i := range w.score {
		w.labels[i] = -1
		best := 0.5
		for k := range w.score[i] {
			s := &w.score[i][k]
			*s = min(max(*s+w.r.NormFloat64()*0.15, 0), 1)
			if *s > best {
				best, w.labels[i] = *s, k
			}
		}
	}
	return Seen{w.face, w.labels}
}

// checker knows the contract and nothing of the machine.
type checker struct {
	o         Options
	heads     []model.Head
	low       map[string]bool
	active    map[string]bool
	since     map[string]time.Time
	code      int
	asked     time.Time // when the machine changed the code
	coded     time.Time // when its last line was written
	strobes   int       // since the last code change, or since ready rose
	frame     time.Time
	seen      Seen
	worst     time.Duration // slowest drop of ready after the last frame
	changes   map[string]int
	violation string
}

func (c *checker) fail(tr Transition, format string, args ...any) {
	if c.violation == "" {
		c.violation = fmt.Sprintf("%s %v at %s: ", tr.Line, tr.Active, tr.Time.Format("05.000000")) + fmt.Sprintf(format, args...)
	}
}

// least is the shortest time that line may keep the state it is in.
func (c *checker) least(line string, active bool) time.Duration {
	switch {
	case line == "heartbeat":
		return 500 * time.Millisecond
	case line == "strobe" && active:
		return c.o.Pulse
	case line == "strobe":
		return c.o.Setup
	case line == "ready" && active:
		return min(c.o.MinHold, c.o.Stall)
	}
	return c.o.MinHold
}

// take judges transitions that were written one after the other, the last of
// them late after the machine asked for it.
func (c *checker) take(batch []Transition, late time.Duration) {
	oldCode := c.code
	for i, tr := range batch {
		asked := tr.Time
		tr.Time = asked.Add(late * time.Duration(i+1) / time.Duration(len(batch)))
		c.changes[tr.Line]++
		if c.active[tr.Line] == tr.Active {
			c.fail(tr, "is so already")
		}
		if want := tr.Active != c.low[tr.Line]; (tr.Level == 1) != want {
			c.fail(tr, "level %d with active low %v", tr.Level, c.low[tr.Line])
		}
		if at, ok := c.since[tr.Line]; ok && tr.Time.Sub(at) < c.least(tr.Line, c.active[tr.Line]) {
			c.fail(tr, "held for %v only", tr.Time.Sub(at))
		}
		c.active[tr.Line], c.since[tr.Line] = tr.Active, tr.Time
		if tr.Active && tr.Line != "ready" && tr.Line != "heartbeat" && tr.Line != "strobe" && !c.active["ready"] {
			c.fail(tr, "goes active while ready is not")
		}
		switch tr.Line {
		case "ready":
			if c.strobes = 0; !tr.Active {
				c.worst = max(c.worst, tr.Time.Sub(c.frame))
				if i != 0 && batch[0].Line != "heartbeat" {
					c.fail(tr, "drops after %s, it has to be first", batch[0].Line)
				}
			}
		case "strobe":
			c.strobe(tr)
		case "code0", "code1", "code2":
			c.codeLine(tr, asked)
		case "heartbeat", "face":
			if tr.Line == "face" && tr.Active && !c.seen.Face {
				c.fail(tr, "without a face")
			}
		default:
			c.label(tr)
		}
	}
	if c.code != oldCode {
		c.strobes = 0
		if c.code != 0 && c.seen.Labels[0]+1 != c.code {
			c.fail(batch[len(batch)-1], "code %d while the answer is %d", c.code, c.seen.Labels[0]+1)
		}
	}
}

func (c *checker) strobe(tr Transition) {
	if !tr.Active {
		return
	}
	c.strobes++
	if c.strobes > 1 {
		c.fail(tr, "a second time for one code")
	}
	if !c.active["ready"] {
		c.fail(tr, "while not ready")
	}
	if d := tr.Time.Sub(c.coded); !c.coded.IsZero() && d < c.o.Setup {
		c.fail(tr, "%v after the code changed", d)
	}
}

func (c *checker) codeLine(tr Transition, asked time.Time) {
	if c.active["strobe"] {
		c.fail(tr, "while strobe is active")
	}
	if at, ok := c.since["strobe"]; ok && tr.Time.Sub(at) < c.o.Setup {
		c.fail(tr, "%v after strobe", tr.Time.Sub(at))
	}
	if asked != c.asked {
		if !c.coded.IsZero() && tr.Time.Sub(c.coded) < c.o.MinHold {
			c.fail(tr, "%v after the code before", tr.Time.Sub(c.coded))
		}
		if c.strobes == 0 && c.active["ready"] {
			c.fail(tr, "code %d was never strobed", c.code)
		}
	}
	c.asked, c.coded = asked, tr.Time
	bit := 1 << (tr.Line[4] - '0')
	if c.code &^= bit; tr.Active {
		c.code |= bit
	}
}

func (c *checker) label(tr Transition) {
	if !tr.Active {
		return
	}
	for i, h := range c.heads {
		k := h.Label(tr.Line[len("is_"):])
		if k < 0 {
			continue
		}
		if c.seen.Labels[i] != k {
			c.fail(tr, "while the answer is %d", c.seen.Labels[i])
		}
		for _, other := range h.Labels {
			if line := "is_" + other; line != tr.Line && c.active[line] {
				c.fail(tr, "while %s is active", line)
			}
		}
	}
}

// bench joins the three and moves time.
type bench struct {
	m   *Machine
	w   *world
	c   *checker
	now time.Time
	n   int
}

func newBench(t *testing.T, seed uint64) *bench {
	r := rand.New(rand.NewPCG(seed, 1))
	heads := []model.Head{model.Emotion, model.Age}
	ms := func(lo, hi int) time.Duration { return time.Duration(lo+r.IntN(hi-lo)) * time.Millisecond }
	o := Options{}
	if seed > 0 { // seed 0 proves the defaults
		o = Options{MinHold: ms(1, 600), OnDelay: ms(1, 400), OffDelay: ms(1, 800), Setup: ms(1, 80),
			Pulse: ms(1, 300), Stall: ms(300, 900), Hang: ms(1000, 20000)}
	}
	c := &checker{heads: heads, low: map[string]bool{}, active: map[string]bool{}, since: map[string]time.Time{},
		changes: map[string]int{}, seen: Seen{Labels: []int{-1, -1}}}
	for i, l := range Lines(heads) {
		c.low[l] = r.IntN(2) == 0
		o.Wires = append(o.Wires, Wire{Line: l, Pin: fmt.Sprint("GPIO", i), Low: c.low[l]})
	}
	m, err := New(heads, o)
	if err != nil {
		t.Fatal(err)
	}
	c.o = o.Defaults()
	return &bench{m: m, w: newWorld(r, heads), c: c, now: time.Unix(1_000_000, 0)}
}

// until lets time pass to at, ticking when the machine asks for it, late.
func (b *bench) until(at time.Time) {
	for {
		next := b.m.Next()
		if next.IsZero() {
			break
		}
		if late := time.Duration(b.w.r.Int64N(int64(jitter))); b.w.r.IntN(2) == 0 {
			next = next.Add(late)
		}
		if next.After(at) {
			break
		}
		if next.After(b.now) { // or it was due while pins were written
			b.now = next
		}
		b.call(b.m.Tick(b.now))
	}
	if at.After(b.now) {
		b.now = at
	}
}

func (b *bench) call(out []Transition) {
	b.n++
	if len(out) > 0 {
		late := time.Duration(b.w.r.Int64N(int64(slow)))
		b.c.take(out, late)
		b.now = b.now.Add(late)
		b.m.Written(b.now)
	}
	b.c.safe(b.now)
}

// safe holds the lines to their safe level once ready has been inactive for
// long enough; three ticks may each have been late.
func (c *checker) safe(now time.Time) {
	at, ok := c.since["ready"]
	if limit := max(c.o.MinHold, c.o.Pulse+c.o.Setup) + 3*jitter; !ok || c.active["ready"] || now.Sub(at) <= limit {
		return
	}
	for line, on := range c.active {
		if on && line != "heartbeat" && c.violation == "" {
			c.violation = fmt.Sprintf("%s is active %v after ready dropped", line, now.Sub(at))
		}
	}
}

func (b *bench) frame() {
	b.c.frame = b.now
	b.call(b.m.Frame(b.now))
}

func (b *bench) update(s Seen) {
	// What is uncertain without a face keeps the last answer, so the checker
	// keeps the last that had one.
	b.c.seen.Face = s.Face
	if s.Face {
		b.c.seen.Labels = append(b.c.seen.Labels[:0], s.Labels...)
	}
	b.call(b.m.Update(b.now, s))
}

func (b *bench) step() {
	r := b.w.r
	gap := time.Duration(5+r.IntN(60)) * time.Millisecond
	switch p := r.IntN(1000); {
	case p < 3:
		gap = time.Duration(r.IntN(3000)) * time.Millisecond // stalled camera
	case p < 6:
		b.call(b.m.Fault(b.now, "unplugged"))
	case p < 8:
		b.call(b.m.Tick(b.now.Add(-time.Hour))) // a clock that jumps back
	}
	b.until(b.now.Add(gap))
	b.frame()
	if r.IntN(8) != 0 {
		b.until(b.now.Add(time.Duration(r.IntN(8)) * time.Millisecond))
		b.update(b.w.see())
	}
}

// settle feeds one unchanging reading until everything has to be as it says.
func (b *bench) settle(t *testing.T) {
	s, o := b.w.see(), b.c.o
	for end := b.now.Add(4*o.MinHold + o.OnDelay + o.OffDelay + 4*o.Setup + 2*o.Pulse + 20*jitter); b.now.Before(end); {
		b.until(b.now.Add(20 * time.Millisecond))
		b.frame()
		b.update(s)
	}
	want := map[string]bool{"ready": true, "face": s.Face}
	if s.Face {
		for i, h := range b.c.heads {
			if k := s.Labels[i]; k >= 0 {
				want["is_"+h.Labels[k]] = true
			}
		}
		for bit := range 3 {
			want[fmt.Sprint("code", bit)] = (s.Labels[0]+1)>>bit&1 == 1
		}
	}
	for _, l := range Lines(b.c.heads) {
		if l != "heartbeat" && l != "strobe" && b.c.active[l] != want[l] {
			t.Errorf("a quiet world settles with %s %v, want %v (%+v)", l, b.c.active[l], want[l], s)
		}
	}
	if b.c.strobes != 1 {
		t.Errorf("code %d was strobed %d times", b.c.code, b.c.strobes)
	}
}

func (b *bench) end(t *testing.T) {
	start := b.now
	b.call(b.m.Close(b.now))
	for !b.m.Safe() {
		next := b.m.Next()
		if next.IsZero() {
			t.Fatal("the machine is not safe and has nothing to do")
		}
		if next.After(b.now) {
			b.now = next
		}
		b.call(b.m.Tick(b.now))
	}
	o := b.c.o
	if d, most := b.now.Sub(start), max(o.MinHold+o.Stall, Beat, o.Stall+o.Pulse+o.Setup+o.MinHold); d > most {
		t.Errorf("safe only %v after exit, want %v at most", d, most)
	}
	for l, on := range b.c.active {
		if on {
			t.Errorf("%s is active after exit", l)
		}
	}
}

func TestContractOverRandomWorlds(t *testing.T) {
	const seeds, steps = 24, 14500
	total := 0
	changes := map[string]int{}
	for seed := range uint64(seeds) {
		b := newBench(t, seed)
		for i := range steps {
			b.step()
			if i%500 == 499 {
				b.settle(t)
			}
			if b.c.violation != "" {
				t.Fatalf("seed %d, step %d: %s\noptions %+v", seed, i, b.c.violation, b.c.o)
			}
		}
		b.end(t)
		if b.c.violation != "" {
			t.Fatalf("seed %d, exit: %s", seed, b.c.violation)
		}
		if b.c.worst > time.Second {
			t.Errorf("seed %d: ready dropped %v after the last frame", seed, b.c.worst)
		}
		total += b.n
		for l, n := range b.c.changes {
			changes[l] += n
		}
	}
	for _, l := range Lines([]model.Head{model.Emotion, model.Age}) {
		if changes[l] < 100 {
			t.Errorf("%s changed %d times: the world does not try it", l, changes[l])
		}
	}
	if total < 1_000_000 {
		t.Errorf("%d steps, want a million", total)
	}
	t.Logf("%d steps, %d strobes, ready dropped %d times", total, changes["strobe"]/2, changes["ready"]/2)
}
