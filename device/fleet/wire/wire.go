// Package wire is as much of NATS's client protocol as a board needs: to log in,
// to ask, to answer. The protocol is text, and small
// (https://docs.nats.io/reference/reference-protocols/nats-protocol). NATS's own
// client for Go (nats.go v1.55.0) does much more, and takes miend for arm64 from 17.7
// to 18.9 MiB where 18 is the bar; the texts of licences, packed, would give 0.5 back,
// and the rest would have to be the time zones, which the card image has from here
// alone. The tests of tools/fleet run it against NATS's own server.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"

	"mien/runtime/plainfile"
)

// Options say where to and as whom.
type Options struct {
	Servers     []string // tls://host:port or nats://host:port; the first that answers
	Credentials string   // file; empty for none
	CA          string   // file; empty for the system's
	Certificate string   // file; empty for none
	PrivateKey  string   // file
	Name        string   // as the server's lists show it
	Inbox       string   // the beginning of where answers go
	Report      func(error)
}

// Bounds of a connection.
const (
	patience   = 5 * time.Second  // for each step of connecting, and for a write
	pingEvery  = 20 * time.Second // so often the server is asked whether it is there
	silence    = 50 * time.Second // a server that says nothing so long is not
	maxLine    = 64 << 10         // of the protocol; INFO names all servers of a cluster
	maxMessage = 2 << 20          // headers and payload
)

// ErrNoResponders is that nobody hears what was asked.
var ErrNoResponders = errors.New("nobody hears it")

// Denied is the server's word that somebody may not.
type Denied struct{ Text string }

func (d *Denied) Error() string { return d.Text }

// Permission reports whether it is about one subject; else about who we are.
func (d *Denied) Permission() bool { return strings.HasPrefix(d.Text, "Permissions Violation") }

// Message is what came.
type Message struct {
	Subject, Reply string
	Status         string // of the headers; empty when all is well
	Payload        []byte

	headers []byte
}

// Header returns the first value of a header, empty when there is none.
func (m *Message) Header(name string) string {
	for line := range bytes.SplitSeq(m.headers, []byte("\r\n")) {
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && strings.EqualFold(string(k), name) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// Conn is a connection, from its beginning to its end.
type Conn struct {
	o    Options
	conn net.Conn
	r    *bufio.Reader

	write sync.Mutex
	buf   []byte

	asking sync.Mutex

	mu    sync.Mutex
	inbox string // of this connection
	asked uint64
	wants string // the subject of the answer that is waited for
	reply chan any
	hears map[string]func(*Message) // by number of the subscription
	done  chan struct{}
	err   error
	ping  *time.Timer
}

// info is what the server says of itself.
type info struct {
	Nonce    string `json:"nonce"`
	TLS      bool   `json:"tls_required"`
	MaxBytes int    `json:"max_payload"`
}

// Dial connects to the first server that lets us in.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	var errs []error
	for _, s := range o.Servers {
		c, err := dial(ctx, o, s)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s, err))
	}
	return nil, errors.Join(errs...)
}

func dial(ctx context.Context, o Options, server string) (_ *Conn, err error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "4222"
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &Conn{o: o, conn: conn, r: bufio.NewReaderSize(conn, 4<<10), inbox: o.Inbox + "." + rand.Text()[:8], reply: make(chan any, 1),
		hears: map[string]func(*Message){}, done: make(chan struct{})}
	defer func() {
		if err != nil {
			c.conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, err
	}
	if err := c.greet(u); err != nil {
		return nil, err
	}
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	c.ping = time.AfterFunc(pingEvery, c.sayPing)
	go c.read()
	return c, nil
}

// greet hears what the server is, makes the way private where it is to be, and
// logs in.
func (c *Conn) greet(u *url.URL) error {
	line, err := c.line()
	if err != nil {
		return err
	}
	said, ok := strings.CutPrefix(line, "INFO ")
	if !ok {
		return fmt.Errorf("no NATS server: it says %.40q", line)
	}
	var i info
	if err := json.Unmarshal([]byte(said), &i); err != nil {
		return fmt.Errorf("no NATS server: %w", err)
	}
	if u.Scheme == "tls" || i.TLS {
		if err := c.encrypt(u.Hostname()); err != nil {
			return err
		}
	}
	hello := map[string]any{"verbose": false, "pedantic": false, "lang": "go", "version": "mien", "protocol": 1, "echo": false, "headers": true,
		"no_responders": true, "name": c.o.Name, "tls_required": u.Scheme == "tls"}
	if c.o.Credentials != "" {
		if hello["jwt"], hello["sig"], err = sign(c.o.Credentials, i.Nonce); err != nil {
			return err
		}
	}
	b, err := json.Marshal(hello)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.conn, "CONNECT %s\r\nSUB %s.* 0\r\nPING\r\n", b, c.inbox); err != nil {
		if _, said := c.line(); alert(said) { // what the server did not like before it hung up
			return said
		}
		return err
	}
	for {
		switch line, err := c.line(); {
		case errors.Is(err, io.EOF):
			return errors.New("the server hung up at the login")
		case err != nil:
			return err
		case line == "PONG":
			return nil
		case strings.HasPrefix(line, "-ERR"):
			return &Denied{quoted(line)}
		}
	}
}

