package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/eclipse/paho.golang/paho"

	"mien/device"
	"mien/device/queue"
	"mien/runtime/secret"
)

// Trial is what a broker allows a device to do.
type Trial struct {
	Broker string   // its address
	Denied []string // as in "publish to mien/hall/state"
	Lacks  []string // what the broker cannot do, as in "keeps no retained messages"
}

// Try connects to the broker as a Publisher does, but beside it, under a
// client id of its own, and asks for everything that it needs: to log in, to
// publish under each of its topics, to hear of Home Assistant's start. What it
// publishes is not retained: an empty message under each topic, and to Home
// Assistant, which an empty one would have forget the device, the introduction
// that a Publisher makes. It touches no queue. Trial says what is denied; an
// error says why there is no connection.
func Try(ctx context.Context, o Options) (Trial, error) {
	o.Report, o.Levels = nil, nil
	o.Health = func() device.Health { return device.Health{} } // which has a topic too
	p, err := unqueued(o)
	if err != nil {
		return Trial{}, err
	}
	out := Trial{Broker: secret.Redact(p.url.String())}
	p.kept = newKept("")
	p.describe(p.health())
	words := map[string][]byte{}
	if c := p.kept.known.Config; c != "" {
		words[c] = p.kept.topics[c].payload
	}
	for _, name := range []string{"reading", "track", "transition"} {
		p.kept.set(p.topic(name), nil, true)
	}
	topics := slices.Clone(p.kept.order)
	l, err := p.dial(ctx, p.clientID()+"-trial", noWill)
	r := new(refusal)
	switch {
	case errors.As(err, &r) && isLogin(r.code):
		return out, &LoginError{err}
	case err != nil:
		return out, err
	}
	out.Lacks = l.lacks()
	l.done.Go(l.read)
	defer l.close(true)
	defer context.AfterFunc(ctx, func() { l.hangUp(ctx.Err()) })()
	for _, sub := range p.wants() {
		if ack, err := l.client.Subscribe(l.up, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{sub}}); err != nil && ack != nil {
			out.Denied = append(out.Denied, "subscribe to "+sub.Topic)
		}
	}
	for _, topic := range topics {
		if err := l.send(queue.Message{Topic: topic, Payload: words[topic]}, nil); err != nil {
			return out, fmt.Errorf("publish: %s: %s: %w", out.Broker, topic, err)
		}
	}
	l.settle(ctx)
	if err := context.Cause(l.up); err != nil {
		return out, fmt.Errorf("publish: %s: %w", out.Broker, err)
	}
	p.kept.mu.Lock()
	defer p.kept.mu.Unlock()
	for _, topic := range topics {
		if t := p.kept.topics[topic]; t != nil && t.refused == codeNotAuthorized {
			out.Denied = append(out.Denied, "publish to "+topic)
		} else if t != nil && t.refused != 0 {
			out.Denied = append(out.Denied, fmt.Sprintf("publish to %s: %v", topic, &refusal{code: t.refused}))
		}
	}
	return out, nil
}

// LoginError is a broker's refusal to let the device in.
type LoginError struct{ Err error }

func (e *LoginError) Error() string { return e.Err.Error() }

// Unwrap returns what the broker said.
func (e *LoginError) Unwrap() error { return e.Err }

// isLogin reports whether a refusal is one of name and password.
func isLogin(code byte) bool {
	return code == codeUser || code == codeNotAuthorized || code == codeBanned || code == codeMethod
}

// Refused reports whether err is a broker's refusal to let the device in.
func Refused(err error) bool {
	var login *LoginError
	return errors.As(err, &login)
}
