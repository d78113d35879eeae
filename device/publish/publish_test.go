package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"mien/device"
	"mien/device/queue"
	"mien/device/signal"
	"mien/runtime/model"
)

func options(t testing.TB, b *broker, r *road) Options {
	return Options{Broker: r.url(), Username: user, Password: password, CA: b.ca, Dir: t.TempDir(), ID: "hall-1", Name: "Hall", Board: "Raspberry Pi 4",
		Version: "0.1.0", Heads: []model.Head{model.Emotion, model.Age}, Lines: []string{"ready", "heartbeat", "face"}}
}

// run runs p until stop is called.
func run(t testing.TB, o Options) (p *Publisher, stop func()) {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, stop
}

func face(id uint64, side int, label string) device.FaceReading {
	return device.FaceReading{ID: id, Box: device.Box{W: side, H: side}, Problem: "fine",
		Heads: []device.HeadReading{{Name: "emotion", Label: label, Uncertain: label == "", Confidence: .8, Probs: device.Probs{{Label: "happy", P: .8}}}}}
}

// The broker is killed mid-stream and stays away for a minute; the publisher
// itself is stopped and started in the middle of that. Everything arrives, in
// order; only what was on its way at a cut comes twice.
func TestNothingIsLostAndOrderHolds(t *testing.T) {
	t.Parallel() // it waits, most of the time
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	o := options(t, b, r)
	p, stop := run(t, o)
	const n = 1500
	seq := 0
	burst := func(until int, every time.Duration) {
		for ; seq < until; seq++ {
			switch line := fmt.Sprint(seq); {
			case seq%10 == 3:
				p.Track(&device.Track{Kind: device.Update, Face: face(uint64(seq), 100, "happy")})
			default:
				p.Transition(signal.Transition{Line: line})
			}
			time.Sleep(every)
		}
	}
	const quick, slow = 2 * time.Millisecond, time.Minute / 700
	burst(400, quick)
	r.set(false) // the publisher must not be back before the ears are
	b.kill()
	killed := time.Now()
	burst(800, slow)
	stop() // a restart of the firmware while the broker is away
	p, stop = run(t, o)
	burst(1100, slow)
	if away := time.Since(killed); away < time.Minute {
		t.Errorf("the broker was away for %v only", away)
	}
	b.start()
	e.await("ears are open again", func([]heard) bool { return e.ups > 1 })
	r.set(true)
	burst(n, quick)
	last := fmt.Sprintf(`"line":"%d"`, n-1)
	e.await("the last message", func(h []heard) bool { return count(h, o.prefix()+"/transition", last) > 0 && p.Stats().Queued == 0 })
	stop()

	next, reached, jumps, twice := 0, 0, 0, 0
	for _, h := range e.all() {
		var got int
		switch {
		case h.topic == o.prefix()+"/transition":
			var tr signal.Transition
			if err := json.Unmarshal([]byte(h.payload), &tr); err != nil {
				t.Fatal(err)
			}
			fmt.Sscan(tr.Line, &got)
		case h.topic == o.prefix()+"/track":
			var tr device.Track
			if err := json.Unmarshal([]byte(h.payload), &tr); err != nil {
				t.Fatal(err)
			}
			got = int(tr.Face.ID)
		default:
			continue
		}
		if got > next {
			t.Fatalf("message %d came where %d was due", got, next)
		}
		if got < next { // the connection was cut: what was on its way comes again
			jumps++
		}
		if got < reached {
			twice++
		}
		next = got + 1
		reached = max(reached, next)
	}
	if reached != n || jumps > 4 || twice > 4*window {
		t.Errorf("%d of %d arrived, %d twice after %d cuts", reached, n, twice, jumps)
	}
	s := p.Stats()
	if s.Lost != 0 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d messages through a killed broker and a restart, %d came twice", n, twice)
}

func (o Options) prefix() string { return o.defaults().Prefix }

