package quant

import (
	"fmt"
	"math"

	"mien/runtime/face/filter"
	"mien/runtime/graph"
	"mien/runtime/model"
	"mien/runtime/portable"
)

// Samples are what a graph is calibrated and measured with: each gives every
// input of the graph a value. They are read from several goroutines.
type Samples interface {
	// Len is how many there are.
	Len() int
	// Fill sets dst to the real values of sample i for input k, numbered as in
	// Graph.Inputs. The length of dst is that of the input.
	Fill(i, k int, dst []float32) error
	// Bounds is the range that values of input k can have, whatever the samples;
	// ok is false when only the samples can tell.
	Bounds(k int) (lo, hi float64, ok bool)
}

// NameOf is how messages call sample i: by its file, where it has one.
func NameOf(s Samples, i int) string {
	if n, ok := s.(interface{ Name(int) string }); ok {
		return n.Name(i)
	}
	return fmt.Sprintf("sample %d", i)
}

// Face is a picture of model.Side by model.Side grey pixels, row by row.
type Face []uint8

// Faces are the samples of a face model: its one input is pixel/255.
type Faces []Face

// Len is the number of faces.
func (f Faces) Len() int { return len(f) }

// Bounds are those of any pixel.
func (Faces) Bounds(int) (lo, hi float64, ok bool) { return 0, 1, true }

// Fill sets dst to a face's pixels.
func (f Faces) Fill(i, k int, dst []float32) error {
	if k != 0 {
		return fmt.Errorf("quant: a face is one input, and the graph has a %s", ordinal(k+1))
	}
	if len(f[i]) != model.Side*model.Side || len(dst) != len(f[i]) {
		return fmt.Errorf("quant: a face has %d pixels, want %d for an input of %d values", len(f[i]), model.Side*model.Side, len(dst))
	}
	for at, p := range f[i] {
		dst[at] = float32(p) / 255
	}
	return nil
}

func ordinal(n int) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}

// some are n samples, evenly spread.
type some struct {
	Samples
	n int
}

func (s some) Len() int { return s.n }

func (s some) Fill(i, k int, dst []float32) error {
	return s.Samples.Fill(i*s.Samples.Len()/s.n, k, dst)
}

// Name is that of the sample among all.
func (s some) Name(i int) string { return NameOf(s.Samples, i*s.Samples.Len()/s.n) }

// Spread returns at most n of the samples, evenly spread.
func Spread(s Samples, n int) Samples {
	if s.Len() <= n {
		return s
	}
	return some{s, n}
}

// Fill sets dst to the real values of sample i for input k of a graph: of a face
// model with a filter to what that makes of the face.
func Fill(g *graph.Graph, samples Samples, i, k int, dst []float32) error {
	if err := samples.Fill(i, k, dst); err != nil {
		return err
	}
	name, err := model.FilterOf(g.Tensors[g.Inputs[k]].Name)
	if err != nil {
		return nil // no face model: its inputs are called as its maker liked
	}
	f, err := filter.New(name)
	if err != nil {
		return fmt.Errorf("quant: %w", err)
	}
	f.Values(dst)
	return nil
}

// feeder fills in the inputs of a graph.
type feeder struct {
	g      *graph.Graph
	values []float32 // of an integer input
}

// feed gives a session the values of sample i.
func (f *feeder) feed(s *portable.Session, samples Samples, i int) error {
	for k, at := range f.g.Inputs {
		if v := s.Float32(at); v != nil {
			if err := Fill(f.g, samples, i, k, v); err != nil {
				return err
			}
			continue
		}
		t := f.g.Tensors[at]
		q := s.Int8(at)
		if q == nil || t.Quant == nil || len(t.Quant.Scale) == 0 {
			return fmt.Errorf("quant: the input %q is %s %v, not float32 or int8", t.Name, t.Type, t.Shape)
		}
		if len(f.values) < len(q) {
			f.values = make([]float32, len(q))
		}
		v := f.values[:len(q)]
		if err := Fill(f.g, samples, i, k, v); err != nil {
			return err
		}
		scale, zero := float64(t.Quant.Scale[0]), float64(zeroOf(t.Quant))
		for j, x := range v {
			q[j] = int8(min(max(math.Round(float64(x)/scale)+zero, -128), 127))
		}
	}
	return nil
}
