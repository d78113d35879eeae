package main

import (
	"errors"

	"mien/runtime/infer"
	"mien/runtime/portable"
	"mien/runtime/tflite"
)

// openEngine loads a .tflite file into the engine of that name; auto is the
// TensorFlow Lite library where this build has it, else the portable engine.
func openEngine(name string, file []byte, threads int) (infer.Model, error) {
	if name != "portable" {
		e, err := tflite.Open(file, tflite.Options{Threads: threads})
		if err == nil {
			return e, nil
		}
		if name == "tflite" || !errors.Is(err, tflite.ErrUnavailable) {
			return nil, err
		}
	}
	e, err := portable.Open(file, portable.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	return e, nil
}
