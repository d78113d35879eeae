package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
	"mien/device/signal"
)

// View is how all boards of a hub stand, as they tell it. It begins with what is
// kept of the last hour and goes on with what comes.
type View struct {
	home *Home
	stop []func()

	mu      sync.Mutex
	known   map[fleet.ID]*known
	boards  []fleet.ID // that are enrolled
	checked time.Time  // when
}

// known is what a View has of a board.
type known struct {
	Standing
	hour   recent
	lives  [2]string // of the program there, the newest first
	copied time.Time // when a life came back that another had followed
	odd    time.Time // when it said what cannot be read
}

// Watch follows what boards tell a hub until Stop. It returns when it has read what
// is kept of the last hour.
func (h *Home) Watch(ctx context.Context, js jetstream.JetStream) (*View, error) {
	v := &View{home: h, known: map[fleet.ID]*known{}}
	since := time.Now().Add(-bins * binLength)
	err := errors.Join(
		v.follow(ctx, js, fleet.OfHealth, newest, (*known).health),
		v.follow(ctx, js, fleet.OfCounts, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since}, (*known).counted))
	if err != nil {
		v.Stop()
		return nil, err
	}
	return v, nil
}

// newest is from the last that each board said on.
var newest = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}

// follow has take called with what boards say under a name.
func (v *View) follow(ctx context.Context, js jetstream.JetStream, name string, from jetstream.OrderedConsumerConfig, take func(*known, []byte, time.Time) error) error {
	stop, err := follow(ctx, js, name, from, func(id fleet.ID, body []byte, came time.Time) { v.take(id, body, came, take) })
	if err == nil {
		v.stop = append(v.stop, stop)
	}
	return err
}

// follow has take called with what boards say under a name, and when the hub heard it,
// until stop. It returns when what is kept of that has been read.
func follow(ctx context.Context, js jetstream.JetStream, name string, from jetstream.OrderedConsumerConfig, take func(id fleet.ID, body []byte, came time.Time)) (stop func(), err error) {
	from.FilterSubjects, from.InactiveThreshold = []string{fleet.All(name)}, time.Minute // the server forgets it then
	stream := rowOf(name).Stream
	c, err := js.OrderedConsumer(ctx, stream, from)
	if err != nil {
		return nil, fmt.Errorf("fleet: stream %s: %w", stream, err)
	}
	read := make(chan struct{})
	done := sync.OnceFunc(func() { close(read) })
	if c.CachedInfo().NumPending == 0 {
		done()
	}
	cc, err := c.Consume(func(m jetstream.Msg) {
		about, err := m.Metadata()
		if err != nil {
			return // is no message of a stream
		}
		if id, _, err := fleet.ParseSubject(m.Subject()); err == nil {
			take(id, m.Data(), about.Timestamp)
		}
		if about.NumPending == 0 {
			done()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: stream %s: %w", stream, err)
	}
	select {
	case <-read:
		return cc.Stop, nil
	case <-ctx.Done():
		cc.Stop()
		return nil, ctx.Err()
	}
}

func (v *View) take(id fleet.ID, body []byte, came time.Time, take func(*known, []byte, time.Time) error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.known[id]
	if k == nil {
		k = &known{Standing: Standing{Site: id.Site, Board: id.Board}}
		v.known[id] = k
	}
	if take(k, body, came) != nil {
		k.odd = came
	}
}

func (k *known) health(body []byte, came time.Time) error {
	var h fleet.Health
	if err := json.Unmarshal(body, &h); err != nil {
		return err
	}
	tidy(&h)
	switch h.Life {
	case k.lives[0]:
	case k.lives[1]:
		k.copied = came
		fallthrough
	default:
		k.lives = [2]string{h.Life, k.lives[0]}
	}
	k.Health, k.Seen = &h, came
	return nil
}

func (k *known) counted(body []byte, _ time.Time) error {
	var c fleet.Counts
	if err := json.Unmarshal(body, &c); err != nil {
		return err
	}
	if err := checkCounts(&c); err != nil {
		return err
	}
	k.Counts = &c
	k.hour.add(&c)
	return nil
}

// Stop ends it.
func (v *View) Stop() {
	for _, stop := range v.stop {
		stop()
	}
}

// Board is how a board stands among the others.
type Board struct {
	Standing
	Now      string    `json:"state"` // its own, "silent" or "never heard of"
	Rates    Rates     `json:"rates"` // of the last hour
	Drift    []Drift   `json:"drift"` // by head, the farthest first; those that can be compared
	Troubles []Trouble `json:"troubles"`
}

// ID is the board's.
func (b *Board) ID() fleet.ID { return fleet.ID{Site: b.Site, Board: b.Board} }

// Rates are parts of what a board counted; nil where it counted nothing.
type Rates struct {
	WithFace  *float64 `json:"with_face"` // of its readings
	Uncertain *float64 `json:"uncertain"` // of its answers
}

// Trouble is something about a board that somebody should look at.
type Trouble struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// The kinds of trouble, the worst first.
var kinds = []string{"silent", "copied", "state", "nonsense", "part", "drift", "lost", "queue", "held down", "new"}

// Worst orders boards by their trouble, then by name.
func Worst(a, b *Board) int {
	rank := func(x *Board) int {
		if len(x.Troubles) == 0 {
			return len(kinds)
		}
		return slices.Index(kinds, x.Troubles[0].Kind)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(b.Troubles), len(a.Troubles)), ByName(a, b))
}

// ByName orders boards by site and name.
func ByName(a, b *Board) int {
	return cmp.Or(strings.Compare(a.Site, b.Site), strings.Compare(a.Board, b.Board))
}

// recheck is how long a list of who is enrolled is good.
const recheck = 10 * time.Second

// Boards returns how those stand that are enrolled, by site and name.
func (v *View) Boards(now time.Time) ([]*Board, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.checked) > recheck {
		enrolled, err := v.home.Boards()
		if err != nil {
			return nil, err
		}
		v.boards, v.checked = nil, now
		there := map[fleet.ID]*known{}
		for _, e := range enrolled {
			v.boards = append(v.boards, e.ID)
			if k := v.known[e.ID]; k != nil {
				there[e.ID] = k
			}
		}
		v.known = there // a board that is forgotten is forgotten here, too
	}
	all := []*Board{} // in JSON no boards are [], not null
	for _, id := range v.boards {
		k := v.known[id]
		if k == nil {
			k = &known{Standing: Standing{Site: id.Site, Board: id.Board}}
		}
		b := &Board{Standing: k.Standing, Now: k.State(now), Drift: []Drift{}, Troubles: []Trouble{}}
		if k.Health != nil && !k.silent(now) {
			b.Hour = k.hour.sum()
			b.Rates = ratesOf(b.Hour)
		}
		all = append(all, b)
	}
	compare(all)
	for i, id := range v.boards {
		all[i].troubles(v.known[id], now)
	}
	slices.SortFunc(all, ByName)
	return all, nil
}

