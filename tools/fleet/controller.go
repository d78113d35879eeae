package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
	"mien/device/signal"
)

// ErrHeld is that another controller drives a roll-out.
var ErrHeld = errors.New("fleet: another controller drives it")

// Pace is how often a controller looks, and how long one has to have said nothing
// before another takes its place. No clock is compared with another's: who waits
// measures by his own how long the record does not change.
type Pace struct{ Look, Lease time.Duration }

// Usual is the pace of mien fleet.
var Usual = Pace{time.Second, 30 * time.Second}

// controller drives a roll-out.
type controller struct {
	h       *Home
	records jetstream.KeyValue
	orders  jetstream.KeyValue
	pace    Pace
	me      string

	r        Rollout
	revision uint64
	written  time.Time
	wrote    []byte

	ordered map[string]bool // boards that have the order of the present state
	since   time.Time       // when the present stage, or the leaving, began here
	well    time.Time       // since when the stage is; zero: it is not

	mu    sync.Mutex
	heard map[string]Standing // by SITE/BOARD
}

// Drive has a roll-out done until it has ended or ctx does, and calls tell whenever
// its record was written. Any number of controllers may try: one has it, and when
// that says nothing for the time of a lease another may.
func (h *Home) Drive(ctx context.Context, js jetstream.JetStream, name string, pace Pace, tell func(*Rollout)) (err error) {
	c := &controller{h: h, pace: pace, me: rand.Text()[:12], ordered: map[string]bool{}, heard: map[string]Standing{}}
	if c.records, err = bucket(ctx, js, fleet.Rollouts); err != nil {
		return err
	}
	if c.orders, err = bucket(ctx, js, fleet.Desired); err != nil {
		return err
	}
	if err := c.take(ctx, name); err != nil {
		return err
	}
	stop, err := follow(ctx, js, fleet.OfHealth, newest, c.hear)
	if err != nil {
		return err
	}
	defer stop()
	tell(&c.r)
	var failing time.Time // since when nothing succeeds: the hub may be started again
	for {
		switch err := c.turn(ctx, tell); {
		case errors.Is(err, ErrHeld):
			return err
		case err == nil && c.r.State.Ended():
			return nil
		case err == nil:
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > c.pace.Lease:
			return errors.Join(err, c.giveUp(ctx))
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), c.giveUp(ctx))
		case <-time.After(c.pace.Look):
		}
	}
}

// turn does what is to be done, and writes down what has become of it.
func (c *controller) turn(ctx context.Context, tell func(*Rollout)) error {
	if !c.r.State.Ended() { // and only could not be written down yet
		if err := c.step(ctx); err != nil {
			return err
		}
	}
	said, err := c.save(ctx)
	if said {
		tell(&c.r)
	}
	return err
}

// take makes the roll-out this controller's.
func (c *controller) take(ctx context.Context, name string) (err error) {
	if c.r, c.revision, err = readRollout(ctx, c.records, name); err != nil || c.r.State.Ended() {
		return err
	}
	if c.r.Holder != "" {
		was := c.revision
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.pace.Lease):
		}
		if c.r, c.revision, err = readRollout(ctx, c.records, name); err != nil || c.r.State.Ended() {
			return err
		}
		if c.revision != was && c.r.Holder != "" {
			return fmt.Errorf("%w: %s", ErrHeld, name)
		}
	}
	c.r.Holder = c.me
	_, err = c.save(ctx)
	return err
}

// giveUp lets another go on at once. Where it cannot, the lease's time passes.
func (c *controller) giveUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.r.Holder = ""
	_, err := c.save(ctx)
	return err
}

