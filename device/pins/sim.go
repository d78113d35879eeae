// Package pins is where the firmware's output lines come from: GPIO chips
// through the kernel's character device, by line name, or a header that
// exists in memory only and keeps the same promises.
package pins

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"mien/device"
)

// Sim is a header in memory. The zero value has every line one asks for.
type Sim struct {
	// Names, if set, are the only lines there are.
	Names []string
	// Changed is told every new level, the first one included.
	Changed func(name string, level int)

	mu    sync.Mutex
	level map[string]int
}

// Open implements device.Header.
func (s *Sim) Open(name string, level int) (device.Pin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.level == nil {
		s.level = map[string]int{}
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	if _, taken := s.level[name]; taken {
		return nil, fmt.Errorf("pins: line %q is already in use", name)
	}
	s.level[name] = level
	if s.Changed != nil {
		s.Changed(name, level)
	}
	return &simPin{s, name}, nil
}

func (s *Sim) known(name string) error {
	if s.Names == nil {
		return nil
	}
	for _, n := range s.Names {
		if n == name {
			return nil
		}
	}
	return Unknown(name, s.Names)
}

// Blink is Chips.Blink in memory.
func (s *Sim) Blink(ctx context.Context, name string) error {
	p, err := s.Open(name, 0)
	if err != nil {
		return err
	}
	return errors.Join(blink(ctx, 0, p.Write), p.Close())
}

// Level returns the level of a line, or -1 when nobody has claimed it.
func (s *Sim) Level(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.level[name]; ok {
		return l
	}
	return -1
}

type simPin struct {
	s    *Sim
	name string
}

func (p *simPin) Write(level int) error {
	if level != 0 && level != 1 {
		return fmt.Errorf("pins: level %d on line %q: there are 0 and 1", level, p.name)
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if _, ok := p.s.level[p.name]; !ok {
		return fmt.Errorf("pins: line %q was given back", p.name)
	}
	p.s.level[p.name] = level
	if p.s.Changed != nil {
		p.s.Changed(p.name, level)
	}
	return nil
}

func (p *simPin) Close() error {
	p.s.mu.Lock()
	delete(p.s.level, p.name)
	p.s.mu.Unlock()
	return nil
}
