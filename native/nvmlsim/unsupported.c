/* Every other name of NVML, so that a client which looks one up finds it and is told NOT_SUPPORTED. The arguments,
 * different for each, are not looked at: on the platforms that NVML runs on, a caller may pass more than is taken. */
#include "nvmlsim/unsupported.h"

#include "nvmlsim/library.h"

static nvmlReturn_t unsupported(void) {
  uint32_t count;
  const nvmlReturn_t status = library_gpu_count(&count);
  return status == NVML_SUCCESS ? NVML_ERROR_NOT_SUPPORTED : status;
}

#define EXPORT_UNSUPPORTED(name)                                  \
  __attribute__((visibility("default"))) nvmlReturn_t name(void); \
  nvmlReturn_t name(void) {                                       \
    return unsupported();                                         \
  }

NVMLSIM_UNSUPPORTED(EXPORT_UNSUPPORTED)
