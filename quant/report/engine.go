package report

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"mien/quant"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/portable"
	"mien/runtime/tflite"
)

// session runs one file of any inputs and outputs.
type session interface {
	input(k int, t *graph.Tensor, v []float32) error
	run() error
	output(k int, t *graph.Tensor) ([]float32, error)
	Close() error
}

// library is a session of the TensorFlow Lite library.
type library struct{ *tflite.Runner }

func (l library) run() error { return l.Run() }

func (l library) input(k int, t *graph.Tensor, v []float32) error {
	b := l.Input(k)
	switch t.Type {
	case graph.Float32:
		if len(b) == 4*len(v) {
			for i, x := range v {
				binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
			}
			return nil
		}
	case graph.Int8, graph.UInt8:
		lo, hi := -128., 127.
		if t.Type == graph.UInt8 {
			lo, hi = 0, 255
		}
		if len(b) == len(v) && t.Quant != nil && len(t.Quant.Scale) == 1 && len(t.Quant.Zero) == 1 {
			for i, x := range v {
				b[i] = byte(int(min(max(math.Round(float64(x)/float64(t.Quant.Scale[0]))+float64(t.Quant.Zero[0]), lo), hi)))
			}
			return nil
		}
	}
	return fmt.Errorf("input %q is %s %v, %d bytes, for %d values", t.Name, t.Type, t.Shape, len(b), len(v))
}

func (l library) output(k int, t *graph.Tensor) ([]float32, error) {
	return real(t, l.Output(k))
}

// real returns what stored values of an output mean.
func real(t *graph.Tensor, b []byte) ([]float32, error) {
	if size := t.Type.Size(); size == 0 || len(b) != size*t.Elems() {
		return nil, fmt.Errorf("output %q is %d bytes, want %s %v", t.Name, len(b), t.Type, t.Shape)
	}
	filled := *t
	filled.Data = b
	if t.Quant == nil && t.Type != graph.Float32 {
		filled.Quant = &graph.Quant{Scale: []float32{1}, Zero: []int64{0}} // counts, indices
	}
	return quant.RealValues(&filled)
}

// own is a session of the portable engine.
type own struct {
	*portable.Session
	g *graph.Graph
}

func (o own) run() error { o.Run(); return nil }

func (o own) input(k int, t *graph.Tensor, v []float32) error {
	if f := o.Float32(o.g.Inputs[k]); len(f) == len(v) {
		copy(f, v)
		return nil
	}
	q := o.Int8(o.g.Inputs[k])
	if len(q) != len(v) || t.Quant == nil || len(t.Quant.Scale) != 1 || len(t.Quant.Zero) != 1 {
		return fmt.Errorf("input %q is %s %v, for %d values", t.Name, t.Type, t.Shape, len(v))
	}
	for i, x := range v {
		q[i] = int8(min(max(math.Round(float64(x)/float64(t.Quant.Scale[0]))+float64(t.Quant.Zero[0]), -128), 127))
	}
	return nil
}

func (o own) output(k int, _ *graph.Tensor) ([]float32, error) {
	return o.Real(nil, o.g.Outputs[k])
}

// engines are what may run a file, the first that is named first.
func engines(name string) []string {
	if name == "tflite" || name == "portable" {
		return []string{name}
	}
	return []string{"tflite", "portable"}
}

// opener loads a file into an engine as often as is asked.
func opener(engine string, file []byte, g *graph.Graph) (func() (session, error), error) {
	if engine == "portable" {
		n, err := portable.Load(g, portable.Options{})
		if err != nil {
			return nil, err
		}
		return func() (session, error) { return own{n.NewSession(), g}, nil }, nil
	}
	open := func() (session, error) {
		r, err := tflite.NewRunner(file, tflite.Options{})
		if err != nil {
			return nil, err
		}
		return library{r}, nil
	}
	s, err := open() // whether it can be had at all
	if err != nil {
		return nil, err
	}
	return open, s.Close()
}

// answers are what a file says in one engine.
type answers struct {
	quant.Answers
	engine string
	graph  *graph.Graph
}

// fileAnswers runs samples through a file in the first engine that takes it.
func fileAnswers(ctx context.Context, engine string, file []byte, samples quant.Samples, threads int) (*answers, error) {
	g, err := flatfile.Unmarshal(file)
	if err != nil {
		return nil, err
	}
	var why error
	for _, name := range engines(engine) {
		open, err := opener(name, file, g)
		if err != nil {
			why = errors.Join(why, err)
			continue
		}
		a, err := answersOf(ctx, open, g, samples, threads)
		return &answers{a, name, g}, err
	}
	return nil, why
}

func answersOf(ctx context.Context, open func() (session, error), g *graph.Graph, samples quant.Samples, threads int) (quant.Answers, error) {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	threads = min(threads, samples.Len())
	out := make(quant.Answers, samples.Len())
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for w := range threads {
		wg.Go(func() {
			s, err := open()
			if err != nil {
				errs[w] = err
				return
			}
			defer s.Close()
			for i := w; i < samples.Len() && errs[w] == nil; i += threads {
				if errs[w] = ctx.Err(); errs[w] == nil {
					out[i], errs[w] = one(s, g, samples, i)
				}
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// one runs sample i.
func one(s session, g *graph.Graph, samples quant.Samples, i int) ([][]float32, error) {
	for k, at := range g.Inputs {
		v := make([]float32, g.Tensors[at].Elems())
		if err := quant.Fill(g, samples, i, k, v); err != nil {
			return nil, err
		}
		if err := s.input(k, g.Tensors[at], v); err != nil {
			return nil, err
		}
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	var out [][]float32
	for k, at := range g.Outputs {
		v, err := s.output(k, g.Tensors[at])
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
