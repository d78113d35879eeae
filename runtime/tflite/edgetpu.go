//go:build linux && (amd64 || arm64) && cgo && tflite && edgetpu

package tflite

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include "tensorflow/lite/c/c_api.h"

// The part of Coral's C interface that is needed, as its documentation gives
// it (coral.ai/docs/reference/cpp/edgetpu, edgetpu_c.h). The library is found
// when the program runs: a board without it, or without the accelerator, still
// starts.
struct edgetpu_device { int32_t type; const char* path; };
struct edgetpu_option { const char* name; const char* value; };

typedef struct {
  void* library;
  struct edgetpu_device* (*list_devices)(size_t*);
  void (*free_devices)(struct edgetpu_device*);
  TfLiteDelegate* (*create_delegate)(int32_t, const char*, const struct edgetpu_option*, size_t);
  void (*free_delegate)(TfLiteDelegate*);
  const char* (*version)(void);
} MienEdgeTPU;

static const char* mien_edgetpu_open(MienEdgeTPU* e, const char* name) {
  e->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (e->library == NULL) return dlerror();
  e->list_devices = dlsym(e->library, "edgetpu_list_devices");
  e->free_devices = dlsym(e->library, "edgetpu_free_devices");
  e->create_delegate = dlsym(e->library, "edgetpu_create_delegate");
  e->free_delegate = dlsym(e->library, "edgetpu_free_delegate");
  e->version = dlsym(e->library, "edgetpu_version");
  if (!e->list_devices || !e->free_devices || !e->create_delegate || !e->free_delegate || !e->version)
    return "the library lacks functions of edgetpu_c.h";
  return NULL;
}

// Makes a delegate on the first device. The count is 0 when there is none.
static TfLiteDelegate* mien_edgetpu_create(MienEdgeTPU* e, size_t* count) {
  *count = 0;
  struct edgetpu_device* devices = e->list_devices(count);
  TfLiteDelegate* d = NULL;
  if (devices != NULL && *count > 0) d = e->create_delegate(devices[0].type, devices[0].path, NULL, 0);
  if (devices != NULL) e->free_devices(devices);
  return d;
}

static void mien_edgetpu_free(MienEdgeTPU* e, TfLiteDelegate* d) { e->free_delegate(d); }
static const char* mien_edgetpu_version(MienEdgeTPU* e) { return e->version(); }
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// edgeTPU is Coral's delegate for go-tflite. go-tflite's own links against the
// library, so that a program with it does not start where that is missing.
type edgeTPU struct {
	functions *C.MienEdgeTPU
	d         *C.TfLiteDelegate
}

// newEdgeTPU opens the first Edge TPU. The library stays loaded for good, for
// it has threads of its own.
func newEdgeTPU(library string) (delegate, error) {
	if library == "" {
		library = "libedgetpu.so.1"
	}
	name := C.CString(library)
	defer C.free(unsafe.Pointer(name))
	t := &edgeTPU{functions: (*C.MienEdgeTPU)(C.calloc(1, C.sizeof_MienEdgeTPU))}
	if t.functions == nil {
		return nil, errors.New("no memory")
	}
	if why := C.mien_edgetpu_open(t.functions, name); why != nil {
		C.free(unsafe.Pointer(t.functions))
		return nil, fmt.Errorf("no Edge TPU library: %s (install libedgetpu1-std)", C.GoString(why))
	}
	var count C.size_t
	if t.d = C.mien_edgetpu_create(t.functions, &count); t.d == nil {
		C.free(unsafe.Pointer(t.functions))
		if count == 0 {
			return nil, errors.New("no Edge TPU answers (is it plugged in, and may this user open it?)")
		}
		return nil, errors.New("the Edge TPU is there but does not open (another program may hold it)")
	}
	return t, nil
}

// Delete frees the delegate.
func (t *edgeTPU) Delete() {
	C.mien_edgetpu_free(t.functions, t.d)
	C.free(unsafe.Pointer(t.functions))
}

func (t *edgeTPU) Ptr() unsafe.Pointer { return unsafe.Pointer(t.d) }

// Name is what Engine calls the kernels.
func (t *edgeTPU) Name() string { return "Edge TPU " + C.GoString(C.mien_edgetpu_version(t.functions)) }
