package signal

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// CONTRACT.md has the states of the table, in their order and words, and every
// state constant is in it.
func TestStatesAreTheContract(t *testing.T) {
	b, err := os.ReadFile("CONTRACT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(b), "| state | ready | meaning |\n| --- | --- | --- |\n")
	rows, _, _ = strings.Cut(rows, "\n\n")
	var want []string
	for _, m := range States {
		ready := "inactive"
		if m.State == Reading {
			ready = "active"
		}
		want = append(want, "| `"+string(m.State)+"` | "+ready+" | "+m.Text+" |")
		if m.Title == "" || len(m.Title) > 18 {
			t.Errorf("%s: the title %q has to fit on a display of 128 dots", m.State, m.Title)
		}
	}
	if got := strings.Split(rows, "\n"); !slices.Equal(got, want) {
		t.Errorf("CONTRACT.md says\n%s\nthe table\n%s", rows, strings.Join(want, "\n"))
	}
	for _, s := range []State{Reading, Starting, NoCamera, NoModel, NoHead, NoConsent, Held, Hung, WireFault, Stopped} {
		if s.Meaning().Text == string(s) {
			t.Errorf("%s means nothing", s)
		}
	}
}

// A wire that does not follow drops ready, freezes what stands under strobe,
// and settles from the time on at which it follows.
func TestWireAstray(t *testing.T) {
	m, err := New(emotionOnly, Options{Wires: wires("ready", "face", "strobe")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	turn := func(n int) {
		for range n {
			now = now.Add(40 * time.Millisecond)
			m.Frame(now)
			m.Update(now, Seen{Face: true, Labels: []int{0}})
		}
	}
	turn(25)
	if s, _ := m.State(); s != Reading {
		t.Fatalf("state %s", s)
	}
	m.Failed("face", "no way")
	turn(25)
	if s, why := m.State(); s != WireFault || why != "no way" {
		t.Errorf("state %s, %s", s, why)
	}
	for _, l := range m.Snapshot(nil) {
		if l.Active || (l.Fault != "") != (l.Name == "face") {
			t.Errorf("%+v", l)
		}
	}
	m.Settled("face", now)
	m.Settled("ready", now) // was never astray
	m.Failed("no line", "no way")
	turn(25)
	if s, why := m.State(); s != Reading {
		t.Errorf("state %s, %s", s, why)
	}
}