func TestAvailabilityAndHomeAssistant(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	e := listen(t, b)
	o := options(t, b, r)
	p, stop := run(t, o)
	avail, config := "mien/hall-1/availability", "homeassistant/device/mien_hall_1/config"
	e.await("introduction", func(h []heard) bool { return count(h, avail, "online") == 1 && count(h, config, "cmps") == 1 })

	p.Reading(&device.Reading{Time: time.Unix(10, 0), Subject: 2, Faces: []device.FaceReading{face(1, 90, "sad"), face(2, 50, "happy")}})
	p.Reading(&device.Reading{Time: time.Unix(10, 5e8), Subject: 1, Faces: []device.FaceReading{face(1, 50, "sad")}}) // too soon
	p.Reading(&device.Reading{Time: time.Unix(12, 0), Subject: 2, Faces: []device.FaceReading{face(2, 90, "")}})
	p.Reading(&device.Reading{Time: time.Unix(14, 0)})
	p.Transition(signal.Transition{Line: "face", Active: true})
	state := "mien/hall-1/state"
	e.await("state", func(h []heard) bool {
		return count(h, state, `{"emotion":"happy","faces":2}`) == 1 && count(h, state, `{"emotion":"uncertain","faces":1}`) == 1 &&
			count(h, state, `{"faces":0}`) == 2 && count(h, "mien/hall-1/reading", "seq") == 3 && count(h, "mien/hall-1/line/face", "ON") == 1
	})

	// Home Assistant starts again.
	if _, err := e.cm.Publish(t.Context(), &paho.Publish{Topic: "homeassistant/status", Payload: []byte("online"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	e.await("a second introduction", func(h []heard) bool { return count(h, config, "cmps") == 2 && count(h, avail, "online") == 2 })

	// The connection breaks: the broker says so for us.
	r.set(false)
	e.await("last will", func(h []heard) bool { return count(h, avail, "offline") == 1 })
	r.set(true)
	e.await("back again", func(h []heard) bool { return count(h, avail, "online") == 3 })
	stop()
	e.await("goodbye", func(h []heard) bool { return count(h, avail, "offline") == 2 })

	// Who comes later learns the same from what the broker retains.
	late := listen(t, b)
	late.await("retained", func(h []heard) bool {
		return count(h, avail, "offline") == 1 && count(h, config, "cmps") == 1 && count(h, state, `"faces":0`) == 1 && count(h, "mien/hall-1/reading", "") == 0
	})
}

// The introduction names topics that are published, and answers that occur.
func TestDiscovery(t *testing.T) {
	p, err := New(Options{Broker: "mqtt://h", ID: "a-b", Dir: t.TempDir(), Heads: []model.Head{model.Emotion, model.Age, model.NewNumber("years", 0, 100, "years")}, Lines: []string{"ready", "strobe", "is_happy"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p.discovery(p.components()))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Cmps map[string]component `json:"cmps"`
		Dev  struct {
			IDs []string `json:"ids"`
		} `json:"dev"`
		Availability string `json:"availability_topic"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	unique := map[string]bool{}
	for k, c := range got.Cmps {
		names = append(names, k)
		unique[c.UniqueID] = true
		if c.StateTopic != "mien/a-b/state" && !strings.HasPrefix(c.StateTopic, "mien/a-b/line/") {
			t.Errorf("%s listens to %s, which nobody publishes", k, c.StateTopic)
		}
		if c.DeviceClass == "enum" && !slices.Contains(c.Options, "uncertain") {
			t.Errorf("%s cannot be uncertain", k)
		}
	}
	slices.Sort(names)
	if want := "[age emotion faces line_is_happy line_ready presence years]"; fmt.Sprint(names) != want || len(unique) != len(names) {
		t.Errorf("entities %v, want %s", names, want)
	}
	if c := got.Cmps["years"]; c.Unit != "years" || c.StateClass != "measurement" || c.DeviceClass != "" || c.Options != nil {
		t.Errorf("a number is introduced as %+v", c)
	}
	if got.Availability != "mien/a-b/availability" || got.Dev.IDs[0] != "mien_a_b" {
		t.Errorf("%s", b)
	}
}

// Home Assistant hears the number, and none while there is none.
func TestStateOfNumber(t *testing.T) {
	r := &device.Reading{Subject: 1, Faces: []device.FaceReading{{ID: 1, Heads: []device.HeadReading{{Name: "years", Label: "34 years", Value: 34.25, Unit: "years"}}}}}
	if got := string(stateOf(r)); got != `{"faces":1,"years":34.25}` {
		t.Error(got)
	}
	r.Faces[0].Heads[0].Uncertain = true
	if got := string(stateOf(r)); got != `{"faces":1}` {
		t.Error(got)
	}
}

func TestIDForHomeAssistant(t *testing.T) {
	for id, want := range map[string]string{"hall-1": "mien_hall_1", "Küche": "mien_Kufcche", "a.b": "mien_a_b"} {
		p, err := New(Options{Broker: "mqtt://h", ID: id, Dir: t.TempDir()})
		if err != nil || p.uid() != want {
			t.Errorf("%q: %v, %v; want %s", id, p.uid(), err, want)
		}
	}
}

func TestWrongPasswordIsReported(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	o := options(t, b, r)
	o.Password = "wrong"
	reports := make(chan error, 100)
	o.Report = func(err error) {
		select {
		case reports <- err:
		default:
		}
	}
	p, stop := run(t, o)
	p.Transition(signal.Transition{Line: "face"})
	select {
	case err := <-reports:
		if !strings.Contains(err.Error(), "authori") && !strings.Contains(err.Error(), "0x") && !strings.Contains(err.Error(), "denied") {
			t.Errorf("the report does not say what is wrong: %v", err)
		}
		if strings.Contains(err.Error(), o.Password) {
			t.Errorf("the report gives the password away: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
	stop()
	if s := p.Stats(); s.Connected || s.Queued == 0 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

// The broker's certificate is checked: an unknown one is refused.
func TestCertificateIsChecked(t *testing.T) {
	b := newBroker(t)
	r := newRoad(t, b.addr())
	o := options(t, b, r)
	o.CA = "" // those of the system
	reports := make(chan error, 100)
	o.Report = func(err error) {
		select {
		case reports <- err:
		default:
		}
	}
	p, _ := run(t, o)
	select {
	case err := <-reports:
		if !strings.Contains(err.Error(), "certificate") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
	if p.Stats().Connected {
		t.Error("connected to a broker that nobody vouches for")
	}
}

// Observing never waits: not for a broker, and not for the queue.
func TestObservingNeverWaits(t *testing.T) {
	p, err := New(Options{Broker: "mqtt://127.0.0.1:1", ID: "x", Dir: t.TempDir(), Interval: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * queue.Inbox { // nobody takes anything: Run was never called
		p.Reading(&device.Reading{})
	}
	if s := p.Stats(); s.Lost != 2*queue.Inbox {
		t.Errorf("%d lost, want %d", s.Lost, 2*queue.Inbox)
	}
}

// Readings go out once an interval, but that the last face has gone goes out
// at once: with the camera lost no other reading may follow.
func TestLastFaceGone(t *testing.T) {
	p, err := New(Options{Broker: "mqtt://h", ID: "x", Dir: t.TempDir(), Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for i, faces := range []int{1, 1, 0, 0, 1} { // 0.1 s apart: sent, held back, sent, held back, held back
		r := &device.Reading{Time: now.Add(time.Duration(i) * 100 * time.Millisecond)}
		for range faces {
			r.Faces = append(r.Faces, face(1, 100, "happy"))
		}
		p.Reading(r)
	}
	var sent []int
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.feed.Run(ended)
	for m, _, ok, err := p.queue.Next(); ok; m, _, ok, err = p.queue.Next() {
		var r device.Reading
		if err := errors.Join(err, json.Unmarshal(m.Payload, &r)); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, len(r.Faces))
	}
	if !slices.Equal(sent, []int{1, 0}) {
		t.Errorf("readings with %v faces were sent, want one with a face and one without", sent)
	}
}

// The heartbeat would be most of the traffic and say nothing that the last
// will does not.
func TestHeartbeatStaysHome(t *testing.T) {
	p, err := New(Options{Broker: "mqtt://h", ID: "x", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if m := p.messages(signal.Transition{Line: "heartbeat"}); len(m) != 0 {
		t.Errorf("%v", m)
	}
	if m := p.messages(signal.Transition{Line: "strobe", Active: true}); len(m) != 1 || m[0].Topic != "mien/x/transition" {
		t.Errorf("%v", m)
	}
}

func TestUnpublishableIsCounted(t *testing.T) {
	p, err := New(Options{Broker: "mqtt://h", ID: "x", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if m := p.messages(&device.Track{Face: device.FaceReading{Score: float32(math.NaN())}}); len(m) != 0 || p.Stats().Lost != 1 {
		t.Errorf("%v, %+v", m, p.Stats())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Broker: "mqtts://broker.local", ID: "hall-1", Dir: t.TempDir()}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no broker": func(o *Options) { o.Broker = "" }, "scheme": func(o *Options) { o.Broker = "http://x" },
		"password in the URL": func(o *Options) { o.Broker = "mqtt://u:secret@x" }, "id": func(o *Options) { o.ID = "a/b" }, "no id": func(o *Options) { o.ID = "" },
		"wildcard": func(o *Options) { o.Prefix = "mien/#" }, "no dir": func(o *Options) { o.Dir = "" }, "queue": func(o *Options) { o.MaxBytes = 1 },
		"certificates": func(o *Options) { o.CA = "/nonexistent" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error gives the password away: %v", name, err)
		}
	}
}
