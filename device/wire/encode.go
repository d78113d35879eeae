package wire

import (
	"encoding/json"
	"fmt"
)

// Encode returns v, a pointer to a type of this package, as JSON that keeps to
// the schema: a list that is nil in Go is an empty list there. v is not
// changed. It fails on what JSON cannot say, such as a NaN.
func Encode(v any) ([]byte, error) {
	switch p := v.(type) {
	case *Reading:
		c := *p
		c.Faces = append([]Face{}, p.Faces...)
		for i := range c.Faces {
			c.Faces[i] = c.Faces[i].filled()
		}
		v = &c
	case *Track:
		c := *p
		c.Face = c.Face.filled()
		v = &c
	case *Status:
		c := *p
		c.Latency, c.Lines = filled(c.Latency), filled(c.Lines)
		v = &c
	case *Info:
		c := *p
		c.Heads, c.Header = append([]HeadInfo{}, c.Heads...), filled(c.Header)
		for i := range c.Heads {
			c.Heads[i].Labels = filled(c.Heads[i].Labels)
		}
		v = &c
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("wire: %T: %w", v, err)
	}
	return b, nil
}

func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (f Face) filled() Face {
	heads := make(map[string]Head, len(f.Heads))
	for name, h := range f.Heads {
		if h.Scores == nil {
			h.Scores = map[string]float32{}
		}
		heads[name] = h
	}
	f.Heads = heads
	return f
}
