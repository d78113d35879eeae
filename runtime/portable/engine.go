// Package portable runs .tflite models in Go alone, on every system that Go
// compiles for. Open loads a face model for the firmware; Load takes any graph
// and lets its caller read every tensor.
//
// Integers are computed as TensorFlow Lite's own kernels compute them, the
// same on every CPU, and results are within one step of theirs.
package portable

import (
	"errors"
	"fmt"
	"image"

	"mien/runtime/face/filter"
	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
)

// Engine is a face model in one session. It serves one goroutine at a time;
// engines that Fork made share their weights.
type Engine struct {
	spec    *model.Spec
	network *Network
	session *Session
	filter  *filter.Filter // nil where the model has none
	closed  bool
	float   []float32    // input, when it is float32
	ints    []int8       // input, when it is int8
	levels  [256]float32 // pixel to element of a float32 input
	quant   [256]int8    // pixel to element of an int8 input
	outputs []output     // in the order of spec.Heads
}

// output is an output tensor. One of the slices is nil.
type output struct {
	f []float32
	q []int8
	a affine
}

// Open loads a face model in the .tflite format. It keeps no reference to data.
func Open(data []byte, o Options) (*Engine, error) {
	g, err := flatfile.Unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("portable: %w", err)
	}
	spec, err := flatfile.SpecOf(g)
	if err != nil {
		return nil, fmt.Errorf("portable: %w", err)
	}
	n, err := Load(g, o)
	if err != nil {
		return nil, err
	}
	return newEngine(spec, n)
}

func newEngine(spec *model.Spec, n *Network) (*Engine, error) {
	e := &Engine{spec: spec, network: n, session: n.NewSession()}
	if err := e.bind(); err != nil {
		e.session.Close()
		return nil, fmt.Errorf("portable: %w", err)
	}
	return e, nil
}

// Fork returns a second engine with memory of its own and the same weights.
func (e *Engine) Fork() (*Engine, error) { return newEngine(e.spec, e.network) }

// bind finds the input and the outputs.
func (e *Engine) bind() error {
	var err error
	if e.filter, err = filter.New(e.spec.Filter); err != nil {
		return err
	}
	g := e.network.graph
	in := g.Inputs[0]
	e.float, e.ints = e.session.Float32(in), e.session.Int8(in)
	if e.float == nil && e.ints == nil {
		return fmt.Errorf("input is %v (float32 and int8 are run)", g.Tensors[in].Type)
	}
	var q affine
	if e.ints != nil {
		if q, err = quantOf(g.Tensors[in]); err != nil {
			return err
		}
	}
	for p := range e.levels {
		e.levels[p] = float32(p) / 255
		if e.ints != nil {
			e.quant[p] = q.quant(e.levels[p])
		}
	}
	for _, h := range e.spec.Heads {
		if err := e.bindHead(h.Name); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) bindHead(name string) error {
	g := e.network.graph
	for _, i := range g.Outputs {
		t := g.Tensors[i]
		if t.Name != name {
			continue
		}
		o := output{f: e.session.Float32(i), q: e.session.Int8(i)}
		if o.f == nil && o.q == nil {
			return fmt.Errorf("output %q is %v (float32 and int8 are run)", name, t.Type)
		}
		if o.q != nil {
			var err error
			if o.a, err = quantOf(t); err != nil {
				return err
			}
		}
		e.outputs = append(e.outputs, o)
		return nil
	}
	return fmt.Errorf("no output is called %q", name)
}

// Predict implements infer.Model. It allocates nothing.
func (e *Engine) Predict(face *image.Gray, out *model.Scores) error {
	if e.closed {
		return errors.New("portable: Predict after Close")
	}
	if err := e.check(face, out); err != nil {
		return err
	}
	face = e.filter.Of(face)
	for y := range model.Side {
		row := face.Pix[y*face.Stride:][:model.Side]
		for x, p := range row {
			if e.ints != nil {
				e.ints[y*model.Side+x] = e.quant[p]
			} else {
				e.float[y*model.Side+x] = e.levels[p]
			}
		}
	}
	e.session.Run()
	for i := range e.outputs {
		e.outputs[i].read(out.Heads[i])
	}
	return nil
}

// check refuses a face or scores of the wrong shape.
func (e *Engine) check(face *image.Gray, out *model.Scores) error {
	if face == nil || out == nil {
		return errors.New("portable: Predict without a face or scores")
	}
	if s := face.Rect.Size(); s.X != model.Side || s.Y != model.Side {
		return fmt.Errorf("portable: face of %dx%d pixels, want %dx%d", s.X, s.Y, model.Side, model.Side)
	}
	if face.Stride < model.Side || len(face.Pix) < (model.Side-1)*face.Stride+model.Side {
		return fmt.Errorf("portable: face with %d pixels at stride %d, too few for %dx%d", len(face.Pix), face.Stride, model.Side, model.Side)
	}
	if len(out.Heads) != len(e.outputs) {
		return fmt.Errorf("portable: scores for %d heads, the model has %d", len(out.Heads), len(e.outputs))
	}
	for i, h := range e.spec.Heads {
		if len(out.Heads[i]) != len(h.Labels) {
			return fmt.Errorf("portable: %d scores for head %s, want %d", len(out.Heads[i]), h.Name, len(h.Labels))
		}
	}
	return nil
}

func (o *output) read(dst []float32) {
	if o.f != nil {
		copy(dst, o.f)
		return
	}
	for i, q := range o.q {
		dst[i] = o.a.real(q)
	}
}

// Spec implements infer.Model.
func (e *Engine) Spec() *model.Spec { return e.spec }

// Engine implements infer.Model: the kernels and the threads.
func (e *Engine) Engine() string {
	threads := "1 thread"
	if n := e.network.threads; n > 1 {
		threads = fmt.Sprintf("%d threads", n)
	}
	return fmt.Sprintf("portable %s, %s", e.network.set.Name, threads)
}

// Close ends the engine's threads. A second Close does nothing.
func (e *Engine) Close() error {
	e.closed = true
	return e.session.Close()
}
