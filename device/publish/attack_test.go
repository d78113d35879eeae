package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mien/device"
	"mien/device/queue"
	"mien/device/signal"
	"mien/runtime/model"
	"mien/runtime/peertest"
)

// complaints are what a publisher reports.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) hear(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, err.Error())
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.said)
}

// await waits for a complaint with this in it.
func (c *complaints) await(t testing.TB, part string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, s := range c.all() {
			if strings.Contains(s, part) {
				return s
			}
		}
	}
	t.Fatalf("nobody said %q; said was %q", part, c.all())
	return ""
}

// Whatever a model calls its labels and a user the device and its topics, the
// broker takes every message. Names that no topic can hold are refused before.
func TestAnyNameReachesTheBroker(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	names := []string{"70+", "a/b", "#", "+", "$SYS", "100%", "%2B", "naïve 顔", "tab\tnew\nline\x00", "\x7f\u0085\u009f", "\ufffe\U0001ffff\ufdd0\ufffd", "\xff\xc3", " ", "", "'\"{{ x }}\\"}
	tried := map[string]bool{}
	for i, id := range append(names, strings.Repeat("x", 64), strings.Repeat("é", 32), "$x", ".", "mien") {
		for _, topic := range []string{"mien", id, "a/" + id, strings.Repeat("/", 99), strings.Repeat("a/", 90), "/", " "} {
			o := options(t, b, r)
			o.ID, o.Prefix, o.Discovery = id, topic+"/"+id, topic
			if tried[o.Prefix] {
				continue
			}
			tried[o.Prefix] = true
			var said complaints
			o.Report = said.hear
			p, err := New(o)
			if CheckID(id) != nil || CheckTopic(o.Prefix) != nil || CheckTopic(o.Discovery) != nil {
				if err == nil {
					t.Errorf("id %q topic %q: accepted, though the checks refuse it", id, topic)
				}
				continue
			}
			if err != nil {
				t.Errorf("id %q topic %q: %v", id, topic, err)
				continue
			}
			if err := p.queue.Close(); err != nil {
				t.Fatal(err)
			}
			p, stop := run(t, o)
			p.Transition(signal.Transition{Line: "face", Reason: fmt.Sprint("try ", i)})
			e.await(fmt.Sprintf("id %q topic %q; complaints %q", id, topic, said.all()), func(h []heard) bool {
				return count(h, o.Prefix+"/transition", fmt.Sprint("try ", i)) == 1 && count(h, o.Prefix+"/availability", "online") > 0
			})
			stop()
			if s := p.Stats(); s.Lost != 0 || s.Queued != 0 || len(said.all()) > 0 {
				t.Errorf("id %q topic %q: %+v %q", id, topic, s, said.all())
			}
		}
	}
	var said complaints
	o := options(t, b, r)
	o.Report, o.Lines, o.Heads = said.hear, nil, nil
	for _, n := range names {
		o.Lines = append(o.Lines, "is_"+n)
		o.Heads = append(o.Heads, model.Head{Name: "h" + n, Labels: []string{n, "other"}})
	}
	p, stop := run(t, o)
	levels := map[string]bool{}
	for i, n := range o.Lines {
		f := face(1, 90, names[i])
		f.Heads[0].Name = o.Heads[i].Name
		p.Reading(&device.Reading{Time: time.Unix(int64(i), 0), Subject: 1, Faces: []device.FaceReading{f}})
		p.Transition(signal.Transition{Line: n, Active: true})
		levels[level(n)] = true
	}
	if len(levels) != len(o.Lines) {
		t.Errorf("%d names become %d levels of topics", len(o.Lines), len(levels))
	}
	for _, n := range o.Lines {
		e.await(fmt.Sprintf("line %q; complaints %q", n, said.all()), func(h []heard) bool { return count(h, "mien/hall-1/line/"+level(n), "ON") > 0 })
	}
	stop()
	if s := p.Stats(); s.Lost != 0 || s.Queued != 0 || len(said.all()) > 0 {
		t.Errorf("%+v %q", s, said.all())
	}
	if got := level("is_70+"); got != "is_70%2B" {
		t.Errorf("is_70+ is written %q", got)
	}
}

