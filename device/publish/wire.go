package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

const (
	// maxPacket is the largest packet that a broker may send, in bytes. What
	// we have subscribed to is shorter by far: one word, and our own
	// introduction never.
	maxPacket = 64 << 10
	// silence is how long a packet may take to be written, and an answer to
	// come.
	silence = 20 * time.Second
)

// errProtocol is a broker that does not keep to MQTT.
var errProtocol = errors.New("this is no MQTT 5 broker, or one that has lost its way")

// wire is a connection to a stranger. It lets through only packets that a
// broker may send to a client of QoS 0 and 1, and no longer ones than were
// agreed: the library behind it takes memory for what a packet says of its own
// length. It is a sync.Locker, by which that library writes a packet whole.
type wire struct {
	net.Conn

	told sync.Mutex
	head []byte // first bytes received, to tell what the other end is

	first  byte // of the packet at hand
	length int  // of its rest, as far as read
	digits int  // read of the length
	left   int  // bytes of the packet to come
	begun  bool
	met    bool // it has begun with CONNACK

	mu  sync.Mutex
	out bytes.Buffer
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.told.Lock()
	w.head = append(w.head, p[:min(n, 8-len(w.head))]...)
	w.told.Unlock()
	for b := p[:n]; len(b) > 0; {
		used, e := w.follow(b)
		if e != nil {
			w.listen()
			return 0, e
		}
		b = b[used:]
	}
	return n, err
}

// listen takes a few more bytes of what is no broker, to tell what it is.
func (w *wire) listen() {
	w.told.Lock()
	defer w.told.Unlock()
	more := make([]byte, 8-len(w.head))
	if w.Conn.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		n, _ := io.ReadFull(w.Conn, more)
		w.head = append(w.head, more[:n]...)
	}
}

// follow moves on in the packet at hand and returns how many bytes of b it
// took.
func (w *wire) follow(b []byte) (int, error) {
	switch {
	case w.left > 0:
		n := min(w.left, len(b))
		w.left -= n
		return n, nil
	case !w.begun:
		w.begun, w.first, w.length, w.digits = true, b[0], 0, 0
		return 1, w.expected()
	}
	w.length |= int(b[0]&0x7f) << (7 * w.digits)
	w.digits++
	switch {
	case w.length > maxPacket || w.digits == 4 && b[0] > 0x7f:
		return 1, fmt.Errorf("the broker sends a packet of more than the %d bytes agreed: %w", maxPacket, errProtocol)
	case b[0] <= 0x7f:
		w.begun, w.left = false, w.length
	}
	return 1, nil
}

// expected refuses packets that have no business on this connection. That
// they never reach the library matters: it has no answer to some.
func (w *wire) expected() error {
	met := w.met
	w.met = true
	switch w.first >> 4 {
	case packets.CONNACK:
		if !met {
			return nil
		}
	case packets.PUBACK, packets.SUBACK, packets.PINGRESP, packets.DISCONNECT:
		if met {
			return nil
		}
	case packets.PUBLISH:
		if met && w.first&6 == 0 { // QoS 0, which is all that we subscribe with
			return nil
		}
	}
	return fmt.Errorf("the broker sends %#02x, which it must not: %w", w.first, errProtocol)
}

// Lock begins a packet.
func (w *wire) Lock() { w.mu.Lock() }

// Write implements net.Conn, within Lock and Unlock.
func (w *wire) Write(p []byte) (int, error) { return w.out.Write(p) }

// Unlock sends the packet. That it could not be sent ends the connection,
// which its reader notices.
func (w *wire) Unlock() {
	defer w.mu.Unlock()
	err := w.Conn.SetWriteDeadline(time.Now().Add(silence))
	if err == nil {
		_, err = w.Conn.Write(w.out.Bytes())
	}
	w.out.Reset()
	if err != nil {
		_ = w.Conn.Close()
	}
}

// The first bytes of what is no MQTT 5 broker.
var (
	oldBroker = []byte{packets.CONNACK << 4, 2, 0, 1} // MQTT 3.1.1: unacceptable protocol version
	tlsAlert  = []byte{21, 3}                         // RFC 8446, 5.1
)

// speaks says what the other end of a failed connection seems to be.
func (w *wire) speaks() string {
	w.told.Lock()
	defer w.told.Unlock()
	switch {
	case bytes.HasPrefix(w.head, oldBroker), bytes.HasPrefix(w.head, []byte{packets.CONNACK << 4, 2, 0, 0x84}):
		return "the broker speaks MQTT 3.1.1 only; miend needs MQTT 5 (mosquitto speaks it from 1.6 on)"
	case bytes.HasPrefix(w.head, tlsAlert):
		return "the broker speaks TLS on this port: write mqtts://"
	case bytes.HasPrefix(w.head, []byte("HTTP/")):
		return "this is a web server and no MQTT broker"
	}
	return ""
}
