// Package turned makes a camera of one that is mounted on its side, upside
// down, or behind a mirror.
package turned

import (
	"context"
	"fmt"

	"mien/camera"
	"mien/runtime/upright"
)

// Source gives the pictures of another source, turned. It is a camera.Source.
type Source struct {
	camera.Source
	turn upright.Turn
	raw  camera.Frame
}

var (
	_ camera.Source  = (*Source)(nil)
	_ camera.Dropper = (*Source)(nil)
)

// New returns s when its pictures need no turning, else a source that turns
// them.
func New(s camera.Source, turn upright.Turn) (camera.Source, error) {
	if err := turn.Check(); err != nil {
		return nil, err
	}
	if turn == (upright.Turn{}) {
		return s, nil
	}
	return &Source{Source: s, turn: turn}, nil
}

// Next fills f with the next picture, turned.
func (s *Source) Next(ctx context.Context, f *camera.Frame) error {
	if err := s.Source.Next(ctx, &s.raw); err != nil {
		return err
	}
	f.Resize(s.turn.Size(s.raw.Rect.Dx(), s.raw.Rect.Dy()))
	f.Time, f.Seq = s.raw.Time, s.raw.Seq
	s.turn.Gray(&f.Gray, &s.raw.Gray)
	return nil
}

// String says what camera this is, and how it is turned.
func (s *Source) String() string {
	name := "camera"
	if n, ok := s.Source.(fmt.Stringer); ok {
		name = n.String()
	}
	name += fmt.Sprintf(", turned by %d degrees", s.turn.Degrees)
	if s.turn.Mirror {
		name += ", mirrored"
	}
	return name
}

// Dropped implements camera.Dropper for sources that do.
func (s *Source) Dropped() camera.Dropped {
	if d, ok := s.Source.(camera.Dropper); ok {
		return d.Dropped()
	}
	return camera.Dropped{}
}