// alert reports whether an error is the server's word that something is wrong with
// TLS: with our certificate, for it says so only after the handshake.
func alert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// quoted is what stands between the quotes of an error of the server.
func quoted(line string) string { return strings.Trim(strings.TrimPrefix(line, "-ERR"), " '") }

func (c *Conn) encrypt(host string) error {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.o.CA != "" {
		pem, err := plainfile.Read(c.o.CA, 4<<20)
		if err != nil {
			return err
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no PEM certificate", c.o.CA)
		}
	}
	if c.o.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.o.Certificate, c.o.PrivateKey)
		if err != nil {
			return fmt.Errorf("%s and %s are no certificate with its key: %w", c.o.Certificate, c.o.PrivateKey, err)
		}
		// Also to a server that names other authorities: so it says what is wrong.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	if c.r.Buffered() > 0 {
		return errors.New("the server goes on in the clear where it should begin TLS")
	}
	t := tls.Client(c.conn, cfg)
	if err := t.Handshake(); err != nil {
		return err
	}
	c.conn, c.r = t, bufio.NewReaderSize(t, 4<<10)
	return nil
}

// sign reads credentials and signs what the server made up with them.
func sign(file, nonce string) (token, sig string, err error) {
	b, err := plainfile.Read(file, 64<<10)
	if err != nil {
		return "", "", err
	}
	if token, err = nkeys.ParseDecoratedJWT(b); err != nil {
		return "", "", fmt.Errorf("%s: %w", file, err)
	}
	key, err := nkeys.ParseDecoratedUserNKey(b)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", file, err)
	}
	defer key.Wipe()
	raw, err := key.Sign([]byte(nonce))
	return token, base64.RawURLEncoding.EncodeToString(raw), err
}

// line reads one line of the protocol.
func (c *Conn) line() (string, error) {
	var long []byte
	for {
		part, err := c.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) && len(long) < maxLine {
			long = append(long, part...)
			continue
		}
		if err != nil {
			return "", err
		}
		if long == nil {
			return strings.TrimRight(string(part), "\r\n"), nil
		}
		return strings.TrimRight(string(append(long, part...)), "\r\n"), nil
	}
}

// send writes parts at once.
func (c *Conn) send(parts ...string) error {
	c.write.Lock()
	defer c.write.Unlock()
	c.buf = c.buf[:0]
	for _, p := range parts {
		c.buf = append(c.buf, p...)
	}
	return c.flush()
}

func (c *Conn) flush() error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.conn.Write(c.buf)
	if err != nil {
		c.end(err)
	}
	if cap(c.buf) > 64<<10 {
		c.buf = nil
	}
	return err
}

func (c *Conn) sayPing() {
	if c.send("PING\r\n") == nil {
		c.ping.Reset(pingEvery)
	}
}