// save writes the record when it has changed, or to say that this controller lives,
// and reports whether it did. It fails when the roll-out is another's.
func (c *controller) save(ctx context.Context) (bool, error) {
	b, err := json.Marshal(c.r)
	if err != nil {
		return false, err
	}
	if string(b) == string(c.wrote) && time.Since(c.written) < c.pace.Lease/3 {
		return false, nil
	}
	c.r.Beat++
	if b, err = json.Marshal(c.r); err != nil {
		return false, err
	}
	revision, err := c.records.Update(ctx, c.r.Name, b, c.revision)
	if changed(err) {
		// By this controller, where the answer to an earlier attempt was lost.
		if now, at, err := readRollout(ctx, c.records, c.r.Name); err == nil && now.Holder == c.me && now.Beat < c.r.Beat {
			c.revision = at
			return c.save(ctx)
		}
		return false, fmt.Errorf("%w now: %s", ErrHeld, c.r.Name)
	}
	if err != nil {
		return false, fmt.Errorf("fleet: roll-out %s: %w", c.r.Name, err)
	}
	c.revision, c.written, c.wrote = revision, time.Now(), b
	return true, nil
}

func (c *controller) hear(id fleet.ID, body []byte, came time.Time) {
	var h fleet.Health
	if json.Unmarshal(body, &h) != nil {
		return // as if it had said nothing
	}
	tidy(&h)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard[id.String()] = Standing{Site: id.Site, Board: id.Board, Seen: came, Health: &h}
}

func (c *controller) standing(board string) Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard[board]
}

// offered are the boards that the roll-out has come to.
func (c *controller) offered() []string { return c.r.Boards[:c.r.Stages[c.r.Stage]] }

// step does what is to be done next.
func (c *controller) step(ctx context.Context) error {
	if c.since.IsZero() {
		c.since = time.Now()
	}
	leave := c.r.State == Leaving
	for _, board := range c.offered() {
		if err := c.order(ctx, board, leave); err != nil {
			return err
		}
	}
	c.count()
	p, over := &c.r.Progress, time.Since(c.since) >= c.r.Rules.Within
	if leave {
		if p.Pending == 0 || over {
			c.r.State = Halted
			if p.Pending > 0 {
				c.r.Why += fmt.Sprintf("; of %d boards nothing was heard: they go back when they are there again", p.Pending)
			}
		}
		return nil
	}
	if over && p.Pending > 0 {
		c.r.Late = append(c.r.Late, c.boards(pending)...)
		c.count()
	}
	switch allowed := int(c.r.Rules.Tolerate / 100 * float64(p.Offered)); {
	case p.Failed > allowed:
		c.halt(fmt.Sprintf("%d of %d boards failed, %d may: %s: %s", p.Failed, p.Offered, allowed, p.Failing[0].Board, p.Failing[0].Why))
	case p.Pending > 0 || p.Proven == 0:
		c.well = time.Time{}
	case c.well.IsZero():
		c.well = time.Now()
	case time.Since(c.well) >= c.r.Rules.Hold:
		c.next()
	}
	return nil
}

// halt has all that took it go back.
func (c *controller) halt(why string) {
	c.r.State, c.r.Why = Leaving, why
	c.since, c.ordered = time.Now(), map[string]bool{}
}

// next goes on to the next stage.
func (c *controller) next() {
	if c.r.Stage == len(c.r.Stages)-1 {
		c.r.State = Done
		return
	}
	was := len(c.offered())
	c.r.Stage++
	for _, board := range c.offered()[was:] {
		if s := c.standing(board); s.silent(time.Now()) {
			c.r.Away = append(c.r.Away, board)
		}
	}
	c.since, c.well = time.Now(), time.Time{}
}

