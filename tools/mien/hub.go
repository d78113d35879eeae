package main

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mien/train/work"
)

// hub says where the fleet's hub is.
type hub struct {
	Fleet       string `help:"Hub of the fleet (mien fleet serve), as tls://HOST:4222: its workers do the runs." placeholder:"URL"`
	Credentials string `help:"Credentials for the hub (mien fleet hire)." placeholder:"FILE"`
	CA          string `name:"ca" help:"Certificate that the hub is known by; by default those of the system." placeholder:"FILE"`
	Cert        string `name:"certificate" help:"Certificate of this machine's own, for a hub that asks for one." placeholder:"FILE"`
	Key         string `name:"private-key" help:"Its key." placeholder:"FILE"`
}

type stream = jetstream.JetStream

// connect comes back by itself when the hub was away.
func (h *hub) connect(e env) (stream, func(), error) {
	o := []nats.Option{nats.Name("mien"), nats.MaxReconnects(-1), nats.ReconnectWait(2 * time.Second), nats.CustomInboxPrefix(work.Inbox)}
	if h.Credentials != "" {
		o = append(o, nats.UserCredentials(h.Credentials))
	}
	if h.CA != "" {
		o = append(o, nats.RootCAs(h.CA))
	}
	if h.Cert != "" {
		o = append(o, nats.ClientCert(h.Cert, h.Key))
	}
	nc, err := nats.Connect(h.Fleet, o...)
	if err != nil {
		return nil, nil, fmt.Errorf("hub %s: %w", h.Fleet, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("hub %s: %w", h.Fleet, err)
	}
	return js, nc.Close, nil
}
