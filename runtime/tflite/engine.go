//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

import (
	"errors"
	"fmt"
	"image"
	"math"
	"strings"
	"unsafe"

	gotflite "github.com/mattn/go-tflite"
	"github.com/mattn/go-tflite/delegates"

	"mien/runtime/face/filter"
	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
)

// Engine is one model in one interpreter of the library. It serves one
// goroutine at a time; several Engines are independent.
type Engine struct {
	spec *model.Spec
	name string

	// The library keeps pointers to all of these as long as the interpreter
	// lives, so they are deleted after it, in this order.
	interpreter *gotflite.Interpreter
	delegate    delegate
	options     *gotflite.InterpreterOptions
	reports     reports
	model       *gotflite.Model

	filter  *filter.Filter // nil where the model has none
	in      tensor
	quant   [256]int8    // pixel to element of an int8 input
	float   [256]float32 // pixel to element of a float32 input
	outputs []tensor     // in the order of spec.Heads

	guard   *guard // when a device that may hang computes
	warning string
}

// delegate is what takes operators over from the library's own kernels.
type delegate interface {
	delegates.Delegater
	Name() string
}

// tensor is an input or output, seen through the pointer that the library
// allocated for it. One of the slices is nil.
type tensor struct {
	f     []float32
	q     []int8
	scale float32
	zero  int
}

// open checks data and loads it. Its errors do not name the package, so that
// the callers can put the file's name in between.
func open(data []byte, opt Options) (*Engine, error) {
	spec, err := verify(data)
	if err != nil {
		return nil, err
	}
	if !opt.EdgeTPU {
		return openOnProcessor(data, spec, opt)
	}
	e, why := openGuarded(data, spec, opt)
	if why == nil {
		return e, nil
	}
	e, err = openOnProcessor(data, spec, opt)
	if err != nil {
		return nil, fmt.Errorf("%w; and %w", why, err)
	}
	e.warning = why.Error() + "; the processor serves instead"
	return e, nil
}

// openOnProcessor loads a model with XNNPACK, or the library's own kernels
// where they are asked for or XNNPACK does not take the model.
func openOnProcessor(data []byte, spec *model.Spec, opt Options) (*Engine, error) {
	var why error
	if !opt.Builtin {
		d, err := newXNNPACK(data, max(opt.Threads, 1))
		if err == nil {
			var e *Engine
			if e, err = build(data, spec, opt, d); err == nil {
				return e, nil
			}
		}
		why = err
	}
	e, err := build(data, spec, opt, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsuited, err)
	}
	if why != nil {
		e.warning = fmt.Sprintf("XNNPACK does not take the model (%v); the library's own kernels serve, which are slower", why)
	}
	return e, nil
}

