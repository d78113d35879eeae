package publish

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"mien/runtime/secret"
)

// Trial is what a broker allows a device to do.
type Trial struct {
	Broker string // its address
	Denied []string
}

// Try connects to the broker as a Publisher would, but beside it, under a
// client id of its own, and asks for everything that it needs: to log in, to
// publish under its topics and under Home Assistant's, to hear of Home
// Assistant's start. What it publishes is empty and not retained, on topics
// that nobody listens to. It touches no queue. Trial says what is denied; an
// error says why there is no connection.
func Try(ctx context.Context, o Options) (Trial, error) {
	o = o.defaults()
	u, err := o.check()
	if err != nil {
		return Trial{}, err
	}
	out := Trial{Broker: secret.Redact(u.String())}
	wrong := func(err error) (Trial, error) { return out, fmt.Errorf("publish: %s: %w", out.Broker, err) }
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return wrong(err)
	}
	defer conn.Close()
	if u.Scheme == "mqtts" {
		c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		if o.CA != "" {
			if c.RootCAs, err = Authority(o.CA); err != nil {
				return out, err
			}
		}
		secure := tls.Client(conn, c)
		if err := secure.HandshakeContext(ctx); err != nil {
			return wrong(err)
		}
		conn = secure
	}
	client := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: "mien-" + o.ID + "-trial", PacketTimeout: 5 * time.Second})
	ack, err := client.Connect(ctx, &paho.Connect{ClientID: "mien-" + o.ID + "-trial", CleanStart: true, KeepAlive: 15,
		Username: o.Username, UsernameFlag: o.Username != "", Password: []byte(o.Password), PasswordFlag: o.Password != ""})
	if err != nil {
		if ack != nil && ack.ReasonCode >= 0x80 {
			err = &LoginError{(&packets.Connack{ReasonCode: ack.ReasonCode}).Reason()}
		}
		return wrong(err)
	}
	defer client.Disconnect(&paho.Disconnect{})
	topics := []string{o.Prefix + "/trial"}
	if o.Discovery != "-" {
		topics = append(topics, o.Discovery+"/device/mien_trial/config")
		status := o.Discovery + "/status"
		if _, err := client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: status, QoS: 1}}}); err != nil {
			out.Denied = append(out.Denied, "subscribe to "+status)
		}
	}
	for _, topic := range topics {
		ack, err := client.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1})
		switch {
		case ack != nil && ack.ReasonCode >= 0x80:
			out.Denied = append(out.Denied, "publish to "+topic)
		case err != nil:
			return wrong(err)
		}
	}
	return out, nil
}

// LoginError is a broker's refusal, in the words of its reason code.
type LoginError struct{ Reason string }

func (e *LoginError) Error() string { return e.Reason }

// Refused reports whether err is a broker's refusal to let the device in.
func Refused(err error) bool {
	var login *LoginError
	return errors.As(err, &login)
}