// read hands on what comes until the connection ends.
func (c *Conn) read() {
	for {
		err := c.conn.SetReadDeadline(time.Now().Add(silence))
		var line string
		if err == nil {
			line, err = c.line()
		}
		if err == nil {
			err = c.take(line)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

func (c *Conn) take(line string) error {
	op, rest, _ := strings.Cut(line, " ")
	switch op {
	case "MSG", "HMSG":
		return c.message(op == "HMSG", strings.Fields(rest))
	case "PING":
		return c.send("PONG\r\n")
	case "-ERR":
		d := &Denied{quoted(line)}
		if !d.Permission() {
			return d
		}
		c.o.Report(d)
		if strings.Contains(d.Text, "for Publish") { // of what was asked last: one at a time is
			c.answer(d)
		}
	}
	return nil // PONG, INFO, +OK
}

// message reads what belongs to a line: SUBJECT SID [REPLY] [HEADERS] BYTES.
func (c *Conn) message(headers bool, f []string) error {
	numbers := 1
	if headers {
		numbers = 2
	}
	if len(f) != 2+numbers && len(f) != 3+numbers {
		return fmt.Errorf("the server speaks no NATS: a message of %d words", len(f))
	}
	m := &Message{Subject: f[0]}
	if len(f) == 3+numbers {
		m.Reply = f[2]
	}
	total, err := strconv.Atoi(f[len(f)-1])
	if err != nil || total < 0 || total > maxMessage {
		return fmt.Errorf("the server sends a message of %.20q bytes", f[len(f)-1])
	}
	head := 0
	if headers {
		if head, err = strconv.Atoi(f[len(f)-2]); err != nil || head < 0 || head > total {
			return fmt.Errorf("the server sends headers of %.20q bytes", f[len(f)-2])
		}
	}
	body := make([]byte, total+2)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return err
	}
	m.headers, m.Payload = body[:head], body[head:total]
	if status, ok := strings.CutPrefix(string(m.headers), "NATS/1.0"); ok {
		status, _, _ = strings.Cut(status, "\r\n")
		m.Status = strings.TrimSpace(status)
	}
	if f[1] == "0" {
		c.mu.Lock()
		wanted := m.Subject == c.wants
		c.mu.Unlock()
		if wanted {
			c.answer(m)
		}
		return nil
	}
	c.mu.Lock()
	hear := c.hears[f[1]]
	c.mu.Unlock()
	if hear != nil {
		hear(m)
	}
	return nil
}

// answer hands an answer to who waits for one, if anybody does.
func (c *Conn) answer(a any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wants == "" {
		return
	}
	c.wants = ""
	c.reply <- a // has room: one answer is wanted at a time
}

func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if err == nil {
		err = net.ErrClosed
	}
	c.err = err
	if c.ping != nil {
		c.ping.Stop()
	}
	close(c.done)
	c.conn.Close()
}

// Close ends the connection.
func (c *Conn) Close() { c.end(nil) }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection has ended.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Hear has f called with what comes under a subject, from the connection's own
// goroutine.
func (c *Conn) Hear(subject string, f func(*Message)) error {
	c.mu.Lock()
	sid := strconv.Itoa(len(c.hears) + 1)
	c.hears[sid] = f
	c.mu.Unlock()
	return c.send("SUB ", subject, " ", sid, "\r\n")
}

// Publish says something.
func (c *Conn) Publish(subject string, payload []byte) error {
	return c.publish(subject, "", "", payload)
}

// publish writes a message, with an id in its headers unless that is empty.
func (c *Conn) publish(subject, reply, id string, payload []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	b := c.buf[:0]
	head := ""
	if id != "" {
		head = "NATS/1.0\r\nNats-Msg-Id: " + id + "\r\n\r\n"
		b = append(b, 'H')
	}
	b = append(append(append(b, "PUB "...), subject...), ' ')
	if reply != "" {
		b = append(append(b, reply...), ' ')
	}
	if id != "" {
		b = append(strconv.AppendInt(b, int64(len(head)), 10), ' ')
	}
	b = append(strconv.AppendInt(b, int64(len(head)+len(payload)), 10), "\r\n"...)
	c.buf = append(append(append(b, head...), payload...), "\r\n"...)
	return c.flush()
}

// Ask says something, with an id unless that is empty, and waits for the answer.
// One thing at a time is asked: who comes meanwhile waits his turn. The error is
// ErrNoResponders when nobody hears it, a *Denied when the server does not let us say
// it.
func (c *Conn) Ask(ctx context.Context, subject, id string, payload []byte) (*Message, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	c.mu.Lock()
	select { // an answer that came when nobody waited any more
	case <-c.reply:
	default:
	}
	c.asked++
	c.wants = c.inbox + "." + strconv.FormatUint(c.asked, 36)
	reply := c.wants
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.wants = ""
		c.mu.Unlock()
	}()
	if err := c.publish(subject, reply, id, payload); err != nil {
		return nil, err
	}
	select {
	case a := <-c.reply:
		if d, ok := a.(*Denied); ok {
			return nil, d
		}
		m := a.(*Message)
		if strings.HasPrefix(m.Status, "503") {
			return nil, ErrNoResponders
		}
		return m, nil
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
