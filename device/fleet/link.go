package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"mien/device/fleet/wire"
	"mien/device/internal/retry"
	"mien/device/queue"
	"mien/runtime/secret"
)

// CheckServer says what is wrong with the address of a hub.
func CheckServer(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "nats" && u.Scheme != "tls" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("fleet: server %q is not tls://host:port or nats://host:port", secret.Redact(address))
	}
	if u.User != nil {
		return fmt.Errorf("fleet: server %q: who this is, is said by fleet.credentials", secret.Redact(address))
	}
	return nil
}

const (
	// silence is how long an answer of the hub is waited for.
	silence = 5 * time.Second
	// mostStrikes is how often the hub may deny a message before that is set aside.
	mostStrikes = 3
)

// where is what the board connects with.
func (o *Options) where(report func(error)) wire.Options {
	return wire.Options{Servers: o.Servers, Credentials: o.Credentials, CA: o.CA, Certificate: o.Certificate, PrivateKey: o.PrivateKey,
		Name: o.ID.String(), Inbox: o.ID.Inbox(), Report: report}
}

// explain says what to do about a failure to connect.
func explain(err error) string {
	denied := new(wire.Denied)
	switch text := err.Error(); {
	case errors.As(err, &denied) && denied.Permission():
		return " (credentials let a board do what boards did when it was enrolled, under the name that it had then: mien fleet enrol makes new ones)"
	case errors.As(err, &denied):
		return " (the hub does not know these credentials, or no longer: mien fleet enrol makes new ones)"
	case strings.Contains(text, "remote error: tls: certificate required"):
		return " (the hub asks for a certificate of this board's own: fleet.certificate and fleet.private_key)"
	case strings.Contains(text, "remote error: tls: expired certificate"):
		return " (fleet.certificate is past its date: this board needs a new one)"
	case strings.Contains(text, "remote error: tls: unknown certificate authority"):
		return " (fleet.certificate is not signed by an authority that the hub trusts)"
	case strings.Contains(text, "remote error: tls: bad certificate"), strings.Contains(text, "remote error: tls: handshake failure"):
		return " (the hub does not take fleet.certificate, or asks for one and there is none)"
	case strings.Contains(text, "x509"):
		return " (fleet.ca has to be the ca.pem of the hub, and its name or address one that the hub was started with: mien fleet serve --host)"
	}
	return ""
}

// connect tells the hub over one connection after another until ctx ends, then what
// is left, if that is quick.
func (b *Board) connect(ctx context.Context) {
	for failed := 0; ctx.Err() == nil; {
		c, err := wire.Dial(ctx, b.o.where(func(err error) { b.rep.Once("hub "+err.Error(), fmt.Errorf("fleet: %w%s", err, explain(err))) }))
		if err == nil {
			before := b.sent.Load()
			err = b.serve(ctx, c)
			if b.sent.Load() > before {
				failed = 0
			}
		}
		if ctx.Err() == nil {
			b.rep.Once("connect "+err.Error(), fmt.Errorf("fleet: %w%s", err, explain(err)))
			retry.Pause(ctx, retry.Backoff(failed, 1))
			failed++
		}
	}
}

// serve tells the hub over a connection until that or ctx ends.
func (b *Board) serve(ctx context.Context, c *wire.Conn) error {
	defer c.Close()
	b.connected.Store(true)
	defer b.connected.Store(false)
	b.listen(c)
	up, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		<-c.Done()
		cancel()
	}()
	defer b.hearOf(c)()
	b.queue.Rewind()
	b.tell(up, c, false)
	if ctx.Err() == nil {
		return c.Err()
	}
	<-b.feed.Stored()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), queue.Farewell)
	defer stop()
	b.queue.Rewind()
	b.tell(last, c, true)
	return nil
}

