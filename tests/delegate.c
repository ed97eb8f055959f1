/* An external delegate that takes over SOFTMAX, for tests/test_delegates.py: gcc -shared -fPIC delegate.c -lm
 *
 * The option "mode" says how: "right" (default) computes it, "wrong" is always sure of the first class, "idle" takes nothing, "unready" fails when its kernel is prepared, "refuse" fails before it takes anything,
 * "null" creates no delegate, "crash" dies, "hang" does not come to an end, "loud" writes to stdout.
 *
 * The structs are the head of TensorFlow Lite's public C interface (tensorflow/lite/core/c/common.h), as far as this
 * file needs it; they are equal in tflite-runtime 2.14 and LiteRT 2.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, FAILED = 1 };
enum { FLOAT32 = 1, UINT8 = 3, INT8 = 9 };
enum { SOFTMAX = 25 };

typedef struct { int size; int data[]; } Ints;
typedef struct { float scale; int32_t zero_point; } Quantization;
typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct {
  int type;
  void* data;
  Ints* dims;
  Quantization quantization;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  Delegate* delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void* params; } full_quantization;
  void* sparsity;
  const Ints* dims_signature;
} Tensor;

typedef struct {
  Ints *inputs, *outputs, *intermediates, *temporaries;
  void *user_data, *builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  Delegate* delegate;
  bool might_have_side_effect;
} Node;

typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, Node*);
  int (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace_operator;
} Registration;

struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(Context*, Ints**);
  Tensor* tensors;
  void* impl;
  int (*resize_tensor)(Context*, Tensor*, Ints*);
  void (*report_error)(Context*, const char*, ...);
  int (*add_tensors)(Context*, int, int*);
  int (*get_node_and_registration)(Context*, int, Node**, Registration**);
  int (*replace_nodes)(Context*, Registration, const Ints*, Delegate*);
};

struct Delegate {
  void* data;
  int (*prepare)(Context*, Delegate*);
  int (*copy_from)(Context*, Delegate*, int, Tensor*);
  int (*copy_to)(Context*, Delegate*, int, Tensor*);
  void (*free_handle)(Context*, Delegate*, int*);
  int64_t flags;
  void* opaque_builder;
  char mode[16];
};

static float read_value(const Tensor* tensor, int i) {
  if (tensor->type == FLOAT32) return ((const float*)tensor->data)[i];
  int value = tensor->type == INT8 ? ((const int8_t*)tensor->data)[i] : ((const uint8_t*)tensor->data)[i];
  return tensor->quantization.scale * (float)(value - tensor->quantization.zero_point);
}

static void write_value(Tensor* tensor, int i, float real) {
  if (tensor->type == FLOAT32) {
    ((float*)tensor->data)[i] = real;
    return;
  }
  long low = tensor->type == INT8 ? -128 : 0, value = lroundf(real / tensor->quantization.scale);
  value += tensor->quantization.zero_point;
  value = value < low ? low : value > low + 255 ? low + 255 : value;
  if (tensor->type == INT8) ((int8_t*)tensor->data)[i] = (int8_t)value;
  else ((uint8_t*)tensor->data)[i] = (uint8_t)value;
}

static void* kernel_init(Context* context, const char* buffer, size_t size) {
  (void)context, (void)size;
  return *(Delegate**)buffer; /* the first field of TfLiteDelegateParams */
}

static int kernel_prepare(Context* context, Node* node) {
  (void)context;
  return strcmp(((Delegate*)node->user_data)->mode, "unready") == 0 ? FAILED : OK;
}

static int kernel_invoke(Context* context, Node* node) {
  const Tensor* in = &context->tensors[node->inputs->data[0]];
  Tensor* out = &context->tensors[node->outputs->data[0]];
  const Delegate* delegate = node->user_data;
  int n = in->dims->data[in->dims->size - 1];
  float highest = -INFINITY, sum = 0;
  if (strcmp(delegate->mode, "crash") == 0) abort();
  if (strcmp(delegate->mode, "hang") == 0) pause();
  if (strcmp(delegate->mode, "loud") == 0) printf("Info: the accelerator runs\n"), fflush(stdout);
  for (int i = 0; i < n; ++i) highest = fmaxf(highest, read_value(in, i));
  for (int i = 0; i < n; ++i) sum += expf(read_value(in, i) - highest);
  for (int i = 0; i < n; ++i)
    write_value(out, i, strcmp(delegate->mode, "wrong") == 0 ? (float)(i == 0) : expf(read_value(in, i) - highest) / sum);
  return OK;
}

static int prepare(Context* context, Delegate* delegate) {
  Ints *plan, *taken;
  if (strcmp(delegate->mode, "refuse") == 0) {
    context->report_error(context, "the accelerator is taken by another process");
    return FAILED;
  }
  if (context->get_execution_plan(context, &plan) != OK) return FAILED;
  taken = malloc(sizeof(Ints) + sizeof(int) * plan->size);
  taken->size = 0;
  for (int i = 0; i < plan->size && strcmp(delegate->mode, "idle") != 0; ++i) {
    Node* node;
    Registration* registration;
    if (context->get_node_and_registration(context, plan->data[i], &node, &registration) != OK) return FAILED;
    if (registration->builtin_code == SOFTMAX) taken->data[taken->size++] = plan->data[i];
  }
  Registration kernel = {.init = kernel_init, .prepare = kernel_prepare, .invoke = kernel_invoke,
                         .custom_name = "TestSoftmax", .version = 1};
  int status = context->replace_nodes(context, kernel, taken, delegate);
  free(taken);
  return status;
}

Delegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t n,
                                        void (*report)(const char*)) {
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  strcpy(delegate->mode, "right");
  for (size_t i = 0; i < n; ++i)
    if (strcmp(keys[i], "mode") == 0) strncpy(delegate->mode, values[i], sizeof(delegate->mode) - 1);
  if (strcmp(delegate->mode, "null") == 0) {
    report("no accelerator is plugged in");
    free(delegate);
    return NULL;
  }
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) { free(delegate); }
