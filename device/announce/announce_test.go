package announce

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"mien": true, "hall-2": true, "": false, "Mien": false, "a.b": false, "-a": false, "a_b": false, "none": true} {
		if err := Check(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if all := Names("mien"); all[0] != "mien.local" || all[1] != "mien-2.local" || len(all) != others {
		t.Errorf("%q", all)
	}
	for addr, want := range map[string]int{":8080": 8080, "0.0.0.0:80": 80, "127.0.0.1:80": 0, "localhost:80": 0, "[::1]:80": 0, "192.168.1.2:81": 81, "none": 0, ":0": 0} {
		if port, ok := PortOf(addr); port != want || ok != (want != 0) {
			t.Errorf("%q: %d, %v", addr, port, ok)
		}
	}
}

// asked returns the addresses that answer to a name, as a client of the network
// asks for it: a query of our own, to the group and from another port.
func asked(t *testing.T, name string) (all []string) {
	t.Helper()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := new(dns.Msg)
	q.SetQuestion(name+".", dns.TypeA)
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(b, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 9000)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return all
		}
		var m dns.Msg
		if m.Unpack(buf[:n]) == nil {
			for _, rr := range m.Answer {
				if a, ok := rr.(*dns.A); ok {
					all = append(all, a.A.String())
				}
			}
		}
	}
}

// A device answers to its name, to clients that know nothing of services, and
// ends when it is told to.
func TestRun(t *testing.T) {
	if !connected() {
		t.Fatal("this test wants a network that carries multicast, such as eth0 of a container")
	}
	name := fmt.Sprintf("mien-test%dx", time.Now().UnixNano()%100000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	answered := func(name string) bool {
		for range 15 {
			if len(asked(t, name)) > 0 {
				return true
			}
		}
		return false
	}
	go func() { ended <- Run(ctx, Options{name, "hall", 8080}) }()
	if !answered(name + ".local") {
		t.Error("nobody answers")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