// A message that the broker refuses is set aside with the reason and counted;
// those behind it get through.
func TestRefusedIsSetAside(t *testing.T) {
	b := newBroker(t, acl(t, "topic deny mien/hall-1/track\ntopic readwrite mien/#\ntopic readwrite homeassistant/#"))
	r := newRoad(t, b.addr())
	e := listen(t, b)
	o := options(t, b, r)
	var said complaints
	o.Report = said.hear
	p, stop := run(t, o)
	for i := range 20 {
		p.Track(&device.Track{Kind: device.Begin, Face: face(uint64(i+1), 90, "sad")})
		p.Transition(signal.Transition{Line: fmt.Sprint(i)})
	}
	e.await("the last", func(h []heard) bool { return count(h, "mien/hall-1/transition", `"19"`) == 1 && p.Stats().Queued == 0 })
	stop()
	if s := p.Stats(); s.Refused != 20 || s.Lost != 20 || s.Sent != 20 {
		t.Errorf("%+v", s)
	}
	if s := said.await(t, "mien/hall-1/track"); !strings.Contains(s, "not authorized") || !strings.Contains(s, queue.Refused) || len(said.all()) != 1 {
		t.Errorf("%q", said.all())
	}
	checkRefused(t, o.Dir, 20, "mien/hall-1/track", "not authorized")
}

func checkRefused(t *testing.T, dir string, n int, topic, reason string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, queue.Refused))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	for _, line := range lines {
		var got struct{ Topic, Reason, Payload string }
		if err := json.Unmarshal(line, &got); err != nil || got.Topic != topic || !strings.Contains(got.Reason, reason) || got.Payload == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if len(lines) != n {
		t.Errorf("%d are set aside, want %d", len(lines), n)
	}
}

