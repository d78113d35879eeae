//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

/*
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "tensorflow/lite/c/c_api.h"

// XNNPACK's delegate as TensorFlow Lite 2.9.0 exports it
// (tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h). Later versions have
// a longer struct; the library is pinned by hash, so this one is right.
typedef struct {
  int32_t num_threads;
  uint32_t flags; // 1: signed 8-bit, 2: unsigned 8-bit operators
} MienXNNPackOptions;

extern TfLiteDelegate* TfLiteXNNPackDelegateCreate(const MienXNNPackOptions* options);
extern void TfLiteXNNPackDelegateDelete(TfLiteDelegate* delegate);

static TfLiteDelegate* mien_xnnpack(int32_t threads) {
  MienXNNPackOptions options = {threads, 1 | 2};
  return TfLiteXNNPackDelegateCreate(&options);
}

// The library's first complaint since the buffer was last cleared; the later
// ones only say that something failed because of the first.
typedef struct { char text[256]; } MienReport;

static void mien_report(void* user, const char* format, va_list args) {
  MienReport* r = user;
  if (r->text[0] == 0) vsnprintf(r->text, sizeof r->text, format, args);
}

static MienReport* mien_report_new(TfLiteInterpreterOptions* options) {
  MienReport* r = calloc(1, sizeof *r);
  if (r != NULL) TfLiteInterpreterOptionsSetErrorReporter(options, mien_report, r);
  return r;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	gotflite "github.com/mattn/go-tflite"
)

// xnnpack is a delegate of go-tflite. go-tflite's own cannot set the flags
// without which XNNPACK leaves int8 operators alone.
type xnnpack struct{ d *C.TfLiteDelegate }

func newXNNPACK(threads int) (*xnnpack, error) {
	d := C.mien_xnnpack(C.int32_t(threads))
	if d == nil {
		return nil, errors.New("the library cannot make its XNNPACK delegate")
	}
	return &xnnpack{d}, nil
}

func (x *xnnpack) Delete()             { C.TfLiteXNNPackDelegateDelete(x.d) }
func (x *xnnpack) Ptr() unsafe.Pointer { return unsafe.Pointer(x.d) }

// Name is what Engine calls the kernels.
func (x *xnnpack) Name() string { return "XNNPACK" }

// reports catches what the library would print on the standard error.
type reports struct{ r *C.MienReport }

// newReports attaches to options. go-tflite's SetErrorReporter misreads the C
// argument list, so this one reaches for the C pointer, which is the only
// field of its InterpreterOptions.
func newReports(options *gotflite.InterpreterOptions) reports {
	c := *(*unsafe.Pointer)(unsafe.Pointer(options))
	return reports{C.mien_report_new((*C.TfLiteInterpreterOptions)(c))}
}

// wrap returns an error that says what failed and why.
func (r reports) wrap(what string) error {
	if r.r == nil || r.r.text[0] == 0 {
		return errors.New(what)
	}
	why, _, _ := strings.Cut(strings.TrimSpace(C.GoString(&r.r.text[0])), "\n")
	r.r.text[0] = 0
	return fmt.Errorf("%s: %s", what, why)
}

func (r reports) free() { C.free(unsafe.Pointer(r.r)) }

// version returns the library's version.
func version() string { return C.GoString(C.TfLiteVersion()) }