// build makes the interpreter, with d or without a delegate. It owns d.
func build(data []byte, spec *model.Spec, opt Options, d delegate) (_ *Engine, err error) {
	e := &Engine{spec: spec, delegate: d}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if e.model, err = load(data); err != nil {
		return nil, err
	}
	if e.options = gotflite.NewInterpreterOptions(); e.options == nil {
		return nil, errors.New("the library cannot make interpreter options")
	}
	e.reports = newReports(e.options)
	threads := max(opt.Threads, 1)
	e.options.SetNumThread(threads)
	kernels := "builtin"
	if d != nil {
		e.options.AddDelegate(d)
		kernels = d.Name()
	}
	if e.interpreter = gotflite.NewInterpreter(e.model, e.options); e.interpreter == nil {
		return nil, e.reports.wrap("the library refuses the model")
	}
	if e.interpreter.AllocateTensors() != gotflite.OK {
		return nil, e.reports.wrap("the library cannot prepare the model")
	}
	if err := e.bind(); err != nil {
		return nil, err
	}
	e.name = fmt.Sprintf("tflite %s %s, %d %s", version(), kernels, threads, plural(threads, "thread"))
	return e, nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// verify reads data as the C library, which trusts its input, would not: every
// offset and index is checked before the library sees the file.
func verify(data []byte) (*model.Spec, error) {
	g, err := flatfile.Unmarshal(data)
	if err != nil {
		return nil, unprefixed{err}
	}
	spec, err := flatfile.SpecOf(g)
	if err != nil {
		return nil, unprefixed{err}
	}
	if len(spec.Heads) == 0 {
		return nil, errors.New("the model has no output that mien knows (emotion, gender, race or age)")
	}
	return spec, suited(g)
}

// unprefixed is an error of runtime/graph/flatfile without that package's name,
// which says nothing to who reads it.
type unprefixed struct{ error }

func (u unprefixed) Error() string { return strings.TrimPrefix(u.error.Error(), "flatfile: ") }
func (u unprefixed) Unwrap() error { return u.error }

// bind finds the tensors by name and checks that they are what spec says.
func (e *Engine) bind() error {
	if n := e.interpreter.GetInputTensorCount(); n != 1 {
		return fmt.Errorf("the model has %d inputs, want one, %q", n, model.InputName)
	}
	in, err := bindTensor(e.interpreter.GetInputTensor(0), e.spec.Filter.Input(), model.Side*model.Side)
	if err != nil {
		return err
	}
	if e.filter, err = filter.New(e.spec.Filter); err != nil {
		return err
	}
	e.in = in
	e.fillTables()

	byName := make(map[string]*gotflite.Tensor)
	for i := range e.interpreter.GetOutputTensorCount() {
		if t := e.interpreter.GetOutputTensor(i); t != nil {
			byName[t.Name()] = t
		}
	}
	for _, h := range e.spec.Heads {
		out, err := bindTensor(byName[h.Name], h.Name, len(h.Labels))
		if err != nil {
			return err
		}
		e.outputs = append(e.outputs, out)
	}
	return nil
}

// bindTensor checks one tensor and returns its memory.
func bindTensor(t *gotflite.Tensor, name string, elems int) (tensor, error) {
	if t == nil {
		return tensor{}, fmt.Errorf("the model has no tensor %q among its inputs and outputs", name)
	}
	if t.Name() != name {
		return tensor{}, fmt.Errorf("the model's input is called %q, want %q", t.Name(), name)
	}
	shape := t.Shape()
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n != elems {
		return tensor{}, fmt.Errorf("tensor %q has shape %v, want %d elements", name, shape, elems)
	}
	data := t.Data()
	if data == nil {
		return tensor{}, fmt.Errorf("the library gives no memory for tensor %q", name)
	}
	switch t.Type() {
	case gotflite.Float32:
		return tensor{f: unsafe.Slice((*float32)(data), elems)}, nil
	case gotflite.Int8:
		q := t.QuantizationParams()
		if !(q.Scale > 0) || math.IsInf(q.Scale, 1) {
			return tensor{}, fmt.Errorf("tensor %q is int8 with scale %v, want a positive one", name, q.Scale)
		}
		return tensor{q: unsafe.Slice((*int8)(data), elems), scale: float32(q.Scale), zero: q.ZeroPoint}, nil
	}
	return tensor{}, fmt.Errorf("tensor %q has TensorFlow Lite's type %d, want float32 or int8", name, t.Type())
}

// fillTables works out what each grey level is as an element of the input.
func (e *Engine) fillTables() {
	for p := range 256 {
		v := float32(p) / 255
		if e.in.f != nil {
			e.float[p] = v
			continue
		}
		q := math.Round(float64(v)/float64(e.in.scale)) + float64(e.in.zero)
		e.quant[p] = int8(min(max(q, -128), 127))
	}
}

// Predict implements infer.Model. It allocates nothing.
func (e *Engine) Predict(face *image.Gray, out *model.Scores) error {
	if e.interpreter == nil {
		return errors.New("tflite: Predict after Close")
	}
	if err := e.check(face, out); err != nil {
		return err
	}
	e.write(e.filter.Of(face))
	if e.guard != nil {
		if e.guard.invoke() {
			if err := e.leave(); err != nil {
				return fmt.Errorf("tflite: %w", err)
			}
			return e.Predict(face, out)
		}
	} else if e.interpreter.Invoke() != gotflite.OK {
		return fmt.Errorf("tflite: %w", e.reports.wrap("the library cannot run the model"))
	}
	for i := range e.outputs {
		e.outputs[i].read(out.Heads[i])
	}
	return nil
}

// check refuses a face or scores of the wrong shape.
func (e *Engine) check(face *image.Gray, out *model.Scores) error {
	if face == nil || out == nil {
		return errors.New("tflite: Predict without a face or scores")
	}
	if s := face.Rect.Size(); s.X != model.Side || s.Y != model.Side {
		return fmt.Errorf("tflite: face of %dx%d pixels, want %dx%d", s.X, s.Y, model.Side, model.Side)
	}
	if last := face.PixOffset(face.Rect.Max.X-1, face.Rect.Max.Y-1); face.Stride < model.Side || last >= len(face.Pix) {
		return fmt.Errorf("tflite: face with %d pixels at stride %d, too few for %dx%d", len(face.Pix), face.Stride, model.Side, model.Side)
	}
	if len(out.Heads) != len(e.outputs) {
		return fmt.Errorf("tflite: scores for %d heads, the model has %d", len(out.Heads), len(e.outputs))
	}
	for i, h := range e.spec.Heads {
		if len(out.Heads[i]) != len(h.Labels) {
			return fmt.Errorf("tflite: %d scores for head %s, want %d", len(out.Heads[i]), h.Name, len(h.Labels))
		}
	}
	return nil
}

// write fills the input tensor, row by row because of the stride.
func (e *Engine) write(face *image.Gray) {
	for y := range model.Side {
		row := face.Pix[y*face.Stride:][:model.Side]
		if e.in.f != nil {
			dst := e.in.f[y*model.Side:][:model.Side]
			for x, p := range row {
				dst[x] = e.float[p]
			}
			continue
		}
		dst := e.in.q[y*model.Side:][:model.Side]
		for x, p := range row {
			dst[x] = e.quant[p]
		}
	}
}

// read copies the tensor to dst as real values.
func (t *tensor) read(dst []float32) {
	if t.f != nil {
		copy(dst, t.f)
		return
	}
	for i, q := range t.q {
		dst[i] = t.scale * float32(int(q)-t.zero)
	}
}

// Spec implements infer.Model.
func (e *Engine) Spec() *model.Spec { return e.spec }

// Engine implements infer.Model: the library's version, its kernels, threads.
func (e *Engine) Engine() string { return e.name }

// Warning says why the Edge TPU that was asked for does not serve, or nothing.
func (e *Engine) Warning() string { return e.warning }

// Close frees the model. A second Close does nothing.
func (e *Engine) Close() error {
	e.in, e.outputs = tensor{}, nil
	if e.guard != nil {
		e.guard.end()
		e.guard = nil
	}
	if e.interpreter != nil {
		e.interpreter.Delete()
		e.interpreter = nil
	}
	if e.delegate != nil {
		e.delegate.Delete()
		e.delegate = nil
	}
	if e.options != nil {
		e.options.Delete()
		e.options = nil
	}
	e.reports.free()
	e.reports = reports{}
	if e.model != nil {
		e.model.Delete()
		e.model = nil
	}
	return nil
}