// A message at which the broker hangs up does not block those behind it, also
// when the firmware is restarted each time: older firmware left such messages.
func TestPoisonedQueue(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		b := newBroker(t)
		r := newRoad(t, b.addr())
		e := listen(t, b)
		o := options(t, b, r)
		q, err := queue.Open(o.Dir, 16<<20)
		if err != nil {
			t.Fatal(err)
		}
		bad := queue.Message{Topic: "mien/hall-1/line/is_70+", Payload: []byte("ON")}
		for i := range 30 {
			m := queue.Message{Topic: "mien/hall-1/transition", Payload: []byte(fmt.Sprintf(`{"line":"%d"}`, i))}
			if i == 7 || i == 8 || i == 20 {
				m = bad
			}
			if err := q.Put(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		var said complaints
		o.Report = said.hear
		if restarts { // each life sees the broker hang up once
			for life := 0; ; life++ {
				if life > 40 {
					t.Fatalf("the queue is blocked across restarts: %q", said.all())
				}
				lost := complaints{}
				o.Report = lost.hear
				p, stop := run(t, o)
				e.await("a lost connection, or the end", func([]heard) bool { return len(lost.all()) > 0 || p.Stats().Queued == 0 })
				stop()
				if p.Stats().Queued == 0 {
					break
				}
			}
		} else {
			p, stop := run(t, o)
			e.await("the queue is through", func([]heard) bool { return p.Stats().Queued == 0 })
			stop()
			if s := p.Stats(); s.Refused != 3 {
				t.Errorf("%+v", s)
			}
		}
		for i := range 30 {
			if n := count(e.all(), "mien/hall-1/transition", fmt.Sprintf(`"%d"`, i)); i != 7 && i != 8 && i != 20 && n == 0 {
				t.Errorf("restarts %v: message %d did not arrive", restarts, i)
			}
		}
		checkRefused(t, o.Dir, 3, bad.Topic, "")
	}
}

// Whatever happens to the connection, the broker or the device, what the
// broker retains is true.
func TestRetainedTopicsSayTheTruth(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	o := options(t, b, r)
	o.Health = func() device.Health { return device.Health{Ready: true, Reason: "frames flow"} }
	p, stop := run(t, o)
	happy := device.Reading{Time: time.Unix(10, 0), Subject: 2, Faces: []device.FaceReading{face(2, 90, "happy")}}
	p.Reading(&happy)
	p.Transition(signal.Transition{Line: "face", Active: true})
	p.Transition(signal.Transition{Line: "ready", Active: true})
	want := map[string]string{"mien/hall-1/availability": "online", "mien/hall-1/state": `{"emotion":"happy","faces":1}`,
		"mien/hall-1/line/face": "ON", "mien/hall-1/line/ready": "ON", "mien/hall-1/health": `{"consent":"","ready":true,"reason":"frames flow","state":"reading"}`}
	expect := func(when string) {
		t.Helper()
		var got map[string]string
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			got = retained(t, b)
			introduced := strings.Contains(got["homeassistant/device/mien_hall_1/config"], "cmps")
			delete(got, "homeassistant/device/mien_hall_1/config")
			if introduced && fmt.Sprint(got) == fmt.Sprint(want) {
				return
			}
		}
		t.Fatalf("%s: the broker retains %v, want %v and an introduction", when, got, want)
	}
	expect("at first")
	r.set(false) // the network is away while things change
	p.Reading(&device.Reading{Time: time.Unix(20, 0)})
	p.Transition(signal.Transition{Line: "face"})
	p.Transition(signal.Transition{Line: "face", Active: true})
	p.Transition(signal.Transition{Line: "face"})
	want["mien/hall-1/state"], want["mien/hall-1/line/face"] = `{"faces":0}`, "OFF"
	r.set(true)
	expect("after a lost connection")
	b.kill() // without persistence it forgets everything
	b.start()
	expect("after the broker has forgotten everything")
	p.Reading(&happy)
	p.Transition(signal.Transition{Line: "face", Active: true})
	want["mien/hall-1/state"], want["mien/hall-1/line/face"] = `{"emotion":"happy","faces":1}`, "ON"
	expect("after a change")
	// Somebody clears everything, and Home Assistant comes back.
	e := listen(t, b)
	for topic := range retained(t, b) {
		e.say(topic, "", true)
	}
	e.say("homeassistant/status", "online", false)
	expect("after a birth")
	stop()
	want = map[string]string{"mien/hall-1/availability": "offline", "mien/hall-1/state": `{"faces":0}`, "mien/hall-1/line/face": "OFF",
		"mien/hall-1/line/ready": "OFF", "mien/hall-1/health": `{"consent":"","ready":false,"reason":"switched off","state":"stopped"}`}
	expect("after the end")
	// Started again, and then cut off without a word: the will says so, and
	// what only a living device can say is forgotten.
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.life = 3 * time.Second
	done := make(chan error, 1)
	go func() { done <- p.Run(t.Context()) }()
	p.Transition(signal.Transition{Line: "face", Active: true})
	want["mien/hall-1/availability"], want["mien/hall-1/line/face"], want["mien/hall-1/health"] = "online", "ON", `{"consent":"","ready":true,"reason":"frames flow","state":"reading"}`
	expect("started again")
	r.set(false)
	want = map[string]string{"mien/hall-1/availability": "offline"}
	expect("after a kill")
}

