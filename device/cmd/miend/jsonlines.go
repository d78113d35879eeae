package main

import (
	"fmt"
	"io"
	"sync"

	"mien/device"
	"mien/device/signal"
)

// jsonLines is a device.Observer that writes every event as a line of JSON;
// see device.Line. When nobody reads them any more it says so once.
type jsonLines struct {
	mu     sync.Mutex
	w      io.Writer
	failed func()
	err    error
}

func (j *jsonLines) write(event any) {
	b, err := device.Line(event)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return
	}
	if err == nil {
		_, err = j.w.Write(b)
	}
	if err != nil {
		j.err = fmt.Errorf("lines of JSON: %w", err)
		j.failed()
	}
}

// Reading implements device.Observer.
func (j *jsonLines) Reading(r *device.Reading) { j.write(r) }

// Track implements device.Observer.
func (j *jsonLines) Track(t *device.Track) { j.write(t) }

// Transition implements device.Observer.
func (j *jsonLines) Transition(t signal.Transition) { j.write(t) }

// State implements device.StateObserver.
func (j *jsonLines) State(s device.State) { j.write(s) }
