// Package publish tells an MQTT broker what the device sees and does, in the
// order in which it happens, and keeps what the broker has not acknowledged
// on disk until it has. README.md beside this file lists topics and payloads.
package publish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"mien/device"
	"mien/device/signal"
	"mien/runtime/model"
	"mien/runtime/secret"
)

// Options say where to publish and what. Broker, Dir and ID are needed.
type Options struct {
	Broker   string // mqtt://host:1883 or mqtts://host:8883
	Username string
	Password string
	CA       string // file of PEM certificates that sign the broker's; empty for those of the system

	Dir      string // folder of the queue, this publisher's own
	MaxBytes int64  // of the queue (16 MiB); at 64 KiB or more

	ID      string // of the device: one word without / + #; names the topics and the client
	Name    string // for people; the ID if empty
	Version string // of the firmware
	Board   string
	Prefix  string // of the topics (mien/ID)

	Heads []model.Head // enabled heads, for Home Assistant
	Lines []string     // output lines, for Home Assistant

	// Interval is the least time between two readings (1 s). Below zero every
	// reading is published. Tracks and transitions always are.
	Interval time.Duration
	// Discovery is the topic under which Home Assistant looks for devices
	// ("homeassistant"); "-" for none.
	Discovery string
	// Report is called with what goes wrong and is tried again; from any
	// goroutine. Nil for silence.
	Report func(error)
}

func (o Options) defaults() Options {
	if o.Prefix == "" {
		o.Prefix = "mien/" + o.ID
	}
	if o.Name == "" {
		o.Name = o.ID
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20
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
	if err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
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
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("/+#\ufffd", r)
	}) || len(id) > 64 {
		return fmt.Errorf("publish: id %q has to be one word of at most 64 characters without / + #", id)
	}
	return nil
}

// CheckTopic says what is wrong with the beginning of topics
// (https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901241).
func CheckTopic(topic string) error {
	switch {
	case topic == "":
		return errors.New("publish: topic is empty")
	case len(topic) > 200:
		return fmt.Errorf("publish: topic %.40q... is longer than 200 bytes", topic)
	case strings.ContainsAny(topic, "+#"):
		return fmt.Errorf("publish: topic %q: wildcards cannot be published to", topic)
	case strings.HasPrefix(topic, "$"):
		return fmt.Errorf("publish: topic %q: names that begin with $ are the broker's own", topic)
	case !utf8.ValidString(topic) || strings.ContainsFunc(topic, unicode.IsControl):
		return fmt.Errorf("publish: topic %q has a control character in it", topic)
	}
	return nil
}

