//go:build !(linux && (amd64 || arm64) && cgo && tflite)

package tflite

import (
	"image"

	"mien/runtime/model"
)

// Engine stands in for the engine in a build without the library. There is
// never one, for Open always fails.
type Engine struct{}

func open([]byte, Options) (*Engine, error) { return nil, ErrUnavailable }

// Predict returns ErrUnavailable.
func (*Engine) Predict(*image.Gray, *model.Scores) error { return ErrUnavailable }

// Spec returns an empty Spec.
func (*Engine) Spec() *model.Spec { return &model.Spec{} }

// Engine says that there is none.
func (*Engine) Engine() string { return "none" }

// Warning returns nothing.
func (*Engine) Warning() string { return "" }

// Close does nothing.
func (*Engine) Close() error { return nil }

// Runner stands in for the runner of any file; there is never one either.
type Runner struct{ Engine }

// NewRunner returns ErrUnavailable.
func NewRunner([]byte, Options) (*Runner, error) { return nil, ErrUnavailable }

// Input returns nil.
func (*Runner) Input(int) []byte { return nil }

// Output returns nil.
func (*Runner) Output(int) []byte { return nil }

// Run returns ErrUnavailable.
func (*Runner) Run() error { return ErrUnavailable }
