//go:build linux && (amd64 || arm64) && cgo && tflite && !board

package tflite

// A workstation's program finds the library in build/tflite when it lies in
// bin/, and in lib/mien when make install has put it into a bin/ elsewhere. The
// tag board leaves both out.

/*
#cgo amd64 LDFLAGS: -Wl,-rpath,$ORIGIN/../build/tflite/linux_amd64 -Wl,-rpath,$ORIGIN/../lib/mien
#cgo arm64 LDFLAGS: -Wl,-rpath,$ORIGIN/../build/tflite/linux_arm64 -Wl,-rpath,$ORIGIN/../lib/mien
*/
import "C"
