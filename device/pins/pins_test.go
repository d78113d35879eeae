package pins

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
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

// A line that is identified begins and ends at its level, also when that is cut
// short, and is nobody's afterwards.
func TestBlink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []int
		s := Sim{Names: []string{"A"}, Changed: func(_ string, l int) { seen = append(seen, l) }}
		if err := s.Blink(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 2*Blinks+1 || seen[0] != 0 || seen[1] != 1 || seen[len(seen)-1] != 0 || s.Level("A") != -1 {
			t.Errorf("levels %v, at the end %d", seen, s.Level("A"))
		}
		for _, level := range []int{0, 1} {
			now := level
			ctx, cancel := context.WithTimeout(t.Context(), BlinkHalf/2)
			defer cancel()
			if err := blink(ctx, level, func(l int) error { now = l; return nil }); err != nil || now != level {
				t.Errorf("from %d to %d, %v", level, now, err)
			}
			fails := 0
			if err := blink(t.Context(), level, func(l int) error {
				if fails++; fails == 2 {
					return errors.New("it sticks")
				}
				now = l
				return nil
			}); err == nil || now != level {
				t.Errorf("a line that failed once is at %d, was at %d: %v", now, level, err)
			}
		}
	})
	taken := Sim{}
	if _, err := taken.Open("A", 0); err != nil {
		t.Fatal(err)
	}
	if err := taken.Blink(t.Context(), "A"); err == nil {
		t.Error("a line that somebody holds blinks")
	}
}