func (o *Options) check() (*url.URL, error) {
	u, err := parseBroker(o.Broker)
	if err != nil {
		return nil, err
	}
	if u.Port() == "" {
		u.Host += map[string]string{"mqtt": ":1883", "mqtts": ":8883"}[u.Scheme]
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
	if o.MaxBytes < 64<<10 {
		return nil, fmt.Errorf("publish: a queue of %d bytes is too small, at least %d are needed", o.MaxBytes, 64<<10)
	}
	return u, nil
}

// inboxSize is how many events wait in memory for the queue's disk. It is
// there for the moments in which an SD card makes everybody wait.
const inboxSize = 1024

// Publisher is a device.Observer that publishes what it observes. Its methods
// return at once, whatever broker and disk do.
type Publisher struct {
	o     Options
	url   *url.URL
	tls   *tls.Config
	queue *queue

	inbox chan any
	next  time.Time // when the next reading may go; with the pipeline's turn only
	seen  bool      // the last reading had a face
	state stater

	connected atomic.Bool
	sent      atomic.Uint64
	lost      atomic.Uint64 // before the queue, or refused by the broker
	mu        sync.Mutex
	down      chan struct{} // closed when the connection at hand is lost
	homeUp    chan struct{} // Home Assistant has started
}

// New checks the options and opens the queue; what is left in it from an
// earlier run will be sent first. Nothing is connected before Run.
func New(o Options) (*Publisher, error) {
	o = o.defaults()
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	p := &Publisher{o: o, url: u, inbox: make(chan any, inboxSize), homeUp: make(chan struct{}, 1)}
	if u.Scheme == "mqtts" {
		p.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		if o.CA != "" {
			if p.tls.RootCAs, err = Authority(o.CA); err != nil {
				return nil, err
			}
		}
	}
	if p.queue, err = openQueue(o.Dir, o.MaxBytes); err != nil {
		return nil, err
	}
	return p, nil
}

// Authority reads the certificates of a broker's authority from a PEM file.
func Authority(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("publish: certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("publish: %s holds no PEM certificate", file)
	}
	return pool, nil
}

// Reading implements device.Observer.
func (p *Publisher) Reading(r *device.Reading) {
	// That the last face has gone does not wait for its turn: another reading
	// may not follow.
	left := p.seen && len(r.Faces) == 0
	if !left && p.o.Interval > 0 && r.Time.Before(p.next) && p.next.Sub(r.Time) <= p.o.Interval {
		return
	}
	p.seen = len(r.Faces) > 0
	p.next = r.Time.Add(p.o.Interval)
	p.take(r.Clone())
}

// Track implements device.Observer.
func (p *Publisher) Track(t *device.Track) { p.take(t.Clone()) }

// Transition implements device.Observer.
func (p *Publisher) Transition(t signal.Transition) { p.take(t) }

func (p *Publisher) take(v any) {
	select {
	case p.inbox <- v:
	default:
		p.lost.Add(1)
	}
}

// Stats says how publishing goes.
type Stats struct {
	Connected bool
	Queued    int    // messages waiting on disk
	Sent      uint64 // messages acknowledged since start
	Lost      uint64 // messages dropped since start: queue or memory full, or refused by the broker
}

// Stats may be called at any time from any goroutine.
func (p *Publisher) Stats() Stats {
	return Stats{p.connected.Load(), p.queue.waiting(), p.sent.Load(), p.lost.Load() + p.queue.dropped()}
}

// Run publishes until ctx ends, then says goodbye to the broker and closes the
// queue; the Publisher is of no use after that. It returns an error only when
// the queue fails: a broker that is away is waited for.
func (p *Publisher) Run(ctx context.Context) error {
	// The connection outlives ctx for a moment, to say goodbye.
	conn, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	cm, err := autopaho.NewConnection(conn, p.config())
	if err != nil {
		return errors.Join(fmt.Errorf("publish: %w", err), p.queue.close())
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.store(ctx) })
	wg.Go(func() { p.deliver(ctx, cm) })
	wg.Go(func() { p.welcome(ctx, cm) })
	wg.Wait()
	if p.connected.Load() {
		bye, cancel := context.WithTimeout(conn, 2*time.Second)
		cm.Publish(bye, p.availability("offline"))
		cm.Disconnect(bye)
		cancel()
	}
	hangUp()
	<-cm.Done()
	return p.queue.close()
}

// config is the connection: a session that ends with it, because the queue on
// disk does what an MQTT session would, and the last will.
func (p *Publisher) config() autopaho.ClientConfig {
	will := p.availability("offline")
	return autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{p.url},
		TlsCfg:                        p.tls,
		KeepAlive:                     15,
		CleanStartOnInitialConnection: true,
		ConnectTimeout:                10 * time.Second,
		ReconnectBackoff:              backoff,
		ConnectUsername:               p.o.Username,
		ConnectPassword:               []byte(p.o.Password),
		WillMessage:                   &paho.WillMessage{Topic: will.Topic, Payload: will.Payload, QoS: 1, Retain: true},
		OnConnectionUp:                p.up,
		OnConnectionDown: func() bool {
			p.connected.Store(false)
			p.mu.Lock()
			close(p.down)
			p.mu.Unlock()
			return true
		},
		OnConnectError: func(err error) { p.o.Report(fmt.Errorf("publish: %s: %w", secret.Redact(p.url.String()), err)) },
		ClientConfig: paho.ClientConfig{
			ClientID: "mien-" + p.o.ID,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
				if string(r.Packet.Payload) == "online" {
					nudge(p.homeUp)
				}
				return true, nil
			}},
		},
	}
}