// Lines, heads and names that are gone do not stay at the broker, nor at Home
// Assistant.
func TestGoneIsCleared(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	o := options(t, b, r)
	o.Lines = []string{"ready", "face", "is_happy", "is_70+"}
	const config = "homeassistant/device/mien_hall_1/config"
	introduced := func(h []heard, part string) bool { return count(h, config, part) > 0 }
	p, stop := run(t, o)
	e.await("introduction", func(h []heard) bool {
		return introduced(h, "line_is_happy") && count(h, "mien/hall-1/line/is_70%2B", "OFF") == 1
	})
	// While it runs.
	if err := p.Describe([]model.Head{model.Emotion}, []string{"ready", "face", "is_happy"}); err != nil {
		t.Fatal(err)
	}
	e.await("farewell to a head", func(h []heard) bool { return introduced(h, `"age":{"p":"sensor"}`) })
	late := retained(t, b)
	for _, gone := range []string{"line_is_70", `"age"`} {
		if strings.Contains(late[config], gone) {
			t.Errorf("%s is still introduced: %s", gone, late[config])
		}
	}
	if late["mien/hall-1/line/is_70%2B"] != "" || late["mien/hall-1/line/is_happy"] != "OFF" {
		t.Errorf("%v", late)
	}
	stop()
	// Across a restart, which finds another line that nobody knows of.
	e.say("mien/hall-1/line/stray", "ON", true)
	o.Lines, o.Heads = []string{"ready"}, []model.Head{model.Age}
	_, stop = run(t, o)
	e.await("farewell to a line", func(h []heard) bool { return introduced(h, `"line_is_happy":{"p":"binary_sensor"}`) })
	e.await("clearing", func(h []heard) bool {
		gone := retainedOf(h)
		return gone["mien/hall-1/line/is_happy"] == "" && gone["mien/hall-1/line/face"] == "" && gone["mien/hall-1/line/stray"] == "" && gone["mien/hall-1/line/ready"] == "OFF"
	})
	stop()
	// With another name, nothing of the old one is left.
	o.ID = "door"
	_, stop = run(t, o)
	e.await("the new name", func(h []heard) bool { return count(h, "mien/door/availability", "online") == 1 })
	e.await("the old name's end", func(h []heard) bool {
		for topic, payload := range retainedOf(h) {
			if payload != "" && (strings.HasPrefix(topic, "mien/hall-1/") || topic == config) {
				return false
			}
		}
		return true
	})
	stop()
	for topic, payload := range retained(t, b) {
		if strings.HasPrefix(topic, "mien/hall-1/") || topic == config {
			t.Errorf("%s still says %s", topic, payload)
		}
	}
}

// retainedOf is the last that was heard of each topic that can be retained.
func retainedOf(h []heard) map[string]string {
	out := map[string]string{}
	for _, m := range h {
		if !strings.HasSuffix(m.topic, "/transition") && !strings.HasSuffix(m.topic, "/reading") && !strings.HasSuffix(m.topic, "/track") {
			out[m.topic] = m.payload
		}
	}
	return out
}

// That Home Assistant's topics are not for the device is said once, and is no
// reason to be unavailable.
func TestAvailabilityWithoutDiscovery(t *testing.T) {
	b := newBroker(t, acl(t, "topic write mien/#"))
	r := newRoad(t, b.addr())
	e := listen(t, b)
	o := options(t, b, r)
	var said complaints
	o.Report = said.hear
	p, stop := run(t, o)
	p.Transition(signal.Transition{Line: "face", Active: true})
	e.await("availability", func(h []heard) bool {
		return count(h, "mien/hall-1/availability", "online") == 1 && count(h, "mien/hall-1/line/face", "ON") == 1 && count(h, "mien/hall-1/transition", "face") == 1
	})
	said.await(t, "homeassistant/device/mien_hall_1/config is refused by the broker: not authorized")
	r.set(false)
	r.set(true)
	e.await("availability again", func(h []heard) bool { return count(h, "mien/hall-1/availability", "online") > 1 })
	stop()
	n := 0
	for _, s := range said.all() {
		if strings.Contains(s, "config is refused") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("said %d times: %q", n, said.all())
	}
}

// A birth message that somebody retains, and one that somebody repeats, do not
// make the device introduce itself without end.
func TestBirths(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	e.say("homeassistant/status", "online", true)
	o := options(t, b, r)
	p, stop := run(t, o)
	const config = "homeassistant/device/mien_hall_1/config"
	e.await("introduction", func(h []heard) bool { return count(h, config, "cmps") == 1 })
	for i := range 200 {
		e.say("homeassistant/status", "online", i%2 == 0)
	}
	p.Transition(signal.Transition{Line: "last"})
	e.await("the last", func(h []heard) bool { return count(h, "mien/hall-1/transition", "last") == 1 })
	e.await("an introduction for the birth", func(h []heard) bool { return count(h, config, "cmps") > 1 })
	stop()
	// One for the connection, one at once, and one each 5 s.
	if n := count(e.all(), config, "cmps"); n > 6 {
		t.Errorf("%d introductions for 200 births", n)
	}
}

