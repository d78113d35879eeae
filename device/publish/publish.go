// Package publish tells an MQTT broker what the device sees and does, in the
// order in which it happens, and keeps what the broker has not acknowledged
// on disk until it has. README.md beside this file lists topics and payloads.
package publish

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"golang.org/x/time/rate"

	"mien/device"
	"mien/device/internal/retry"
	"mien/device/internal/trouble"
	"mien/device/queue"
	"mien/device/signal"
	"mien/runtime/model"
	"mien/runtime/plainfile"
	"mien/runtime/secret"
)

// Options say where to publish and what. Broker, Dir and ID are needed.
type Options struct {
	Broker   string // mqtt://host:1883 or mqtts://host:8883
	Username string
	Password string
	CA       string // file of PEM certificates that sign the broker's; empty for those of the system

	Dir      string // folder of the queue, this publisher's own
	MaxBytes int64  // of the queue (queue.Usual); at queue.Least or more

	ID      string // of the device: one word without / + #; names the topics and the client
	Name    string // for people; the ID if empty
	Version string // of the firmware
	Board   string
	Page    string // address of the device's status page for other machines; empty for none
	Prefix  string // of the topics (mien/ID, what a topic cannot hold written as in a URL)

	Heads []model.Head // enabled heads, for Home Assistant
	Lines []string     // output lines, for Home Assistant

	// Levels says how the lines stand at the start; nil when all are inactive.
	Levels func() []signal.Line

	// Forget drops what an earlier run left in the queue: nobody has agreed to it
	// being sent.
	Forget bool

	// Interval is the least time between two readings (1 s). Below zero every
	// reading is published. Tracks and transitions always are.
	Interval time.Duration
	// Discovery is the topic under which Home Assistant looks for devices
	// ("homeassistant"); "-" for none.
	Discovery string
	// Health says how the device is, once a second; nil to say nothing of it.
	Health func() device.Health
	// Report is called with what goes wrong and is tried again: once, and at
	// growing intervals while it goes on; from any goroutine. Nil for silence.
	Report func(error)
}

func (o Options) defaults() Options {
	if o.Prefix == "" {
		o.Prefix = "mien/" + level(o.ID)
	}
	if o.Name == "" {
		o.Name = o.ID
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = queue.Usual
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Discovery == "" {
		o.Discovery = "homeassistant"
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	return o
}

// CheckBroker says what is wrong with the address of a broker.
func CheckBroker(address string) error {
	_, err := parseBroker(address)
	return err
}

func parseBroker(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Hostname(), ":") != strings.HasPrefix(u.Host, "[") || u.Scheme != "mqtt" && u.Scheme != "mqtts" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("publish: broker %q is not mqtt://host:port or mqtts://host:port", secret.Redact(address))
	}
	if u.User != nil {
		return nil, fmt.Errorf("publish: broker %q: name and password are settings of their own", secret.Redact(address))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("publish: broker %q: port %q is not between 1 and 65535", secret.Redact(address), port)
		}
	}
	return u, nil
}

// CheckID says what is wrong with the name of a device.
func CheckID(id string) error {
	if id == "" || strings.ContainsFunc(id, func(r rune) bool {
		return unicode.IsSpace(r) || special(r) || strings.ContainsRune("/+#", r)
	}) || len(id) > 64 {
		return fmt.Errorf("publish: id %q has to be one word of at most 64 characters without / + #", id)
	}
	return nil
}

func (o *Options) check() (*url.URL, error) {
	u, err := parseBroker(o.Broker)
	if err != nil {
		return nil, err
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme])
	}
	if err := CheckID(o.ID); err != nil {
		return nil, err
	}
	for _, topic := range []string{o.Prefix, o.Discovery} {
		if err := CheckTopic(topic); err != nil {
			return nil, err
		}
	}
	if o.Dir == "" {
		return nil, errors.New("publish: the queue needs a folder")
	}
	if err := queue.CheckSize(o.MaxBytes); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return u, nil
}

// Publisher is a device.Observer that publishes what it observes. Its methods
// return at once, whatever broker and disk do.
type Publisher struct {
	o      Options
	url    *url.URL
	tls    *tls.Config
	queue  *queue.Queue
	kept   *kept
	feed   queue.Feed
	report trouble.Reporter

	next time.Time // when the next reading may go; with the pipeline's turn only
	seen bool      // the last reading had a face

	mu    sync.Mutex
	state []byte          // of who is in view
	lines map[string]bool // levels, by name

	connected atomic.Bool
	sent      atomic.Uint64
	lost      atomic.Uint64 // that could not be written
	refused   atomic.Uint64 // by the broker
	birth     chan struct{} // Home Assistant has started
	instance  string        // tells this life of this device from all others
	others    chan bool     // whether another is there under our name, when the broker is asked

	// Of Run alone.
	life     time.Duration // of what the broker retains while the device lives
	careful  bool          // the first message is sent alone: it may be one at which the broker hangs up
	gingerly bool          // and so are all retained topics
}

