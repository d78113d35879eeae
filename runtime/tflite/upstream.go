//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite

// What go-tflite 1.0.5 lacks, all of it, so that each piece can go when a later
// release has it:
//
//   - delegates/xnnpack cannot set the flags without which XNNPACK leaves int8
//     operators to the library's own kernels, and it links against libraries that
//     nobody ships: newXNNPACK.
//   - InterpreterOptions.SetErrorReporter misreads the C argument list:
//     newReports.
//   - NewModel copies the file and never frees the copy: load.
//   - delegates/edgetpu links against libedgetpu, so that a program does not start
//     where that is missing: edgetpu.go, which is a build of its own.
//   - It includes a header, c_api_experimental.h, that the library's package
//     leaves out: include/.

/*
#include <pthread.h>
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

// Makes the delegate, and leaves what the library says meanwhile in *said, for
// the caller to free. 2.9.0 tells of the first delegate on the standard error
// ("INFO: Created ..."), and exports nothing by which to stop that. It writes
// through C's variable stderr; pointing that elsewhere touches neither the file
// descriptor nor what Go writes to it.
static TfLiteDelegate* mien_xnnpack(int32_t threads, char** said) {
  static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
  MienXNNPackOptions options = {threads, 1 | 2};
  size_t length = 0;
  *said = NULL;
  pthread_mutex_lock(&one);
  FILE* was = stderr;
  FILE* caught = open_memstream(said, &length);
  if (caught != NULL) stderr = caught;
  TfLiteDelegate* d = TfLiteXNNPackDelegateCreate(&options);
  stderr = was;
  if (caught != NULL) fclose(caught);
  pthread_mutex_unlock(&one);
  return d;
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
	"os"
	"strconv"
	"strings"
	"unsafe"

	gotflite "github.com/mattn/go-tflite"
	"golang.org/x/sys/unix"

	"mien/runtime/graph/flatfile"
)

// xnnpack is a delegate of go-tflite. go-tflite's own cannot set the flags
// without which XNNPACK leaves int8 operators alone.
type xnnpack struct{ d *C.TfLiteDelegate }

// newXNNPACK makes one for the model in data, unless XNNPACK does not compute it.
func newXNNPACK(data []byte, threads int) (*xnnpack, error) {
	g, err := flatfile.Unmarshal(data)
	if err != nil {
		return nil, err
	}
	if err := delegable(g); err != nil {
		return nil, err
	}
	var said *C.char
	d := C.mien_xnnpack(C.int32_t(threads), &said)
	defer C.free(unsafe.Pointer(said))
	if d == nil {
		return nil, fmt.Errorf("the library cannot make its XNNPACK delegate: %s", strings.TrimSpace(C.GoString(said)))
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

// load hands data to the library in a file that exists in memory only. The
// library maps it; go-tflite's NewModel would copy it and never free the copy.
// The bytes are the verified ones even when the file on disk changes.
func load(data []byte) (*gotflite.Model, error) {
	fd, err := unix.MemfdCreate("mien-model", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory file for the model: %w", err)
	}
	f := os.NewFile(uintptr(fd), "mien-model")
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return nil, fmt.Errorf("memory file for the model: %w", err)
	}
	m := gotflite.NewModelFromFile("/proc/self/fd/" + strconv.Itoa(fd))
	if m == nil {
		return nil, errors.New("the library cannot read the model")
	}
	return m, nil
}

// version returns the library's version.
func version() string { return C.GoString(C.TfLiteVersion()) }
