//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

// A program finds the library beside itself, as on a board.

/*
#cgo amd64 LDFLAGS: -L${SRCDIR}/../../build/tflite/linux_amd64 -Wl,-rpath,$ORIGIN
#cgo arm64 LDFLAGS: -L${SRCDIR}/../../build/tflite/linux_arm64 -Wl,-rpath,$ORIGIN
*/
import "C"
