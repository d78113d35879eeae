package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"mien/device/signal"
	"mien/runtime/model"
)

// TestMain lets the test's own program be a device beside a broker that it
// must not trust.
func TestMain(m *testing.M) {
	if broker := os.Getenv("PUBLISH_TO"); broker != "" {
		if err := visit(broker, os.Getenv("PUBLISH_DIR")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// visit publishes to a broker for a while and prints the most memory that this
// took, in KiB.
func visit(broker, dir string) error {
	p, err := New(Options{Broker: broker, Dir: dir, ID: "hall", Lines: []string{"face"}, Heads: []model.Head{model.Emotion}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			p.Transition(signal.Transition{Line: "face", Active: i%2 == 0})
			time.Sleep(10 * time.Millisecond)
		}
	}()
	err = p.Run(ctx)
	if end, _ := ctx.Deadline(); time.Since(end) > mostFarewell {
		err = errors.Join(err, fmt.Errorf("it ended %v after it was told to", time.Since(end)))
	}
	if err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, most, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return errors.New("the kernel does not say how much memory was used")
	}
	_, err = fmt.Println(strings.Fields(most)[0])
	return err
}

// connack accepts, without properties.
var connack = []byte{0x20, 3, 0, 0, 0}

// long writes the length of a packet.
func long(first byte, n int) []byte {
	b := []byte{first}
	for {
		d := byte(n % 128)
		if n /= 128; n > 0 {
			d |= 0x80
		}
		if b = append(b, d); n == 0 {
			return b
		}
	}
}

// publication is a PUBLISH of QoS 0.
func publication(flags byte, topic string, payload []byte) []byte {
	b := long(0x30|flags, 2+len(topic)+1+len(payload))
	b = append(b, byte(len(topic)>>8), byte(len(topic)))
	b = append(append(b, topic...), 0)
	return append(b, payload...)
}

// memoryLimit is what a device may take beside a hostile broker, in KiB.
const memoryLimit = (64 << 10) * shadow

// mostFarewell is how long the end may take: miend waits for four seconds, and a busy
// machine has twice that here.
const mostFarewell = 8 * time.Second

// A stranger in the broker's place costs a device less than 64 MiB and never
// its life, and does not hold it up when it is told to end.
func TestHostileBrokers(t *testing.T) {
	zeros := make([]byte, 1<<20)
	flood := func(c net.Conn, head, again []byte, most int) {
		if _, err := c.Write(head); err != nil {
			return
		}
		for sent := 0; sent < most; sent += len(again) {
			if _, err := c.Write(again); err != nil {
				return
			}
		}
	}
	after := func(b ...byte) func(net.Conn, []byte) {
		return func(c net.Conn, _ []byte) { c.Write(append(bytes.Clone(connack), b...)); io.Copy(io.Discard, c) }
	}
	reason := append([]byte{0x1f, 0xea, 0x60}, bytes.Repeat([]byte("\x1b"), 60000)...)
	disconnect := append(append(long(0xe0, 1+3+len(reason)), 0x87), append([]byte{0xe3, 0xd4, 0x03}, reason...)...)
	brokers := map[string]func(net.Conn, []byte){
		"a publication of 200 MB": func(c net.Conn, _ []byte) {
			flood(c, append(bytes.Clone(connack), long(0x30, 200<<20)...), zeros, 200<<20)
		},
		"a CONNACK of 256 MB":  func(c net.Conn, _ []byte) { flood(c, long(0x20, 1<<28-1), zeros, 1<<28) },
		"a length without end": func(c net.Conn, _ []byte) { flood(c, []byte{0x20}, bytes.Repeat([]byte{0xff}, 1<<20), 100<<20) },
		"births without end": func(c net.Conn, _ []byte) {
			flood(c, connack, bytes.Repeat(publication(0, "homeassistant/status", []byte("online")), 1000), 1<<30)
		},
		"publications of 60 kB": func(c net.Conn, _ []byte) {
			flood(c, connack, publication(0, "homeassistant/status", zeros[:60000]), 1<<30)
		},
		"publications of QoS 1":        func(c net.Conn, _ []byte) { flood(c, connack, publication(2, "homeassistant/status", nil), 1<<30) },
		"lines without end":            lines,
		"answers to nobody":            func(c net.Conn, _ []byte) { flood(c, connack, bytes.Repeat([]byte{0x40, 2, 0x77, 7}, 1000), 1<<30) },
		"an answer that is a SUBACK":   after(0x90, 3, 0, 1, 0, 0x90, 4, 0, 2, 0, 0),
		"SUBACKs of nothing":           after(bytes.Repeat([]byte{0x90, 3, 0, 1, 0}, 100)...),
		"PUBACKs without an id":        after(bytes.Repeat([]byte{0x40, 0}, 100)...),
		"PUBREC":                       after(0x50, 2, 0, 1),
		"PUBREL":                       after(0x62, 2, 0, 1),
		"AUTH":                         after(0xf0, 2, 0x18, 0),
		"AUTH first":                   answer(0xf0, 2, 0x18, 0),
		"a method to log in":           answer(0x20, 8, 0, 0, 5, 0x15, 0, 2, 'x', 'y'),
		"no room for messages":         answer(0x20, 6, 0, 0, 3, 0x21, 0, 0),
		"no room for packets":          answer(0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 1),
		"keep alive of nothing":        answer(0x20, 6, 0, 0, 3, 0x13, 0, 0),
		"keep alive of a second":       answer(0x20, 6, 0, 0, 3, 0x13, 0, 1),
		"a second CONNACK":             after(connack...),
		"a farewell of escapes":        after(disconnect...),
		"properties cut short":         answer(0x20, 5, 0, 0, 0xff, 0xff, 0x7f),
		"a topic cut short":            after(0x30, 2, 0xff, 0xff),
		"nothing":                      func(c net.Conn, _ []byte) { io.Copy(io.Discard, c) },
		"deaf":                         func(c net.Conn, _ []byte) { c.Write(connack); time.Sleep(time.Minute) },
		"a connection after the other": func(c net.Conn, _ []byte) { c.Write(connack) },
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Most of a visit is waiting, so there are more at a time than processors.
	visits := make(chan struct{}, 9)
	var all sync.WaitGroup
	for name, serve := range brokers {
		cmd, stderr := exec.Command(exe), new(bytes.Buffer)
		cmd.Stderr, cmd.Env = stderr, append(os.Environ(), "PUBLISH_TO=mqtt://"+fake(t, serve), "PUBLISH_DIR="+t.TempDir())
		all.Go(func() {
			visits <- struct{}{}
			defer func() { <-visits }()
			out, err := cmd.Output()
			most := 0
			if err == nil {
				_, err = fmt.Sscan(string(out), &most)
			}
			if err != nil || most > memoryLimit {
				t.Errorf("%s: %d KiB, at most %d are allowed (%v)\n%s%s", name, most, memoryLimit, err, out, stderr)
			}
			t.Logf("%s: %d KiB", name, most)
		})
	}
	all.Wait()
}

// lines retains a line more, and more.
func lines(c net.Conn, _ []byte) {
	b := connack
	for i := 0; ; i++ {
		b = append(bytes.Clone(b), publication(1, fmt.Sprintf("mien/hall/line/%d-%s", i, strings.Repeat("x", 1000)), []byte("ON"))...)
		if _, err := c.Write(b); err != nil {
			return
		}
		b = nil
	}
}
