// The part of TensorFlow Lite's experimental C API that go-tflite names.
//
// The package that the library comes in leaves this header out, although
// go-tflite includes it and the library exports these functions. The
// declarations follow TensorFlow Lite 2.9 (tensorflow/lite/c/
// c_api_experimental.h); mien itself calls none of them.
#ifndef TENSORFLOW_LITE_C_C_API_EXPERIMENTAL_H_
#define TENSORFLOW_LITE_C_C_API_EXPERIMENTAL_H_

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/c/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// The operators are numbered by the schema; only the type is needed here.
typedef enum TfLiteBuiltinOperator {
  kTfLiteBuiltinAdd = 0,
  kTfLiteBuiltinLast = 0x7fffffff,
} TfLiteBuiltinOperator;

TfLiteStatus TfLiteInterpreterResetVariableTensors(TfLiteInterpreter* interpreter);

void TfLiteInterpreterOptionsAddBuiltinOp(TfLiteInterpreterOptions* options,
                                          TfLiteBuiltinOperator op,
                                          const TfLiteRegistration* registration,
                                          int32_t min_version, int32_t max_version);

void TfLiteInterpreterOptionsAddCustomOp(TfLiteInterpreterOptions* options,
                                         const char* name,
                                         const TfLiteRegistration* registration,
                                         int32_t min_version, int32_t max_version);

void TfLiteInterpreterOptionsSetUseNNAPI(TfLiteInterpreterOptions* options, bool enable);

#ifdef __cplusplus
}
#endif

#endif
