//go:build linux && (amd64 || arm64) && cgo && tflite && !board

package tflite

// Test programs are built in temporary folders, so they find the library by
// this tree's own path. The tag board leaves that path out.

/*
#cgo amd64 LDFLAGS: -Wl,-rpath,$ORIGIN/../build/tflite/linux_amd64 -Wl,-rpath,${SRCDIR}/../../build/tflite/linux_amd64
#cgo arm64 LDFLAGS: -Wl,-rpath,$ORIGIN/../build/tflite/linux_arm64 -Wl,-rpath,${SRCDIR}/../../build/tflite/linux_arm64
*/
import "C"
