// Package infer is the one thing that the firmware asks of an engine: given a
// face, fill in the scores. Every engine passes the suite in infertest.
package infer

import (
	"image"

	"mien/runtime/model"
)

// Model is a model loaded into an engine. It serves one goroutine at a time.
type Model interface {
	// Predict reads a face of model.Side by model.Side pixels and fills out,
	// which Spec().NewScores() made. It allocates nothing.
	Predict(face *image.Gray, out *model.Scores) error
	// Spec describes the model; callers leave it as it is.
	Spec() *model.Spec
	// Engine names the engine and its settings, for logs and reports.
	Engine() string
	Close() error
}
