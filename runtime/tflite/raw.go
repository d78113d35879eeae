//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

import (
	"errors"
	"fmt"
	"unsafe"

	gotflite "github.com/mattn/go-tflite"

	"mien/runtime/graph/flatfile"
)

// Runner runs any .tflite file on the library: the oracle of the tests of
// what is not a face model.
type Runner struct {
	Engine
	inputs, outputs [][]byte
}

// NewRunner loads a file. Tensors are numbered as in the file's lists of
// inputs and outputs.
func NewRunner(data []byte, opt Options) (_ *Runner, err error) {
	g, err := flatfile.Unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("tflite: %w", unprefixed{err})
	}
	if err := suited(g); err != nil {
		return nil, fmt.Errorf("tflite: %w", err)
	}
	r := &Runner{}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.model, err = load(data); err != nil {
		return nil, fmt.Errorf("tflite: %w", err)
	}
	if r.options = gotflite.NewInterpreterOptions(); r.options == nil {
		return nil, errors.New("tflite: the library cannot make interpreter options")
	}
	r.reports = newReports(r.options)
	r.options.SetNumThread(max(opt.Threads, 1))
	if !opt.Builtin {
		d, err := newXNNPACK(data, max(opt.Threads, 1))
		if err != nil {
			return nil, fmt.Errorf("tflite: %w", err)
		}
		r.delegate = d
		r.options.AddDelegate(d)
	}
	if r.interpreter = gotflite.NewInterpreter(r.model, r.options); r.interpreter == nil {
		return nil, fmt.Errorf("tflite: %w", r.reports.wrap("the library refuses the model"))
	}
	if r.interpreter.AllocateTensors() != gotflite.OK {
		return nil, fmt.Errorf("tflite: %w", r.reports.wrap("the library cannot prepare the model"))
	}
	for i := range r.interpreter.GetInputTensorCount() {
		r.inputs = append(r.inputs, bytesOf(r.interpreter.GetInputTensor(i)))
	}
	for i := range r.interpreter.GetOutputTensorCount() {
		r.outputs = append(r.outputs, bytesOf(r.interpreter.GetOutputTensor(i)))
	}
	return r, nil
}

func bytesOf(t *gotflite.Tensor) []byte {
	if t == nil || t.Data() == nil {
		return nil
	}
	return unsafe.Slice((*byte)(t.Data()), int(t.ByteSize()))
}

// Input returns the memory of input i, for the caller to fill in.
func (r *Runner) Input(i int) []byte { return r.inputs[i] }

// Output returns the memory of output i, valid until Close.
func (r *Runner) Output(i int) []byte { return r.outputs[i] }

// Run computes the outputs.
func (r *Runner) Run() error {
	if r.interpreter.Invoke() != gotflite.OK {
		return fmt.Errorf("tflite: %w", r.reports.wrap("the library cannot run the model"))
	}
	return nil
}
