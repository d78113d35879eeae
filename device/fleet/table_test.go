package fleet_test

import (
	"slices"
	"testing"

	"mien/device/config"
	"mien/device/fleet"
)

// A subject of the table is everywhere: it has a stream that there is, a key of
// the configuration that there is, and a board may say or hear its own, and no
// other's.
func TestTableIsWhole(t *testing.T) {
	id, other := fleet.ID{Site: "hall", Board: "door"}, fleet.ID{Site: "hall", Board: "other"}
	publish, subscribe := id.May()
	seen := map[string]bool{}
	for _, s := range fleet.Subjects {
		if seen[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		seen[s.Name] = true
		if _, ok := config.KeyOf(s.On); s.On != "" && !ok {
			t.Errorf("%s: there is no key %s", s.Name, s.On)
		}
		i := slices.IndexFunc(fleet.Streams, func(x fleet.Stream) bool { return x.Name == s.Stream })
		if s.Stream != "" && (i < 0 || !slices.Contains(fleet.Streams[i].Of(), fleet.All(s.Name))) {
			t.Errorf("%s: no stream %s keeps it", s.Name, s.Stream)
		}
		if may := map[bool][]string{false: publish, true: subscribe}[s.Down]; !slices.Contains(may, id.Subject(s.Name)) {
			t.Errorf("%s: the board may not", s.Name)
		}
		if slices.Contains(publish, other.Subject(s.Name)) || slices.Contains(subscribe, other.Subject(s.Name)) {
			t.Errorf("%s: the board may so for another", s.Name)
		}
		if got, name, err := fleet.ParseSubject(id.Subject(s.Name)); err != nil || got != id || name != s.Name {
			t.Errorf("%s is read as %v %s, %v", id.Subject(s.Name), got, name, err)
		}
	}
	share := 0
	for _, s := range fleet.Streams {
		share += s.Share
		if s.Age <= 0 || s.Share <= 0 || len(s.Of()) == 0 {
			t.Errorf("%s has no bounds, or keeps nothing", s.Name)
		}
	}
	for _, s := range fleet.Stores {
		share += s.Share
	}
	if share > 90 {
		t.Errorf("streams and stores take %d%% of the disk; a tenth has to be left", share)
	}
}

// By default no answer about a face leaves a board but as counts.
func TestNothingOfFacesByDefault(t *testing.T) {
	c := config.Default()
	if c.Fleet.Readings != 0 || len(c.Fleet.Events)+len(c.Fleet.Commands)+len(c.Fleet.Settable)+len(c.Fleet.Servers) != 0 {
		t.Errorf("%+v", c.Fleet)
	}
	for _, s := range fleet.Subjects {
		if s.Stream == "SEEN" && s.On == "" {
			t.Errorf("%s is sent without being asked for", s.Name)
		}
	}
}
