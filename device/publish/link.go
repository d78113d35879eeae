package publish

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"

	"mien/device/queue"
)

const (
	// window is how many messages may be on their way at once, if the broker
	// takes as many: at a round trip of 300 ms that is 200 a second.
	window = 64
	// mostStrikes is how often a broker may hang up at a message before that is
	// set aside, mostRefusals how often it may say that it does not want it now.
	mostStrikes  = 3
	mostRefusals = 8
)

// instance is the property of an availability that says whose it is.
const instance = "instance"

var errSilent = errors.New("the broker does not answer")

// link is one connection to the broker, from its beginning to its end.
type link struct {
	p       *Publisher
	wire    *wire
	client  *paho.Client
	session *replies
	up      context.Context // ends with the connection; its cause says why
	hangUp  context.CancelCauseFunc

	qos    byte
	retain bool
	most   uint32 // bytes of a packet; 0 for no limit

	flight            chan *sent // sent and not answered, in their order
	careful, gingerly bool       // see Publisher
	done              sync.WaitGroup

	// Of who reads the answers, for others only after done.
	waiting *sent // for its answer
	took    int   // messages that the broker has taken
	moved   int   // of those, from the queue
}

// sent is a message on its way.
type sent struct {
	queue.Message
	ticket  *queue.Ticket // in the queue; nil for a retained topic
	answer  chan packets.ControlPacket
	settled chan struct{}
	alone   bool // everything before it is answered, and nothing is sent after it until it is
}

// replies is paho's session in memory, which hands the answer to a PUBLISH to
// who asked last. paho's own way of sending without waiting keeps it.
type replies struct {
	*state.State
	next chan packets.ControlPacket
}

// AddToSession implements session.SessionManager.
func (r *replies) AddToSession(ctx context.Context, p session.Packet, to chan<- packets.ControlPacket) error {
	if p.Type() == packets.PUBLISH {
		to = r.next
	}
	return r.State.AddToSession(ctx, p, to)
}

// mute has nothing to say to a broker that asks for more than a password.
type mute struct{}

func (mute) Authenticate(*paho.Auth) *paho.Auth {
	return &paho.Auth{ReasonCode: packets.DisconnectNotAuthorized}
}
func (mute) Authenticated() {}

// open opens the way to the broker, without a word of MQTT yet.
func (p *Publisher) open(ctx context.Context, encrypted bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, silence/2)
	defer cancel()
	if !encrypted {
		return (&net.Dialer{}).DialContext(ctx, "tcp", p.url.Host)
	}
	return (&tls.Dialer{Config: p.tls}).DialContext(ctx, "tcp", p.url.Host)
}

// lastWill is how much of a last will the broker is asked for.
type lastWill int

const (
	noWill    lastWill = iota
	fullWill           // retained, and acknowledged by who hears it
	plainWill          // neither: for brokers that refuse whoever asks for that
)

// dial connects. Its errors say what to do where that can be known.
func (p *Publisher) dial(ctx context.Context, id string, will lastWill) (*link, error) {
	conn, err := p.open(ctx, p.tls != nil)
	if err != nil {
		return nil, p.name(ctx, err, nil)
	}
	l := &link{p: p, wire: &wire{Conn: conn}, session: &replies{State: state.NewInMemory()}, flight: make(chan *sent, window), qos: 1, retain: true}
	l.up, l.hangUp = context.WithCancelCause(context.WithoutCancel(ctx))
	l.client = paho.NewClient(paho.ClientConfig{
		Conn: l.wire, ClientID: id, Session: l.session, AuthHandler: mute{}, PacketTimeout: silence,
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){l.hear},
		OnClientError:      func(err error) { l.hangUp(err) },
		OnServerDisconnect: func(d *paho.Disconnect) { l.hangUp(&refusal{code: d.ReasonCode, text: disconnectText(d)}) },
	})
	ack, err := l.client.Connect(ctx, p.connect(id, will))
	if ack != nil && ack.ReasonCode >= 0x80 {
		r := &refusal{code: ack.ReasonCode, login: true}
		if ack.Properties != nil {
			r.text = ack.Properties.ReasonString
		}
		err = r
	}
	if err == nil && ack.ReasonCode != 0 {
		err = errProtocol
	}
	if err != nil {
		l.hangUp(err)
		_ = conn.Close()
		r := new(refusal)
		if will == fullWill && errors.As(err, &r) && (r.code == codeNoRetain || r.code == codeNoQoS) {
			return p.dial(ctx, id, plainWill)
		}
		return nil, p.name(ctx, err, l.wire)
	}
	l.agree(ack)
	return l, nil
}

func disconnectText(d *paho.Disconnect) string {
	if d.Properties == nil {
		return ""
	}
	return d.Properties.ReasonString
}

