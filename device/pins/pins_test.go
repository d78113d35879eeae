package pins

import (
	"strings"
	"testing"
)

func TestSim(t *testing.T) {
	var seen []int
	s := Sim{Names: []string{"GPIO17", "GPIO27"}, Changed: func(_ string, l int) { seen = append(seen, l) }}
	if s.Level("GPIO17") != -1 {
		t.Error("a line that nobody claimed has a level")
	}
	p, err := s.Open("GPIO17", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("GPIO17", 0); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("claimed twice: %v", err)
	}
	if _, err := s.Open("gpio27", 0); err == nil || !strings.Contains(err.Error(), `there are GPIO27`) {
		t.Errorf("wrong case: %v", err)
	}
	if err := p.Write(2); err == nil {
		t.Error("level 2 accepted")
	}
	if err := p.Write(0); err != nil || s.Level("GPIO17") != 0 {
		t.Errorf("level %d, %v", s.Level("GPIO17"), err)
	}
	if err := p.Close(); err != nil || s.Level("GPIO17") != -1 {
		t.Errorf("after Close: level %d, %v", s.Level("GPIO17"), err)
	}
	if err := p.Write(1); err == nil {
		t.Error("written after Close")
	}
	if len(seen) != 2 || seen[0] != 1 || seen[1] != 0 {
		t.Errorf("levels seen %v; the first level has to be the one asked for", seen)
	}
}

// On a machine without the chip, or with it and not the line, the error says
// what to do.
func TestChipsExplain(t *testing.T) {
	for _, c := range []Chips{{Chip: "no-such-chip"}, {}} {
		_, err := c.Open("NO_SUCH_LINE", 0)
		if err == nil || !strings.HasPrefix(err.Error(), "pins: ") || !strings.Contains(err.Error(), "(") && !strings.Contains(err.Error(), ";") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := Unknown("GPIO1", []string{"GPIO10", "GPIO11", "ID_SD"}); !strings.Contains(err.Error(), "GPIO10, GPIO11") || strings.Contains(err.Error(), "ID_SD") {
		t.Error(err)
	}
	if err := Unknown("GPIO1", nil); !strings.Contains(err.Error(), "no names") {
		t.Error(err)
	}
}