// order writes what a board is to do, once. It takes no order to leave back, and
// writes over nothing that it has not read: so a controller that was deposed, and does
// not know it yet, does no harm.
func (c *controller) order(ctx context.Context, board string, leave bool) error {
	if c.ordered[board] {
		return nil
	}
	id, err := fleet.ParseID(board)
	if err != nil {
		return err
	}
	for {
		was, revision, err := c.readOrder(ctx, id)
		if err != nil {
			return err
		}
		if was.Rollout == c.r.Name && was.Leave && !leave {
			return fmt.Errorf("%w now: %s", ErrHeld, c.r.Name)
		}
		if was.Rollout == c.r.Name && was.Leave == leave {
			break
		}
		o := fleet.Order{Number: max(was.Number+1, uint64(time.Now().Unix())), Rollout: c.r.Name, Kind: c.r.Kind, Name: c.r.File, Version: c.r.Version,
			SHA256: c.r.SHA256, Size: c.r.Size, Signature: c.r.Signature, Canary: c.r.Canary, Leave: leave}
		if err := o.SealFor(id, c.h.key); err != nil {
			return fmt.Errorf("fleet: %w", err)
		}
		b, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if revision == 0 {
			_, err = c.orders.Create(ctx, id.Key(), b)
		} else {
			_, err = c.orders.Update(ctx, id.Key(), b, revision)
		}
		if err == nil {
			break
		}
		if !changed(err) {
			return fmt.Errorf("fleet: order for %s: %w", board, err)
		}
	}
	if time.Since(c.written) > c.pace.Lease/3 { // many boards take longer than the lease
		if _, err := c.save(ctx); err != nil {
			return err
		}
	}
	c.ordered[board] = true
	return nil
}

// readOrder returns what a board was told last; the zero order if nothing.
func (c *controller) readOrder(ctx context.Context, id fleet.ID) (o fleet.Order, revision uint64, err error) {
	e, err := c.orders.Get(ctx, id.Key())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return o, 0, nil
	}
	if err != nil {
		return o, 0, fmt.Errorf("fleet: order for %v: %w", id, err)
	}
	if json.Unmarshal(e.Value(), &o) != nil || o.Check(id, c.h.PublicKey()) != nil {
		o = fleet.Order{} // nothing that a board follows
	}
	return o, e.Revision(), nil
}

// count says how the boards are that were offered it.
func (c *controller) count() {
	p := Progress{Offered: len(c.offered()), Failing: []Failure{}}
	for _, board := range c.offered() {
		what, why := c.judge(board)
		*outcomes[what].boards(&p)++
		if what == failed && len(p.Failing) < mostFailing {
			p.Failing = append(p.Failing, Failure{board, why})
		}
	}
	c.r.Progress = p
}

// boards are those that were offered it and count so.
func (c *controller) boards(what outcome) (names []string) {
	for _, board := range c.offered() {
		if is, _ := c.judge(board); is == what {
			names = append(names, board)
		}
	}
	return names
}

// judge says how a board counts that was offered a roll-out, and why.
func (c *controller) judge(board string) (outcome, string) {
	s := c.standing(board)
	leave := c.r.State == Leaving
	if s.Health != nil && s.Health.Update != nil && s.Health.Update.Rollout == c.r.Name {
		switch u := s.Health.Update; {
		case u.State == fleet.Left:
			return left, ""
		case u.State == fleet.Kept:
			return failed, u.Why
		case u.State == fleet.Waiting && !leave:
			return away, u.Why
		case (u.State == fleet.Fallen || u.State == fleet.Refused) && !leave:
			return failed, u.Why
		case u.State == fleet.Proven && !leave:
			return ofProven(&s)
		}
	} else if slices.Contains(c.r.Away, board) {
		return away, ""
	}
	if slices.Contains(c.r.Late, board) && !leave {
		return failed, fmt.Sprintf("it has not proven it within %v (%s)", c.r.Rules.Within, s.State(time.Now()))
	}
	return pending, ""
}

// ofProven says whether a board is well that has proven it: silence, and nothing to
// read with, are of what it took.
func ofProven(s *Standing) (outcome, string) {
	switch h := s.Health; {
	case s.silent(time.Now()):
		return failed, "it is silent since " + s.Seen.UTC().Format(time.RFC3339)
	case h.State == signal.NoModel || h.State == signal.NoHead || h.State == signal.Hung:
		return failed, "after it had proven it: " + string(h.State) + ": " + h.Reason
	}
	return proven, ""
}
