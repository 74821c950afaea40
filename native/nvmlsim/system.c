/* Versions and error texts. */
#include <stddef.h>

#include "nvmlsim/library.h"

/* No real driver's version, and numbers only: there are clients that split it at its dots into integers. */
#define DRIVER_VERSION "999.1.0"
#define NVML_VERSION   "12." DRIVER_VERSION
#define CUDA_VERSION   12040 /* 12.4 */

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
  uint32_t count;
  const nvmlReturn_t status = library_gpu_count(&count);
  return status == NVML_SUCCESS ? library_copy_text(DRIVER_VERSION, version, length) : status;
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length) {
  return library_copy_text(NVML_VERSION, version,
                           length); /* the library's own: needs no driver, so no initialisation */
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
  uint32_t count;
  const nvmlReturn_t status = library_gpu_count(&count);
  if (status != NVML_SUCCESS) return status;
  if (version == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *version = CUDA_VERSION;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
  return nvmlSystemGetCudaDriverVersion(version);
}

/* The texts of a 535 library, number by number. */
static const char *const error_texts[] = {
    "Success",
    "Uninitialized",
    "Invalid Argument",
    "Not Supported",
    "Insufficient Permissions",
    "Already Initialized",
    "Not Found",
    "Insufficient Size",
    "Insufficient External Power",
    "Driver Not Loaded",
    "Timeout",
    "Interrupt Request Issue",
    "NVML Shared Library Not Found",
    "Function Not Found",
    "Corrupted infoROM",
    "GPU is lost",
    "GPU requires reset",
    "GPU access blocked by the operating system",
    "Driver/library version mismatch",
    "In use by another client",
    "Insufficient Memory",
    "No data",
    "vGPU ECC not supported",
    "Insufficient Resources",
    "Invalid Frequency",
    "Argument version mismatch",
    "Requested functionality has been deprecated",
    "System is not in ready state",
};

const char *nvmlErrorString(nvmlReturn_t result) {
  const size_t number = (size_t)result;
  return number < sizeof error_texts / sizeof error_texts[0] ? error_texts[number] : "Unknown Error";
}
