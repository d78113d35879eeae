//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

// The program finds the library beside itself, as on a board, or in
// build/tflite when it lies in bin/.

/*
#cgo amd64 LDFLAGS: -L${SRCDIR}/../../build/tflite/linux_amd64 -Wl,-rpath,$ORIGIN
#cgo arm64 LDFLAGS: -L${SRCDIR}/../../build/tflite/linux_arm64 -Wl,-rpath,$ORIGIN
*/
import "C"