// A broker that keeps nothing, or acknowledges nothing, is published to all the
// same, its last will too; that it does not is said.
func TestPoorBrokers(t *testing.T) {
	for setting, want := range map[string]string{"retain_available false": "keeps no retained messages", "max_qos 0": "acknowledges no message"} {
		b := newBroker(t, setting)
		r := newRoad(t, b.addr())
		e := listen(t, b)
		o := options(t, b, r)
		var said complaints
		o.Report = said.hear
		p, stop := run(t, o)
		p.Transition(signal.Transition{Line: "face", Active: true})
		e.await(setting, func(h []heard) bool {
			return count(h, "mien/hall-1/availability", "online") == 1 && count(h, "mien/hall-1/line/face", "ON") == 1 && count(h, "mien/hall-1/transition", "face") == 1
		})
		said.await(t, want)
		if got, err := Try(t.Context(), o); err != nil || len(got.Denied) > 0 || !strings.Contains(strings.Join(got.Lacks, ","), want) {
			t.Errorf("%s: %+v, %v", setting, got, err)
		}
		r.set(false) // cut off without a word
		e.await("the last will", func(h []heard) bool { return count(h, "mien/hall-1/availability", "offline") == 1 })
		stop()
	}
}

// Of two devices of one name one stays and the other says so and waits.
func TestTwoOfOneName(t *testing.T) {
	b := newBroker(t, "log_type all")
	r := newRoad(t, b.addr())
	var said complaints
	o := options(t, b, r)
	o.Report = said.hear
	first, stopFirst := run(t, o)
	e := listen(t, b)
	e.await("the first", func(h []heard) bool { return count(h, "mien/hall-1/availability", "online") == 1 })
	o.Dir = t.TempDir()
	second, stopSecond := run(t, o)
	s := said.await(t, "another device is connected")
	time.Sleep(20 * time.Second) // it looks again after 15 s
	if !strings.Contains(s, "mien-hall-1") || !strings.Contains(s, "name") {
		t.Error(s)
	}
	if first.Stats().Connected || !second.Stats().Connected {
		t.Errorf("connected: %v and %v", first.Stats(), second.Stats())
	}
	stopSecond()
	stopFirst()
	b.kill()
	if n := strings.Count(b.log.String(), "already connected, closing old connection"); n != 1 {
		t.Errorf("the broker saw %d take-overs: %s", n, b.log)
	}
}