// How much may wait on a board before that is said of it: ten minutes of health and
// counts; and how long it is said that something came up.
const (
	manyQueued = 20
	saidFor    = 10 * time.Minute
)

// troubles says what is wrong with a board, the worst first.
func (b *Board) troubles(k *known, now time.Time) {
	say := func(kind, format string, v ...any) {
		b.Troubles = append(b.Troubles, Trouble{kind, fmt.Sprintf(format, v...)})
	}
	h := b.Health
	if h == nil {
		say("new", "has never been heard of")
		return
	}
	if b.silent(now) {
		say("silent", "said nothing for %s", strings.TrimSuffix(now.Sub(b.Seen).Round(time.Minute).String(), "0s"))
	}
	if now.Sub(k.copied) < saidFor {
		say("copied", "two programs speak under its name: enrol it again if it was copied")
	}
	if !b.silent(now) {
		switch h.State {
		case signal.Reading, signal.Starting, signal.NoConsent:
		default:
			say("state", "%s", cmp.Or(h.Reason, h.State.Meaning().Text))
		}
	}
	if now.Sub(k.odd) < saidFor {
		say("nonsense", "says what cannot be read")
	}
	for _, p := range h.Parts {
		if p.Problem != "" {
			say("part", "%s: %s", p.Name, p.Problem)
		}
	}
	for _, d := range b.Drift {
		if d.Distance > d.Bound {
			say("drift", "answers of %s differ from those of its group: %.2f, chance reaches %.2f", d.Head, d.Distance, d.Bound)
		}
	}
	if h.Lost > 0 {
		say("lost", "%d messages had no room since it started", h.Lost)
	}
	if h.Queued > manyQueued {
		say("queue", "%d messages wait", h.Queued)
	}
	if h.Throttled != "" {
		say("held down", "held down: %s", h.Throttled)
	}
}

// How much is believed of what one board says of itself.
const (
	mostText = 160 // characters
	mostList = 32
)

// tidy takes away what no board says: it may have been stolen, and its words go to
// terminals and pages.
func tidy(h *fleet.Health) {
	for _, s := range []*string{&h.Life, &h.Version, &h.Board, (*string)(&h.State), &h.Reason, &h.Engine, &h.Model, &h.Consent, &h.Throttled} {
		*s = plain(*s)
	}
	if u := h.Update; u != nil {
		u.Rollout, u.Kind, u.State, u.Why = plain(u.Rollout), plain(u.Kind), fleet.Standing(plain(string(u.State))), plain(u.Why)
	}
	h.Tags, h.Heads, h.Parts = h.Tags[:min(len(h.Tags), mostList)], h.Heads[:min(len(h.Heads), mostList)], h.Parts[:min(len(h.Parts), mostList)]
	for i := range h.Tags {
		h.Tags[i] = plain(h.Tags[i])
	}
	for i := range h.Heads {
		h.Heads[i] = plain(h.Heads[i])
	}
	for i := range h.Parts {
		h.Parts[i].Name, h.Parts[i].Problem = plain(h.Parts[i].Name), plain(h.Parts[i].Problem)
	}
}

func plain(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > mostText || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// checkCounts refuses what cannot have been counted.
func checkCounts(c *fleet.Counts) error {
	const most = 1 << 30
	ok := c.Seconds >= 0 && c.Seconds < most && len(c.Answers) <= mostList && len(c.Uncertain) <= mostList
	check := func(n int) { ok = ok && n >= 0 && n < most }
	check(c.Readings)
	check(c.Begun)
	check(c.Most)
	check(c.WithFace)
	for _, labels := range c.Answers {
		ok = ok && len(labels) <= 8*mostList
		for label, n := range labels {
			ok = ok && label == plain(label)
			check(n)
		}
	}
	for head := range maps.Keys(c.Answers) {
		ok = ok && head == plain(head)
	}
	for head, n := range c.Uncertain {
		ok = ok && head == plain(head)
		check(n)
	}
	if !ok || c.WithFace > c.Readings {
		return errors.New("fleet: nobody counts so")
	}
	return nil
}
