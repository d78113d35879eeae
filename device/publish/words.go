package publish

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// reasons are the reason codes with which a broker refuses (MQTT 5, 2.4), in
// words, and what to do where that can be said.
var reasons = map[byte]string{
	0x80: "unspecified error",
	0x81: "malformed packet",
	0x82: "protocol error",
	0x83: "an error of the broker's own kind",
	0x84: "the broker does not speak MQTT 5, which miend needs (mosquitto does from 1.6 on)",
	0x85: "client identifier not valid: choose another name for the device",
	0x86: "bad user name or password",
	0x87: "not authorized",
	0x88: "the broker is not available",
	0x89: "the broker is busy",
	0x8A: "banned by the broker",
	0x8B: "the broker is shutting down",
	0x8C: "bad authentication method",
	0x8D: "keep alive timeout: the broker had not heard of us",
	0x8E: "session taken over",
	0x8F: "topic filter invalid",
	0x90: "topic name invalid",
	0x91: "packet identifier in use",
	0x92: "packet identifier not found",
	0x93: "more messages on their way than the broker takes",
	0x94: "topic alias invalid",
	0x95: "packet too large for the broker",
	0x96: "message rate too high for the broker",
	0x97: "quota exceeded",
	0x98: "ended by the broker's administrator",
	0x99: "payload format invalid",
	0x9A: "the broker keeps no retained messages",
	0x9B: "the broker does not support QoS 1",
	0x9C: "use another server",
	0x9D: "the broker has moved",
	0x9E: "the broker does not support shared subscriptions",
	0x9F: "connection rate exceeded",
	0xA0: "maximum connect time",
	0xA1: "the broker does not support subscription identifiers",
	0xA2: "the broker does not support wildcards",
}

// The codes on which something is decided.
const (
	codeImplementation = 0x83
	codeUser           = 0x86
	codeNotAuthorized  = 0x87
	codeBanned         = 0x8A
	codeMethod         = 0x8C
	codeTakenOver      = 0x8E
	codeQuota          = 0x97
	codeNoRetain       = 0x9A
	codeNoQoS          = 0x9B
)

// blames reports whether a broker that hangs up with this code says that a
// packet of ours was wrong.
func blames(code byte) bool {
	switch code {
	case 0x81, 0x82, 0x90, 0x94, 0x95, 0x99, 0x9A, 0x9B:
		return true
	}
	return false
}

// refusal is what a broker says when it does not want something.
type refusal struct {
	code  byte
	text  string // the broker's own words, perhaps
	login bool   // it is the device that it does not want
}

func (r *refusal) Error() string {
	s := reasons[r.code]
	if s == "" {
		s = "a reason that MQTT 5 does not know"
	}
	switch {
	case r.code == codeNotAuthorized && r.login: // so does mosquitto call a wrong password
		s += ": the broker does not know this name and password"
	case r.code == codeNotAuthorized:
		s += ": the broker's access list does not allow it"
	}
	s += fmt.Sprintf(" (0x%02x)", r.code)
	if r.text != "" {
		s += ": " + printable(r.text)
	}
	return s
}

// printable is what a stranger says, fit for a log: short and without
// controls.
func printable(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if special(r) {
			return -1
		}
		return r
	}, s), "")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}

// hungUp reports an end of a connection without a word.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, net.ErrClosed)
}

const clientCert = " (the broker asks for a certificate of the client, which miend does not have)"

// explain says what an error on the way to a broker means, where that is not
// plain from it.
func explain(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return " (mqtt.ca names the file of certificates that sign the broker's)"
	case errors.As(err, &name):
		return " (mqtt.broker has to name the broker as its certificate does)"
	case strings.Contains(err.Error(), "remote error: tls: certificate required"), strings.Contains(err.Error(), "remote error: tls: bad certificate"):
		return clientCert // crypto/tls has no type for what the other end says
	case errors.Is(err, syscall.ECONNREFUSED):
		return " (no broker listens there)"
	}
	return ""
}