func (p *Publisher) connect(id string, will lastWill) *paho.Connect {
	most, many := uint32(maxPacket), uint16(16)
	c := &paho.Connect{ClientID: id, KeepAlive: 15, CleanStart: true,
		Properties: &paho.ConnectProperties{MaximumPacketSize: &most, ReceiveMaximum: &many, RequestProblemInfo: true}}
	c.UsernameFlag, c.Username = p.o.Username != "", p.o.Username
	c.PasswordFlag, c.Password = p.o.Password != "", []byte(p.o.Password)
	if will != noWill {
		c.WillMessage = &paho.WillMessage{Topic: p.topic("availability"), Payload: []byte("offline")}
		if will == fullWill {
			c.WillMessage.QoS, c.WillMessage.Retain = 1, true
		}
		c.WillProperties = &paho.WillProperties{}
	}
	return c
}

// agree takes over what the broker can do.
func (l *link) agree(ack *paho.Connack) {
	props := ack.Properties
	if props == nil {
		return
	}
	l.retain = props.RetainAvailable
	if props.MaximumQoS != nil {
		l.qos = min(l.qos, *props.MaximumQoS)
	}
	if props.MaximumPacketSize != nil {
		l.most = *props.MaximumPacketSize
	}
}

// lacks says in words what the broker cannot do.
func (l *link) lacks() (all []string) {
	if !l.retain {
		all = append(all, "keeps no retained messages: who connects later hears nothing until it is said again")
	}
	if l.qos == 0 {
		all = append(all, "acknowledges no message: what is lost on the way is not sent again")
	}
	return all
}

// name says what the failure to connect means. Where the broker hung up
// without a word, it is asked once more in the other ways that there are.
func (p *Publisher) name(ctx context.Context, err error, w *wire) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	says := ""
	if w != nil {
		says = w.speaks()
	}
	var record tls.RecordHeaderError
	switch {
	case says != "":
	case p.tls != nil && w == nil && (hungUp(err) || errors.As(err, &record)) && p.answersPlain(ctx, false):
		says = "the broker speaks no TLS on this port: write mqtt://, or give the port on which it does (often 8883)"
	case p.tls == nil && w != nil && hungUp(err) && p.answersTLS(ctx):
		says = "the broker speaks TLS on this port: write mqtts://, or give the port on which it does not (often 1883)"
	case w != nil && hungUp(err) && p.answersPlain(ctx, p.tls != nil):
		says = "the broker answers MQTT 3.1.1 and hangs up at MQTT 5, which miend needs (mosquitto speaks it from 1.6 on)"
	case w != nil && p.tls != nil && hungUp(err):
		says = "the broker hung up without a word; so do those that ask for a certificate of the client, which miend does not have"
	case w != nil && hungUp(err):
		says = "the broker hung up without a word"
	default:
		return fmt.Errorf("publish: %s: %w%s", p.url.Redacted(), err, explain(err))
	}
	return fmt.Errorf("publish: %s: %s: %w", p.url.Redacted(), says, err)
}

// answersTLS reports whether a TLS server is on the broker's port; whose, does
// not matter, for nothing is told to it.
func (p *Publisher) answersTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, silence/4)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", p.url.Host)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// answersPlain reports whether somebody answers as a broker to the CONNECT of
// MQTT 3.1.1, in which no name or password is told.
func (p *Publisher) answersPlain(ctx context.Context, encrypted bool) bool {
	conn, err := p.open(ctx, encrypted)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(silence / 4)); err != nil {
		return false
	}
	id := "mien-" + rand.Text()[:8]
	hello := append([]byte{packets.CONNECT << 4, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, byte(len(id))}, id...)
	if _, err := conn.Write(hello); err != nil {
		return false
	}
	var first [1]byte
	n, _ := conn.Read(first[:])
	return n == 1 && first[0] == packets.CONNACK<<4
}

// hear takes what the broker sends of itself: that Home Assistant has started,
// and, at the beginning, what it retains of lines that there are no more.
func (l *link) hear(r paho.PublishReceived) (bool, error) {
	p, topic := l.p, r.Packet.Topic
	switch {
	case topic == p.o.Discovery+"/status":
		if string(r.Packet.Payload) == "online" && !r.Packet.Retain {
			nudge(p.birth)
		}
	case topic == p.topic("availability"):
		of := r.Packet.Properties.User.Get(instance)
		select {
		case p.others <- string(r.Packet.Payload) == "online" && of != "" && of != p.instance:
		default:
		}
	case r.Packet.Retain && len(r.Packet.Payload) > 0 && strings.HasPrefix(topic, p.topic("line/")):
		p.kept.stray(topic)
	}
	return true, nil
}

// wants is what the device listens to.
func (p *Publisher) wants() []paho.SubscribeOptions {
	subs := []paho.SubscribeOptions{{Topic: p.topic("line/+"), NoLocal: true}}
	if p.o.Discovery != "-" {
		// A birth that the broker retains is an old one.
		subs = append(subs, paho.SubscribeOptions{Topic: p.o.Discovery + "/status", RetainHandling: 2})
	}
	return subs
}

// listen subscribes, once a connection. That it may not is no reason not to
// publish.
func (l *link) listen() {
	subs := l.p.wants()
	ack, err := l.client.Subscribe(l.up, &paho.Subscribe{Subscriptions: subs})
	if l.up.Err() != nil {
		return
	}
	if ack != nil {
		for i, code := range ack.Reasons {
			if code >= 0x80 && i < len(subs) {
				l.p.report.Once("subscribe "+subs[i].Topic, fmt.Errorf("publish: subscribing to %s is refused: %w", subs[i].Topic, &refusal{code: code}))
			}
		}
	} else if err != nil {
		l.p.report.Once("subscribe", fmt.Errorf("publish: subscribe: %w", err))
	}
}