// What is wrong with a connection is said in words.
func TestWords(t *testing.T) {
	b := newBroker(t)
	plain := fmt.Sprintf("listener %d 127.0.0.1", freePort(t))
	both := newBroker(t, plain)
	strict := newBroker(t, "cafile "+b.ca, "require_certificate true")
	plainAddr := "127.0.0.1:" + strings.Fields(plain)[1]
	for name, c := range map[string]struct {
		broker string
		wrong  func(*Options)
		say    string
	}{
		"password":      {"mqtts://" + b.addr(), func(o *Options) { o.Password = "wrong" }, "not authorized: the broker does not know this name and password"},
		"no password":   {"mqtts://" + b.addr(), func(o *Options) { o.Username, o.Password = "", "" }, "not authorized"},
		"TLS to plain":  {"mqtts://" + plainAddr, func(o *Options) { o.CA = both.ca }, "write mqtt://"},
		"plain to TLS":  {"mqtt://" + b.addr(), func(*Options) {}, "write mqtts://"},
		"3.1.1":         {"mqtt://" + fake(t, answer(0x20, 2, 0, 1)), func(*Options) {}, "MQTT 3.1.1"},
		"3.1.1, silent": {"mqtt://" + fake(t, onlyOld), func(*Options) {}, "MQTT 3.1.1"},
		"web":           {"mqtt://" + fake(t, words("HTTP/1.1 400 Bad Request\r\n\r\n")), func(*Options) {}, "web server"},
		"nobody":        {"mqtt://127.0.0.1:1", func(*Options) {}, "no broker listens"},
		"hangs up":      {"mqtt://" + fake(t, func(net.Conn, []byte) {}), func(*Options) {}, "hung up without a word"},
		"busy":          {"mqtt://" + fake(t, answer(0x20, 3, 0, 0x89, 0)), func(*Options) {}, "the broker is busy (0x89)"},
		"banned":        {"mqtt://" + fake(t, answer(0x20, 3, 0, 0x8a, 0)), func(*Options) {}, "banned"},
		"unknown code":  {"mqtt://" + fake(t, answer(0x20, 3, 0, 0xf3, 0)), func(*Options) {}, "0xf3"},
		"client's own":  {"mqtts://" + strict.addr(), func(o *Options) { o.CA = strict.ca }, "certificate of the client"},
		"unknown CA":    {"mqtts://" + b.addr(), func(o *Options) { o.CA = "" }, "mqtt.ca"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Broker: c.broker, Username: user, Password: password, CA: b.ca, Dir: t.TempDir(), ID: "hall-1"}
			c.wrong(&o)
			var said complaints
			o.Report = said.hear
			_, stop := run(t, o)
			said.await(t, c.say)
			stop()
			for _, s := range said.all() {
				if o.Password != "" && strings.Contains(s, o.Password) {
					t.Errorf("the password is in %q", s)
				}
			}
		})
	}
}

// fake is a broker that is none: it gets each connection and the first packet.
func fake(t testing.TB, serve func(c net.Conn, first []byte)) string {
	t.Helper()
	return peertest.Listen(t, func(c net.Conn) {
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err == nil {
			serve(c, b[:n])
		}
	})
}

func answer(b ...byte) func(net.Conn, []byte) {
	return func(c net.Conn, _ []byte) { c.Write(b); io.Copy(io.Discard, c) }
}

func words(s string) func(net.Conn, []byte) { return answer([]byte(s)...) }

// onlyOld answers CONNECT of MQTT 3.1.1 and hangs up at any other.
func onlyOld(c net.Conn, first []byte) {
	if len(first) > 8 && first[0] == 0x10 && first[8] == 4 {
		c.Write([]byte{0x20, 2, 0, 5})
	}
}

// An outage is said once, however often the broker is tried meanwhile.
func TestOutageIsSaidOnce(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	o := options(t, b, r)
	var said complaints
	o.Report = said.hear
	p, stop := run(t, o)
	e.await("introduction", func(h []heard) bool { return count(h, "mien/hall-1/availability", "online") == 1 })
	for i := range 200 {
		p.Transition(signal.Transition{Line: fmt.Sprint(i)})
	}
	r.Close() // nobody answers there any more
	r.set(false)
	said.await(t, "connection lost")
	said.await(t, "no broker listens")
	stop()
	if n := len(said.all()); n != 2 {
		t.Errorf("%d complaints: %q", n, said.all())
	}
}

