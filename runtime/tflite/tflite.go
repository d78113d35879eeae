// Package tflite runs a .tflite model on the TensorFlow Lite C library, with
// its XNNPACK kernels for float32 and int8.
//
// The library is there for Linux on amd64 and arm64, in a build with cgo and
// the tag tflite; make fetches it into build/tflite. In any other build Open
// gives ErrUnavailable, and runtime/portable serves instead.
package tflite

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrUnavailable is what Open returns in a build without the library.
var ErrUnavailable = errors.New("tflite: this build has no TensorFlow Lite library (build for Linux on amd64 or arm64 with cgo and -tags tflite, or choose the portable engine)")

// Options choose how a model runs. The zero value is one thread with XNNPACK,
// which is the fastest that the library has.
type Options struct {
	// Threads is the number of threads of the kernels; 0 means 1. Leave a core
	// free: a run waits for its slowest thread.
	Threads int
	// Builtin runs TensorFlow Lite's own kernels instead of XNNPACK's. They
	// are slower (1.7 times for int8, 3.6 times for float32 on amd64) and
	// differ from XNNPACK by up to two steps of an int8 output.
	Builtin bool
	// EdgeTPU tries Coral's accelerator first (a build with the tag edgetpu).
	// Where there is none, or it hangs, the processor serves instead, and
	// Warning says why.
	EdgeTPU bool
	// EdgeTPULibrary is another name or path than libedgetpu.so.1.
	EdgeTPULibrary string
	// Patience is how long the Edge TPU may take to start, and for one face;
	// 0 means ten seconds.
	Patience time.Duration
}

// maxFile bounds the size of a model file, in bytes. The paper's network in
// float32 takes 10 MB; what is far larger is not a face model.
const maxFile = 256 << 20

// OpenFile loads the model in the file at path. Errors name the file.
func OpenFile(path string, opt Options) (*Engine, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tflite: %w", err)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("tflite: %s: %d bytes are too many for a face model (at most %d)", path, st.Size(), maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tflite: %w", err)
	}
	e, err := open(data, opt)
	if err != nil {
		if errors.Is(err, ErrUnavailable) {
			return nil, err
		}
		return nil, fmt.Errorf("tflite: %s: %w", path, err)
	}
	return e, nil
}

// Open loads a model from memory. It keeps no reference to data.
func Open(data []byte, opt Options) (*Engine, error) {
	e, err := open(data, opt)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		return nil, fmt.Errorf("tflite: %w", err)
	}
	return e, err
}
