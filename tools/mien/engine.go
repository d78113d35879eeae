package main

import (
	"cmp"
	"errors"

	"mien/runtime/infer"
	"mien/runtime/portable"
	"mien/runtime/tflite"
)

// openEngine loads a .tflite file into the engine of that name; auto is the
// TensorFlow Lite library where this build has it and it computes the model
// rightly, else the portable engine.
func openEngine(name string, file []byte, threads int) (infer.Model, error) {
	var unsuited error
	if name != "portable" {
		e, err := tflite.Open(file, tflite.Options{Threads: threads})
		if err == nil {
			return e, nil
		}
		if name == "tflite" || !errors.Is(err, tflite.ErrUnavailable) && !errors.Is(err, tflite.ErrUnsuited) {
			return nil, err
		}
		if errors.Is(err, tflite.ErrUnsuited) {
			unsuited = err
		}
	}
	e, err := portable.Open(file, portable.Options{Threads: threads})
	if err != nil {
		return nil, cmp.Or(unsuited, err) // the library's reason names the operator first
	}
	return e, nil
}
