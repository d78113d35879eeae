package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// broker is a real mosquitto with TLS and a password, which can be killed and
// started again on the same port.
type broker struct {
	testing.TB
	dir, ca string
	port    int
	cmd     *exec.Cmd
	log     *bytes.Buffer
}

const user, password = "mien", "correct horse"

// newBroker starts one; more are lines of its configuration.
func newBroker(t testing.TB, more ...string) *broker {
	t.Helper()
	path := "/usr/sbin/mosquitto"
	if _, err := os.Stat(path); err != nil {
		t.Fatal("these tests need a real broker: apt-get install mosquitto")
	}
	b := &broker{TB: t, dir: t.TempDir(), port: freePort(t)}
	b.ca = filepath.Join(b.dir, "cert.pem")
	b.certificate()
	b.write("passwords", "")
	for _, who := range []string{user, "ears"} {
		if out, err := exec.Command("mosquitto_passwd", "-b", filepath.Join(b.dir, "passwords"), who, password).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
	}
	config := fmt.Sprintf("listener %d 127.0.0.1\ncertfile %s\nkeyfile %s\nallow_anonymous false\npassword_file %s\npersistence false\n",
		b.port, b.ca, filepath.Join(b.dir, "key.pem"), filepath.Join(b.dir, "passwords"))
	config += strings.Join(append(more, ""), "\n")
	if os.Geteuid() == 0 {
		config += "user root\n" // the test's folder is not for others to read
	}
	b.write("mosquitto.conf", config)
	b.start()
	t.Cleanup(b.kill)
	return b
}

func (b *broker) write(name, text string) {
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// certificate makes a certificate for 127.0.0.1 that signs itself.
func (b *broker) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	b.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	b.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func (b *broker) start() {
	b.Helper()
	b.log = &bytes.Buffer{}
	b.cmd = exec.Command("/usr/sbin/mosquitto", "-c", filepath.Join(b.dir, "mosquitto.conf"))
	b.cmd.Stderr = b.log
	if err := b.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for _, port := range b.listeners() {
		b.await("127.0.0.1:" + port)
	}
}

var listener = regexp.MustCompile(`(?m)^listener (\d+)`)

// listeners are the ports of the broker's configuration. It opens one after the
// other, so that the first says nothing of the rest.
func (b *broker) listeners() (ports []string) {
	b.Helper()
	conf, err := os.ReadFile(filepath.Join(b.dir, "mosquitto.conf"))
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range listener.FindAllSubmatch(conf, -1) {
		ports = append(ports, string(m[1]))
	}
	return ports
}

// await returns when somebody listens at addr.
func (b *broker) await(addr string) {
	b.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	b.kill()
	b.Fatalf("mosquitto does not answer at %s: %s", addr, b.log)
}

// acl is a line of configuration for newBroker: what the device's user may.
// The ears hear everything and may say everything.
func acl(t testing.TB, rules string) string {
	name := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(name, []byte("user ears\ntopic readwrite #\nuser "+user+"\n"+rules+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "acl_file " + name
}

// retained is what the broker tells somebody who comes now, by topic.
func retained(t testing.TB, b *broker) map[string]string {
	t.Helper()
	late := listen(t, b)
	// The broker sends what it retains in one go and then this.
	const mark = "test/mark"
	if _, err := late.cm.Publish(t.Context(), &paho.Publish{Topic: mark, Payload: []byte("x"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	late.await("mark", func(h []heard) bool { return count(h, mark, "x") > 0 })
	out := map[string]string{}
	for _, h := range late.all() {
		if h.retained {
			out[h.topic] = h.payload
		}
	}
	late.cm.Disconnect(context.Background())
	return out
}

// say publishes as somebody else.
func (e *ears) say(topic, payload string, retain bool) {
	e.Helper()
	if _, err := e.cm.Publish(e.Context(), &paho.Publish{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: retain}); err != nil {
		e.Fatal(err)
	}
}

// kill ends the broker as a power cut would.
func (b *broker) kill() {
	b.cmd.Process.Kill()
	b.cmd.Wait()
}

func (b *broker) addr() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// road is the way from the publisher to the broker. It can be closed, so that
// a test knows that its ears are back before the publisher is.
type road struct {
	net.Listener
	to   string
	mu   sync.Mutex
	open bool
	cars []net.Conn
}

func newRoad(t testing.TB, to string) *road {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{Listener: l, to: to, open: true}
	t.Cleanup(func() { l.Close(); r.set(false) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.drive(c)
		}
	}()
	return r
}

func (r *road) drive(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, err := net.Dial("tcp", r.to)
	if !r.open || err != nil {
		c.Close()
		if err == nil {
			d.Close()
		}
		return
	}
	r.cars = append(r.cars, c, d)
	both := func(a, b net.Conn) { io.Copy(a, b); a.Close(); b.Close() }
	go both(c, d)
	go both(d, c)
}

// set opens or closes the road; closing cuts off who is on it.
func (r *road) set(open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open = open; !open {
		for _, c := range r.cars {
			c.Close()
		}
		r.cars = nil
	}
}

func (r *road) url() string { return "mqtts://" + r.Addr().String() }

// ears hear everything that is published.
type ears struct {
	testing.TB
	cm    *autopaho.ConnectionManager
	mu    sync.Mutex
	heard []heard
	ups   int
}

type heard struct {
	topic, payload string
	retained       bool
}

func listen(t testing.TB, b *broker) *ears {
	t.Helper()
	pool := x509.NewCertPool()
	cert, _ := os.ReadFile(b.ca)
	pool.AppendCertsFromPEM(cert)
	u, _ := url.Parse("mqtts://" + b.addr())
	e := &ears{TB: t}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	cm, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, TlsCfg: &tls.Config{RootCAs: pool}, KeepAlive: 20, CleanStartOnInitialConnection: true,
		ConnectUsername: "ears", ConnectPassword: []byte(password), ReconnectBackoff: func(int) time.Duration { return 50 * time.Millisecond },
		OnConnectionUp: func(cm *autopaho.ConnectionManager, _ *paho.Connack) {
			if _, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "#", QoS: 1}}}); err == nil {
				e.mu.Lock()
				e.ups++
				e.mu.Unlock()
			}
		},
		ClientConfig: paho.ClientConfig{ClientID: "ears-" + crand.Text(), OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(r paho.PublishReceived) (bool, error) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.heard = append(e.heard, heard{r.Packet.Topic, string(r.Packet.Payload), r.Packet.Retain})
				return true, nil
			}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.cm = cm
	e.await("ears are open", func([]heard) bool { return e.ups > 0 })
	return e
}

// all returns what has been heard so far.
func (e *ears) all() []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// await waits until what has been heard satisfies f.
func (e *ears) await(what string, f func([]heard) bool) {
	e.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		e.mu.Lock()
		ok := f(e.heard)
		e.mu.Unlock()
		if ok {
			return
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Fatalf("never happened: %s; heard %d messages, the last %v", what, len(e.heard), tail(e.heard))
}

func tail(h []heard) []heard { return h[max(0, len(h)-5):] }

func count(h []heard, topic, part string) (n int) {
	for _, m := range h {
		if m.topic == topic && strings.Contains(m.payload, part) {
			n++
		}
	}
	return n
}