// backoff is how long to wait after failed attempt n: 0.5 s, then twice as
// long each time, 30 s at most.
func backoff(n int) time.Duration {
	return min(500*time.Millisecond<<min(max(n, 0), 10), 30*time.Second)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (p *Publisher) up(*autopaho.ConnectionManager, *paho.Connack) {
	p.mu.Lock()
	p.down = make(chan struct{})
	p.mu.Unlock()
	p.connected.Store(true)
	nudge(p.homeUp)
	nudge(p.queue.wake)
}

func (p *Publisher) availability(s string) *paho.Publish {
	return &paho.Publish{Topic: p.o.Prefix + "/availability", Payload: []byte(s), QoS: 1, Retain: true}
}

// welcome introduces the device after each connection, and again whenever
// Home Assistant has started: it forgets devices that it does not hear of.
func (p *Publisher) welcome(ctx context.Context, cm *autopaho.ConnectionManager) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.homeUp:
		}
		if err := p.introduce(ctx, cm); err != nil && ctx.Err() == nil {
			p.o.Report(fmt.Errorf("publish: introduction: %w", err))
		}
	}
}

func (p *Publisher) introduce(ctx context.Context, cm *autopaho.ConnectionManager) error {
	ctx, cancel := p.whileUp(ctx)
	defer cancel()
	if p.o.Discovery != "-" {
		if _, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: p.o.Discovery + "/status", QoS: 1}}}); err != nil {
			return err
		}
		config, err := json.Marshal(p.discovery())
		if err != nil {
			return err
		}
		topic := p.o.Discovery + "/device/" + p.uid() + "/config"
		if _, err := cm.Publish(ctx, &paho.Publish{Topic: topic, Payload: config, QoS: 1, Retain: true}); err != nil {
			return err
		}
	}
	_, err := cm.Publish(ctx, p.availability("online"))
	return err
}

// whileUp is a context that ends with the connection at hand, so that nobody
// waits for an answer that cannot come any more.
func (p *Publisher) whileUp(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	go func() {
		select {
		case <-down:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// store moves events from memory to the queue, and has the queue written
// through to the disk once a second while anything changes.
func (p *Publisher) store(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case v := <-p.inbox:
			p.enqueue(v)
		case <-second.C:
			if err := p.queue.sync(); err != nil {
				p.o.Report(err)
			}
		case <-ctx.Done():
			for { // what was observed before the end counts
				select {
				case v := <-p.inbox:
					p.enqueue(v)
				default:
					return
				}
			}
		}
	}
}

func (p *Publisher) enqueue(v any) {
	for _, m := range p.messages(v) {
		if err := p.queue.put(m); err != nil {
			p.lost.Add(1)
			p.o.Report(err)
		}
	}
}

// deliver sends the queue's messages one after the other, each when the one
// before is acknowledged: that is what keeps their order across a broken
// connection, after which the one on its way is sent again.
func (p *Publisher) deliver(ctx context.Context, cm *autopaho.ConnectionManager) {
	for {
		m, ticket, ok, err := p.queue.peek()
		if err != nil {
			p.o.Report(err)
		}
		if !ok || !p.connected.Load() {
			select {
			case <-ctx.Done():
				return
			case <-p.queue.wake:
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		switch refused, err := p.send(ctx, cm, m); {
		case err == nil:
			p.queue.ack(ticket)
			p.sent.Add(1)
		case refused: // for good: it would block all others for ever
			p.queue.ack(ticket)
			p.lost.Add(1)
			p.o.Report(fmt.Errorf("publish: %s was refused by the broker: %w", m.Topic, err))
		case ctx.Err() == nil:
			p.pause(ctx)
		}
	}
}

// pause waits a little before the next try, or for the connection.
func (p *Publisher) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

func (p *Publisher) send(ctx context.Context, cm *autopaho.ConnectionManager, m message) (refused bool, err error) {
	ctx, cancel := p.whileUp(ctx)
	defer cancel()
	resp, err := cm.Publish(ctx, &paho.Publish{Topic: m.Topic, Payload: m.Payload, QoS: 1, Retain: m.Retain})
	if err == nil {
		return false, nil
	}
	if errors.Is(err, paho.ErrInvalidArguments) {
		return true, err
	}
	// 0x83, 0x97: the broker's own trouble, or too much for now (MQTT 5, 3.4.2.1).
	return resp != nil && resp.ReasonCode >= 0x80 && resp.ReasonCode != 0x83 && resp.ReasonCode != 0x97, err
}
