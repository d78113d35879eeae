//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

import (
	"fmt"
	"time"

	gotflite "github.com/mattn/go-tflite"

	"mien/runtime/model"
)

// guard runs an interpreter on a goroutine of its own, so that a device that
// hangs can be left behind: a C function that never returns cannot be stopped.
type guard struct {
	data     []byte // for the processor, should it have to take over
	opt      Options
	start    chan struct{}
	done     chan bool
	timer    *time.Timer
	patience time.Duration
}

// openGuarded loads a model onto the Edge TPU, or says why that cannot be.
func openGuarded(data []byte, spec *model.Spec, opt Options) (*Engine, error) {
	patience := opt.Patience
	if patience == 0 {
		patience = 10 * time.Second
	}
	type result struct {
		e   *Engine
		err error
	}
	opened := make(chan result, 1)
	go func() {
		d, err := newEdgeTPU(opt.EdgeTPULibrary)
		if err != nil {
			opened <- result{nil, err}
			return
		}
		e, err := build(data, spec, opt, d)
		opened <- result{e, err}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, r.err
		}
		r.e.guard = newGuard(r.e.interpreter, data, opt, patience)
		return r.e, nil
	case <-time.After(patience):
		go func() { // should it come back after all
			if r := <-opened; r.e != nil {
				r.e.Close()
			}
		}()
		return nil, fmt.Errorf("the Edge TPU does not start within %v", patience)
	}
}

func newGuard(i *gotflite.Interpreter, data []byte, opt Options, patience time.Duration) *guard {
	g := &guard{data: append([]byte(nil), data...), opt: opt, start: make(chan struct{}), done: make(chan bool, 1),
		timer: time.NewTimer(patience), patience: patience}
	g.timer.Stop()
	go func() {
		for range g.start {
			g.done <- i.Invoke() == gotflite.OK
		}
	}()
	return g
}

// invoke runs the interpreter once and says whether the device has failed: it
// refused the work or did not finish in time.
func (g *guard) invoke() (failed bool) {
	g.start <- struct{}{}
	g.timer.Reset(g.patience)
	select {
	case ok := <-g.done:
		g.timer.Stop()
		return !ok
	case <-g.timer.C:
		return true
	}
}

// end lets the goroutine go, once it has come back.
func (g *guard) end() { close(g.start) }

// leave abandons the device and goes on with the processor. What the device
// holds stays as it is: nobody knows what it still writes to.
func (e *Engine) leave() error {
	g := e.guard
	g.end()
	cpu, err := openOnProcessor(g.data, e.spec, g.opt)
	if err != nil {
		e.interpreter, e.delegate, e.options, e.model, e.guard, e.reports = nil, nil, nil, nil, nil, reports{}
		return fmt.Errorf("the Edge TPU fails, and the processor cannot take over: %w", err)
	}
	*e = *cpu
	e.warning = fmt.Sprintf("the Edge TPU failed or did not answer within %v; the processor serves instead", g.patience)
	return nil
}
