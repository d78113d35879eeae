//go:build linux && (amd64 || arm64) && cgo && tflite && !edgetpu

package tflite

import "errors"

func newEdgeTPU(string) (delegate, error) {
	return nil, errors.New("this build has no Edge TPU support (build with -tags edgetpu)")
}
