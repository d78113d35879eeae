//go:build linux && (amd64 || arm64) && cgo && tflite && !board && !placed

package tflite

// Test programs are built in temporary folders, so they find the library by
// this tree's own path. The tag placed leaves that path out, so that a program
// does not depend on where it was built.

/*
#cgo amd64 LDFLAGS: -Wl,-rpath,${SRCDIR}/../../build/tflite/linux_amd64
#cgo arm64 LDFLAGS: -Wl,-rpath,${SRCDIR}/../../build/tflite/linux_arm64
*/
import "C"
