package portable_test

import (
	"testing"

	"mien/runtime/infer"
	"mien/runtime/infer/infertest"
	"mien/runtime/portable"
)

// TestConformance runs the suite of all engines on every set of kernels that
// this CPU has, and on several threads.
func TestConformance(t *testing.T) {
	for _, name := range portable.Kernels() {
		t.Run(name, func(t *testing.T) {
			infertest.Run(t, func(data []byte) (infer.Model, error) {
				return open(data, portable.Options{Kernels: name})
			})
		})
	}
	t.Run("3 threads", func(t *testing.T) {
		infertest.Run(t, func(data []byte) (infer.Model, error) {
			return open(data, portable.Options{Threads: 3, ShareFrom: 1})
		})
	})
}

// open keeps a nil engine from becoming a model that is not nil.
func open(data []byte, o portable.Options) (infer.Model, error) {
	e, err := portable.Open(data, o)
	if err != nil {
		return nil, err
	}
	return e, nil
}