// New checks the options and opens the queue; what is left in it from an
// earlier run will be sent first. Nothing is connected before Run.
func New(o Options) (*Publisher, error) {
	p, err := unqueued(o)
	if err != nil {
		return nil, err
	}
	o = p.o
	if p.queue, err = queue.Open(o.Dir, o.MaxBytes); err != nil {
		return nil, err
	}
	p.feed = queue.Feed{Queue: p.queue, Encode: p.messages, Second: p.second, Report: p.report.Once}
	p.feed.Begin()
	if o.Forget {
		if err := p.queue.Forget(); err != nil {
			return nil, errors.Join(err, p.queue.Close())
		}
	}
	if o.Levels != nil {
		for _, l := range o.Levels() {
			p.lines[l.Name] = l.Active
		}
	}
	p.kept = newKept(keptFile(o.Dir))
	p.describe(p.health())
	if err := p.kept.persist(); err != nil {
		return nil, errors.Join(err, p.queue.Close())
	}
	return p, nil
}

// unqueued is a Publisher that can connect, and has nothing to say yet.
func unqueued(o Options) (*Publisher, error) {
	o = o.defaults()
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	p := &Publisher{o: o, url: u, birth: make(chan struct{}, 1), others: make(chan bool, 1), instance: rand.Text(),
		state: nobody, lines: map[string]bool{}, life: lifetime, careful: true}
	p.report.Tell = o.Report
	if u.Scheme == "mqtts" {
		p.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		if o.CA != "" {
			if p.tls.RootCAs, err = Authority(o.CA); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// health is what the health topic says; nil for nothing.
func (p *Publisher) health() []byte {
	if p.o.Health == nil {
		return nil
	}
	return healthOf(p.o.Health())
}

// Authority reads the certificates of a broker's authority from a PEM file.
func Authority(file string) (*x509.CertPool, error) {
	pem, err := plainfile.Read(file, 4<<20)
	if err != nil {
		return nil, fmt.Errorf("publish: certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("publish: %s holds no PEM certificate", file)
	}
	return pool, nil
}

// Describe says that the device now has these heads and lines: what it had
// before and has no more is cleared at the broker and at Home Assistant.
func (p *Publisher) Describe(heads []model.Head, lines []string) error {
	health := p.health() // before the lock: who is asked may wait for who tells us of a line
	p.mu.Lock()
	p.o.Heads, p.o.Lines = heads, lines
	p.describe(health)
	p.mu.Unlock()
	return p.kept.persist()
}

// Reading implements device.Observer.
func (p *Publisher) Reading(r *device.Reading) {
	if now := stateOf(r); !bytes.Equal(now, p.state) {
		p.mu.Lock()
		p.state = now
		p.mu.Unlock()
		p.kept.set(p.topic("state"), now, false)
	}
	// That the last face has gone does not wait for its turn: another reading
	// may not follow.
	left := p.seen && len(r.Faces) == 0
	if !left && p.o.Interval > 0 && r.Time.Before(p.next) && p.next.Sub(r.Time) <= p.o.Interval {
		return
	}
	p.seen = len(r.Faces) > 0
	p.next = r.Time.Add(p.o.Interval)
	p.feed.Take(r.Clone())
}

// Track implements device.Observer.
func (p *Publisher) Track(t *device.Track) { p.feed.Take(t.Clone()) }

// Transition implements device.Observer.
func (p *Publisher) Transition(t signal.Transition) {
	p.mu.Lock()
	if slices.Contains(p.o.Lines, t.Line) && t.Line != "heartbeat" {
		p.lines[t.Line] = t.Active
		p.kept.set(p.line(t.Line), levelOf(t.Active), false)
	}
	p.mu.Unlock()
	p.feed.Take(t)
}

// Forget implements device.Forgetter: what waits is not sent any more, and is
// gone from the disk. A message that is on its way cannot be called back.
func (p *Publisher) Forget() { p.feed.Forget() }

// Stats may be called at any time from any goroutine.
func (p *Publisher) Stats() queue.Stats {
	refused := p.refused.Load()
	return queue.Stats{Connected: p.connected.Load(), Queued: p.feed.Waiting(), Sent: p.sent.Load(), Lost: p.lost.Load() + p.feed.Lost() + refused, Refused: refused}
}

// Run publishes until ctx ends, then says goodbye to the broker and closes the
// queue; the Publisher is of no use after that. It returns an error only when
// the queue fails: a broker that is away is waited for.
func (p *Publisher) Run(ctx context.Context) error {
	go p.feed.Run(ctx)
	for failed := 0; ctx.Err() == nil; {
		l, err := p.dial(ctx, p.clientID(), fullWill)
		if err != nil {
			if ctx.Err() == nil {
				p.report.Once("connect "+err.Error(), err)
			}
			retry.Pause(ctx, retry.Backoff(failed, 5))
			failed++
			continue
		}
		began := time.Now()
		err = p.serve(ctx, l)
		p.connected.Store(false)
		if ctx.Err() != nil {
			break
		}
		p.report.Once("lost", fmt.Errorf("publish: %s: connection lost: %w", p.url.Redacted(), err))
		if p.blame(l, err) || l.moved > 0 || time.Since(began) > time.Minute {
			failed = 0
		}
		retry.Pause(ctx, retry.Backoff(failed, 5))
		failed++
		r := new(refusal)
		if hungUp(err) || errors.As(err, &r) && r.code == codeTakenOver {
			p.standBack(ctx)
		}
	}
	<-p.feed.Stored()
	return errors.Join(p.kept.persist(), p.queue.Close())
}

func (p *Publisher) clientID() string { return "mien-" + p.o.ID }

// serve publishes on a connection until that ends, and returns why it has.
// When ctx ends it says goodbye, as far as the broker listens.
func (p *Publisher) serve(ctx context.Context, l *link) error {
	p.queue.Rewind()
	p.kept.say()
	l.careful, l.gingerly = p.careful, p.gingerly
	p.connected.Store(true)
	for _, lack := range l.lacks() {
		p.report.Once(lack, fmt.Errorf("publish: %s: the broker %s", p.url.Redacted(), lack))
	}
	l.done.Go(l.read)
	l.done.Go(l.listen)
	defer context.AfterFunc(ctx, l.endSoon)()
	err := p.publish(ctx, l)
	if err == nil {
		p.part(l)
	}
	l.close(err == nil)
	return err
}

// publish sends what there is to send, retained topics first. It returns nil
// when ctx ends.
func (p *Publisher) publish(ctx context.Context, l *link) error {
	again := time.NewTicker(p.life / 3)
	defer again.Stop()
	births := rate.NewLimiter(rate.Every(5*time.Second), 1)
	var born <-chan time.Time
	for ctx.Err() == nil {
		if more, err := p.step(l); err != nil {
			return err
		} else if more {
			continue
		}
		birth := p.birth
		if born != nil {
			birth = nil // one is waiting for its turn
		}
		select {
		case <-ctx.Done():
		case <-l.up.Done():
			return context.Cause(l.up)
		case <-p.kept.wake:
		case <-p.queue.Wake:
		case <-again.C:
			p.kept.keepAlive()
		case <-birth:
			born = time.After(births.Reserve().Delay())
		case <-born:
			born = nil
			p.kept.say()
		}
	}
	return nil
}

// step sends one message and reports whether there was one.
func (p *Publisher) step(l *link) (bool, error) {
	if err := context.Cause(l.up); err != nil {
		return false, err
	}
	if m, ok := p.kept.next(); ok {
		return true, l.send(m, nil)
	}
	if p.feed.Forgetting() {
		return false, nil // what waits is about to go
	}
	m, t, ok, err := p.queue.Next()
	if err != nil {
		p.report.Once("queue", err)
		return true, pauseUp(l.up)
	}
	if !ok {
		return false, nil
	}
	return true, l.send(m, &t)
}

// part sends what was observed before the end, as far as that is quick, and
// leaves the retained topics true of a device that is not there. It ends with the
// connection: see endSoon.
func (p *Publisher) part(l *link) {
	select {
	case <-p.feed.Stored():
	case <-l.up.Done():
	}
	drain, stop := context.WithTimeout(l.up, queue.Farewell/3)
	for more := true; more && drain.Err() == nil; {
		var err error
		if more, err = p.step(l); err != nil {
			more = false
		}
	}
	stop()
	p.goodbye()
	for m, ok := p.kept.next(); ok; m, ok = p.kept.next() {
		if l.send(m, nil) != nil {
			return
		}
	}
	l.settle(l.up)
}

// answered takes the broker's answer to a message. An error ends the
// connection, on which nothing more can be sent in order.
func (p *Publisher) answered(s *sent, ack *packets.Puback) error {
	switch code := ack.ReasonCode; {
	case s.ticket == nil && code < 0x80:
		p.kept.said(s.Message)
		return nil
	case s.ticket == nil:
		if p.kept.refuse(s.Topic, code) {
			p.o.Report(fmt.Errorf("publish: %s is refused by the broker: %w", s.Topic, refusalOf(ack)))
		}
		return nil
	case code < 0x80:
		p.queue.Ack(*s.ticket)
		if !s.Stale {
			p.sent.Add(1)
		}
		return nil
	case (code == codeImplementation || code == codeQuota) && p.queue.Strike(*s.ticket) < mostRefusals:
		return refusalOf(ack) // not now, it says: try again
	}
	p.setAside(s, refusalOf(ack))
	return nil
}

func refusalOf(ack *packets.Puback) *refusal {
	r := &refusal{code: ack.ReasonCode}
	if ack.Properties != nil {
		r.text = ack.Properties.ReasonString
	}
	return r
}

// blame looks, after a connection has ended, at the message that was not
// answered. When the broker says that it was wrong, or has hung up at it alone
// though it took others, and that several times, it would for ever.
// It reports whether the way is free again.
func (p *Publisher) blame(l *link, why error) (free bool) {
	s := l.unanswered()
	p.careful, p.gingerly = s != nil, s != nil && s.ticket == nil
	if s == nil || s.Stale {
		return false
	}
	r := new(refusal)
	switch {
	case errors.As(why, &r) && blames(r.code):
	case s.alone && l.took > 0 && (hungUp(why) || errors.Is(why, errSilent)):
	default:
		return false
	}
	if s.ticket == nil {
		if free = p.kept.strike(s.Topic); free {
			p.o.Report(fmt.Errorf("publish: %s is left out from now on, the broker hangs up at it: %w", s.Topic, why))
		}
		return free
	}
	if free = p.queue.Strike(*s.ticket) >= mostStrikes; free {
		p.setAside(s, fmt.Errorf("the broker hung up at it %d times: %w", mostStrikes, why))
	}
	return free
}

// setAside takes a message out of the queue that the broker does not want.
func (p *Publisher) setAside(s *sent, why error) {
	if err := p.queue.SetAside(s.Message, why.Error(), time.Now()); err != nil {
		p.report.Once("set aside", err)
	}
	p.queue.Ack(*s.ticket)
	p.refused.Add(1)
	p.report.Once("refused "+s.Topic, fmt.Errorf("publish: %s: a message is refused by the broker and set aside in %s: %w",
		s.Topic, filepath.Join(p.o.Dir, queue.Refused), why))
}

// standBack waits as long as another device is connected under our name, which
// the broker has put in our place: of two that both came back at once, each
// would throw the other out for ever. Not every broker says why it hangs up, so
// it is asked.
func (p *Publisher) standBack(ctx context.Context) {
	for wait := 15 * time.Second; ctx.Err() == nil && p.elsewhere(ctx); wait = min(2*wait, time.Minute) {
		p.report.Once("taken over", fmt.Errorf("publish: another device is connected to %s as %q and has taken this one's place, which waits: give one of them another name",
			p.url.Redacted(), p.clientID()))
		retry.Pause(ctx, wait)
	}
}

// elsewhere asks the broker, as somebody else, whether another device is there
// under our name. A broker that does not say is taken as one where there is
// none.
func (p *Publisher) elsewhere(ctx context.Context) bool {
	l, err := p.dial(ctx, p.clientID()+"-"+rand.Text()[:8], noWill)
	if err != nil {
		return false
	}
	l.done.Go(l.read)
	defer l.close(true)
	select {
	case <-p.others:
	default:
	}
	look := paho.SubscribeOptions{Topic: p.topic("availability")}
	for range 2 { // what the broker retains comes before its answer to the second
		if _, err := l.client.Subscribe(l.up, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{look}}); err != nil {
			return false
		}
		look.RetainHandling = 2
	}
	select {
	case other := <-p.others:
		return other
	case <-time.After(200 * time.Millisecond): // for the library to hand it on
	case <-l.up.Done():
	case <-ctx.Done():
	}
	return false
}

// pauseUp waits a little before a disk is asked again.
func pauseUp(up context.Context) error {
	retry.Pause(up, 200*time.Millisecond)
	return context.Cause(up)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// second keeps the retained topics true.
func (p *Publisher) second() {
	if err := p.kept.persist(); err != nil {
		p.report.Once("persist", err)
	}
	if h := p.health(); h != nil {
		p.kept.set(p.topic("health"), h, false)
	}
}