// send sends a message after those before it. It waits only for room.
func (l *link) send(m queue.Message, t *queue.Ticket) error {
	s := &sent{Message: m, ticket: t, answer: make(chan packets.ControlPacket, 1), settled: make(chan struct{}), alone: t != nil && l.careful || t == nil && l.gingerly}
	if s.alone {
		l.settle(l.up)
	}
	if m.Stale {
		s.answer <- packets.ControlPacket{Content: &packets.Puback{}, FixedHeader: packets.FixedHeader{Type: packets.PUBACK}}
		return l.track(s)
	}
	out := &paho.Publish{Topic: m.Topic, Payload: m.Payload, QoS: l.qos, Retain: m.Retain && l.retain, Properties: &paho.PublishProperties{}}
	if m.Retain && m.Passing {
		seconds := uint32(l.p.life / time.Second)
		out.Properties.MessageExpiry = &seconds
	}
	if m.Topic == l.p.topic("availability") {
		out.Properties.User.Add(instance, l.p.instance)
	}
	if most := int(l.most); most > 0 && len(m.Payload)+len(m.Topic)+64 > most {
		s.answer <- packets.ControlPacket{Content: &packets.Puback{ReasonCode: 0x95}, FixedHeader: packets.FixedHeader{Type: packets.PUBACK}}
		return l.track(s)
	}
	if err := l.track(s); err != nil {
		return err
	}
	l.session.next = s.answer
	ctx, cancel := context.WithTimeout(l.up, silence)
	defer cancel()
	_, err := l.client.PublishWithOptions(ctx, out, paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
	switch {
	case err != nil && l.up.Err() != nil:
		return context.Cause(l.up)
	case err != nil:
		return err
	case l.qos == 0:
		s.answer <- packets.ControlPacket{Content: &packets.Puback{}, FixedHeader: packets.FixedHeader{Type: packets.PUBACK}}
	}
	if s.alone {
		select {
		case <-s.settled:
			l.careful = l.careful && t == nil
		case <-l.up.Done():
			return context.Cause(l.up)
		}
	}
	return nil
}

// track waits for room among the messages on their way.
func (l *link) track(s *sent) error {
	select {
	case l.flight <- s:
		return nil
	case <-l.up.Done():
		return context.Cause(l.up)
	}
}

// read reads the answers, in the order in which the messages were sent.
func (l *link) read() {
	for {
		select {
		case <-l.up.Done():
			return
		case l.waiting = <-l.flight:
		}
		late := time.NewTimer(silence)
		select {
		case <-l.up.Done():
			late.Stop()
			return
		case <-late.C:
			l.hangUp(errSilent)
			return
		case a := <-l.waiting.answer:
			late.Stop()
			ack, ok := a.Content.(*packets.Puback)
			if !ok {
				l.hangUp(errProtocol)
				return
			}
			if err := l.p.answered(l.waiting, ack); err != nil {
				l.hangUp(err)
				return
			}
			if ack.ReasonCode < 0x80 && !l.waiting.Stale {
				l.took++
				if l.waiting.ticket != nil {
					l.moved++
				}
			}
			close(l.waiting.settled)
			l.waiting = nil
		}
	}
}

// unanswered is the first message that the broker did not answer, once the
// link has ended; nil if there is none.
func (l *link) unanswered() *sent {
	if l.waiting == nil {
		select {
		case l.waiting = <-l.flight:
		default:
		}
	}
	return l.waiting
}

// settle waits until everything is answered.
func (l *link) settle(ctx context.Context) {
	s := &sent{Message: queue.Message{Stale: true}, answer: make(chan packets.ControlPacket, 1), settled: make(chan struct{})}
	s.answer <- packets.ControlPacket{Content: &packets.Puback{}}
	select {
	case l.flight <- s:
	case <-l.up.Done():
	case <-ctx.Done():
		return
	}
	select {
	case <-s.settled:
	case <-l.up.Done():
	case <-ctx.Done():
	}
}

// endSoon leaves the broker a farewell's time and then ends the connection, whatever
// waits for an answer or for room to write: miend leaves behind what has not ended soon
// after that, and what is not written then is lost.
func (l *link) endSoon() {
	select {
	case <-l.up.Done():
	case <-time.After(queue.Farewell):
		l.hangUp(errSilent)
		_ = l.wire.Close()
	}
}

// close ends the connection; with a word to the broker it keeps the last will
// to itself.
func (l *link) close(word bool) {
	if word && l.up.Err() == nil {
		_ = l.client.Disconnect(&paho.Disconnect{}) // it is closed in any case
	}
	_ = l.wire.Close()
	l.hangUp(net.ErrClosed)
	<-l.client.Done()
	l.done.Wait()
	_ = l.session.Close() // nobody asks it any more
}