// With a long way to the broker many messages are on their way at once, in
// order: here no answer comes before 15 of them have passed.
func TestManyOnTheirWay(t *testing.T) {
	b := newBroker(t)
	e := listen(t, b)
	g := newGate(t, b)
	o := options(t, b, &road{Listener: g})
	p, stop := run(t, o)
	e.await("introduction", func(h []heard) bool { return count(h, "mien/hall-1/availability", "online") == 1 })
	p.Transition(signal.Transition{Line: "first"}) // which goes alone
	e.await("the first", func(h []heard) bool { return p.Stats().Sent == 1 })
	g.hold.Store(true)
	const n = 300
	for i := range n {
		p.Transition(signal.Transition{Line: fmt.Sprint("line ", i)})
	}
	e.await("15 arrive though no answer comes back", func(h []heard) bool { return count(h, "mien/hall-1/transition", "line ") >= 15 })
	if p.Stats().Sent > 5 {
		t.Fatalf("answers came through: %+v", p.Stats())
	}
	g.hold.Store(false)
	e.await("all", func(h []heard) bool { return count(h, "mien/hall-1/transition", "line ") == n })
	i := 0
	for _, h := range e.all() {
		if h.topic == "mien/hall-1/transition" && !strings.Contains(h.payload, "first") {
			if !strings.Contains(h.payload, fmt.Sprintf(`"line %d"`, i)) {
				t.Fatalf("message %d is %s", i, h.payload)
			}
			i++
		}
	}
	stop()
}

// A reading that was on its way when the connection broke, and after which
// another was, is not said again: times do not go back. The rest is, in order.
func TestReadingTimesNeverGoBack(t *testing.T) {
	for _, restart := range []bool{false, true} {
		b := newBroker(t)
		e := listen(t, b)
		g := newGate(t, b)
		o := options(t, b, &road{Listener: g})
		o.Interval = -1
		p, stop := run(t, o)
		e.await("introduction", func(h []heard) bool { return count(h, "mien/hall-1/availability", "online") == 1 })
		p.Transition(signal.Transition{Line: "first"}) // which goes alone
		e.await("the first", func(h []heard) bool { return p.Stats().Sent == 1 })
		g.hold.Store(true) // the broker hears, and we do not hear that it does
		seq := uint64(0)
		read := func(n int) {
			for range n {
				seq++
				p.Reading(&device.Reading{Seq: seq, Time: time.Unix(int64(seq), 0)})
				p.Transition(signal.Transition{Line: fmt.Sprint("line ", seq)})
			}
		}
		read(6)
		e.await("readings", func(h []heard) bool { return count(h, "mien/hall-1/transition", `"line 6"`) > 0 })
		if restart {
			g.cut() // so that the goodbye does not get through
			stop()
			p, stop = run(t, o)
		} else {
			g.cut()
		}
		g.hold.Store(false)
		read(6)
		e.await("the rest", func(h []heard) bool {
			return count(h, "mien/hall-1/transition", `"line 12"`) > 0 && p.Stats().Queued == 0
		})
		stop()
		var last device.Reading
		twice := 0
		for _, h := range e.all() {
			switch {
			case strings.HasSuffix(h.topic, "/transition"):
				twice++
			case strings.HasSuffix(h.topic, "/reading"):
				var r device.Reading
				if err := json.Unmarshal([]byte(h.payload), &r); err != nil {
					t.Fatal(err)
				}
				if r.Time.Before(last.Time) {
					t.Errorf("restart %v: reading %d came after reading %d", restart, r.Seq, last.Seq)
				}
				last = r
			}
		}
		if twice <= 13 {
			t.Fatal("nothing came twice: this test proves nothing")
		}
		if s := p.Stats(); s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// gate is a road on which answers can be held back.
type gate struct {
	net.Listener
	b    *broker
	hold atomic.Bool
	mu   sync.Mutex
	cars []net.Conn
}

func newGate(t testing.TB, b *broker) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, b: b}
	t.Cleanup(func() { l.Close(); g.hold.Store(false); g.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", b.addr())
			if err != nil {
				c.Close()
				continue
			}
			g.mu.Lock()
			g.cars = append(g.cars, c, d)
			g.mu.Unlock()
			go func() { io.Copy(d, c); c.Close(); d.Close() }()
			go g.back(c, d)
		}
	}()
	return g
}

func (g *gate) back(c, d net.Conn) {
	defer c.Close()
	defer d.Close()
	buf := make([]byte, 4096)
	for {
		n, err := d.Read(buf)
		for g.hold.Load() {
			time.Sleep(time.Millisecond)
		}
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut cuts off who is on the way.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.cars {
		c.Close()
	}
	g.cars = nil
}
