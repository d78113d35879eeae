// A libedgetpu for the tests: the documented C interface without hardware. The
// environment variable EDGETPU_STUB says how it behaves:
//
//   none       there is no device
//   busy       there is one, and it does not open
//   hang       it opens and never comes back
//   hang-run   it takes the model's softmax and never finishes
//   fail-run   it takes the model's softmax and refuses to run it
//   idle       it opens and takes no operator
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tensorflow/lite/c/common.h"

struct edgetpu_device { int type; const char* path; };
struct edgetpu_option { const char* name; const char* value; };

static int is(const char* mode) {
  const char* m = getenv("EDGETPU_STUB");
  return m != NULL && strcmp(m, mode) == 0;
}

const char* edgetpu_version(void) { return "stub"; }
void edgetpu_verbosity(int verbosity) { (void)verbosity; }

struct edgetpu_device* edgetpu_list_devices(size_t* count) {
  *count = is("none") ? 0 : 1;
  if (*count == 0) return NULL;
  struct edgetpu_device* d = calloc(1, sizeof *d);
  d->type = 1;
  d->path = "/sys/bus/usb/devices/1-1";
  return d;
}

void edgetpu_free_devices(struct edgetpu_device* devices) { free(devices); }

static TfLiteStatus prepare(TfLiteContext* c, TfLiteNode* n) { (void)c; (void)n; return kTfLiteOk; }

static TfLiteStatus invoke(TfLiteContext* c, TfLiteNode* n) {
  (void)c; (void)n;
  if (is("hang-run")) for (;;) pause();
  return kTfLiteError;
}

// The stub takes the last operator of the model, a softmax, where it has to
// misbehave while running.
static TfLiteStatus take(TfLiteContext* context, TfLiteDelegate* delegate) {
  if (is("idle")) return kTfLiteOk;
  TfLiteIntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk || plan->size == 0) return kTfLiteError;
  TfLiteIntArray* one = TfLiteIntArrayCreate(1);
  one->data[0] = plan->data[plan->size - 1];
  TfLiteRegistration r;
  memset(&r, 0, sizeof r);
  r.custom_name = "edgetpu-custom-op";
  r.version = 1;
  r.prepare = prepare;
  r.invoke = invoke;
  TfLiteStatus s = context->ReplaceNodeSubsetsWithDelegateKernels(context, r, one, delegate);
  free(one);
  return s;
}

TfLiteDelegate* edgetpu_create_delegate(int type, const char* path, const struct edgetpu_option* options, size_t count) {
  (void)type; (void)path; (void)options; (void)count;
  if (is("busy")) return NULL;
  if (is("hang")) for (;;) pause();
  TfLiteDelegate* d = calloc(1, sizeof *d);
  d->Prepare = take;
  // Without this a model with edgetpu-custom-op is refused.
  d->flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return d;
}

void edgetpu_free_delegate(TfLiteDelegate* delegate) { free(delegate); }

// The library that the program runs has no such function to export.
TfLiteIntArray* TfLiteIntArrayCreate(int size) {
  TfLiteIntArray* a = malloc(sizeof(int) * (size + 1));
  a->size = size;
  return a;
}
