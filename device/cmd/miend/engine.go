package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"mien/boards"
	"mien/device/config"
	"mien/device/update"
	"mien/runtime/infer"
	"mien/runtime/plainfile"
	"mien/runtime/portable"
	"mien/runtime/tflite"
	"mien/runtime/zoo"
)

// modelBytes returns the model that the configuration names, and what to call
// it: a file or a model inside this program; or else the model that an update
// installed, or else the default one inside.
func modelBytes(c config.Model) (data []byte, name string, err error) {
	if c.File == "" {
		// An unreadable store is the business of run, which says so.
		keys, _ := update.Keys(keysDir)
		if data, slot, err := (update.Store{Dir: modelsDir, Keys: keys}).Current(); err == nil && data != nil {
			return data, fmt.Sprintf("%s (installed, version %d)", slot.Name, slot.Version), nil
		}
		if data = zoo.Default(); len(data) == 0 {
			return nil, "", errors.New("this build has no model inside: name one with model.file, or --model")
		}
		return data, zoo.DefaultName + " (inside miend)", nil
	}
	if slices.Contains(zoo.Names(), c.File) {
		data, err = zoo.Load(c.File)
		return data, c.File + " (inside miend)", err
	}
	data, err = plainfile.Read(c.File, update.MaxModel)
	if err != nil {
		return nil, "", fmt.Errorf("model: %w (inside miend are %s)", err, strings.Join(zoo.Names(), ", "))
	}
	return data, c.File, nil
}

// openModel loads the configured model into the configured engine. "auto" is
// TensorFlow Lite where this build has it and it computes the model rightly, and
// the portable engine elsewhere.
func openModel(c config.Model, threads int) (infer.Model, string, error) {
	return openModelOn(c, boards.Board{Threads: threads})
}

// openModelOn is openModel for a board, whose accelerator is tried too.
func openModelOn(c config.Model, b boards.Board) (infer.Model, string, error) {
	data, name, err := modelBytes(c)
	if err != nil {
		return nil, "", err
	}
	m, err := openEngine(c.Engine, data, threadsOf(c, b.Threads), b.Delegate == "edgetpu")
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return m, name, nil
}

// threadsOf is what the configuration says, or else the board, or else all
// cores but one.
func threadsOf(c config.Model, board int) int {
	switch {
	case c.Threads > 0:
		return c.Threads
	case board > 0:
		return board
	}
	return max(runtime.NumCPU()-1, 1)
}

func openEngine(engine string, data []byte, threads int, edgeTPU bool) (infer.Model, error) {
	switch engine {
	case "auto", "tflite", "portable":
	default:
		return nil, fmt.Errorf("no engine %q; there are auto, tflite and portable", engine)
	}
	var unsuited error
	if engine != "portable" {
		m, err := tflite.Open(data, tflite.Options{Threads: threads, EdgeTPU: edgeTPU})
		if err == nil {
			return m, nil
		}
		if engine == "tflite" || !errors.Is(err, tflite.ErrUnavailable) && !errors.Is(err, tflite.ErrUnsuited) {
			return nil, err
		}
		if errors.Is(err, tflite.ErrUnsuited) {
			unsuited = err
		}
	}
	m, err := portable.Open(data, portable.Options{Threads: threads})
	if err != nil {
		return nil, cmp.Or(unsuited, err) // the library's reason names the operator first
	}
	return m, nil
}