// tell sends what waits, one message after the other: the next goes when the hub
// has kept the one before, which is what holds their order, whatever happens to
// the hub between. It ends with ctx; the last time when nothing waits or the hub
// does not answer.
func (b *Board) tell(ctx context.Context, c *wire.Conn, last bool) {
	known := map[string]MessageID{}
	for failed := 0; ctx.Err() == nil; {
		m, t, ok, err := b.queue.Next()
		switch {
		case err != nil:
			b.rep.Once("queue", err)
			retry.Pause(ctx, 200*time.Millisecond)
			continue
		case !ok && last:
			return
		case !ok:
			wait(ctx, b.queue.Wake)
			continue
		case b.feed.Forgetting():
			b.queue.Rewind()
			wait(ctx, b.queue.Wake)
			continue
		}
		if m.ID != b.tried {
			b.tried, b.since = m.ID, time.Now()
		}
		err = b.send(ctx, c, m, time.Since(b.since), known)
		denied := new(wire.Denied)
		switch {
		case err == nil:
			b.sent.Add(1)
		case errors.As(err, &denied) && b.queue.Strike(t) >= mostStrikes:
			b.setAside(m, err)
		default:
			if ctx.Err() == nil {
				b.rep.Once("send "+err.Error(), fmt.Errorf("fleet: %s waits: %w", m.Topic, err))
			}
			b.queue.Rewind()
			if last {
				return
			}
			failed++
			retry.Pause(ctx, retry.Backoff(failed-1, 1))
			continue
		}
		failed = 0
		b.queue.Ack(t)
	}
}

func wait(ctx context.Context, c <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-c:
	}
}

// setAside keeps a message that the hub does not want beside the queue.
func (b *Board) setAside(m queue.Message, why error) {
	if err := b.queue.SetAside(m, why.Error(), time.Now()); err != nil {
		b.rep.Once("set aside", err)
	}
	b.refused.Add(1)
	b.rep.Once("refused "+m.Topic, fmt.Errorf("fleet: %s: a message is refused by the hub and set aside in %s: %w", m.Topic, filepath.Join(b.o.Dir, queue.Refused), why))
}

// send has the hub keep a message. It does so once: within Repeats the hub knows
// by the id what comes again; before anything is repeated after a longer time,
// and before what an earlier run left is sent, it is asked what it has kept.
func (b *Board) send(ctx context.Context, c *wire.Conn, m queue.Message, trying time.Duration, known map[string]MessageID) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	id, _ := ParseMessageID(m.ID)
	if id.Life != b.life || trying > Repeats/2 {
		kept, asked := known[m.Topic]
		if !asked || id.Life == b.life {
			var err error
			if kept, err = b.lastKept(ctx, c, m.Topic); err != nil {
				return err
			}
			known[m.Topic] = kept
		}
		if kept.Life == id.Life && id.Number <= kept.Number {
			return nil
		}
	}
	answer, err := ask(ctx, c, m.Topic, m.ID, m.Payload)
	if err != nil {
		return err
	}
	var ack struct {
		Stream string `json:"stream"`
		Error  *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(answer.Payload, &ack); {
	case err != nil:
		return fmt.Errorf("the hub answers what is no acknowledgement: %w", err)
	case ack.Error != nil && ack.Error.Code == tooLarge:
		return &wire.Denied{Text: ack.Error.Description}
	case ack.Error != nil:
		return fmt.Errorf("the hub does not keep it: %s (code %d)", ack.Error.Description, ack.Error.Code)
	case ack.Stream == "":
		return errors.New("somebody answers, and keeps nothing")
	}
	return nil
}

// tooLarge is the server's code for a message that is larger than its stream
// takes (nats-server server/errors.json, JSStreamMessageExceedsMaximumErr).
const tooLarge = 10054

// lastKept asks which message the hub has kept last under a subject; the zero
// one if none.
func (b *Board) lastKept(ctx context.Context, c *wire.Conn, subject string) (MessageID, error) {
	_, name, err := ParseSubject(subject)
	if err != nil {
		return MessageID{}, nil // of another program
	}
	row, err := subjectOf(name)
	if err != nil {
		return MessageID{}, nil // of other firmware
	}
	answer, err := ask(ctx, c, lastOf(row.Stream, subject), "", nil)
	if errors.Is(err, wire.ErrNoResponders) {
		return MessageID{}, nil // there is no such stream, or it does not tell
	}
	if err != nil {
		return MessageID{}, err
	}
	id, _ := ParseMessageID(answer.Header("Nats-Msg-Id")) // 404 has none
	return id, nil
}

// ask is c.Ask, with what its errors mean here.
func ask(ctx context.Context, c *wire.Conn, subject, id string, payload []byte) (*wire.Message, error) {
	answer, err := c.Ask(ctx, subject, id, payload)
	switch {
	case errors.Is(err, wire.ErrNoResponders):
		return nil, fmt.Errorf("nobody at the hub keeps %s: %w", subject, err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("the hub does not answer within %v", silence)
	}
	return answer, err
}
