/* Modes a device is in. Most never change here: nothing is displayed, MIG is off, the performance state is the highest.
 */
#include <errno.h>
#include <stddef.h>

#include "nvmlsim/library.h"

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode) {
  const nvmlReturn_t status = library_check(device, mode);
  if (status == NVML_SUCCESS) *mode = NVML_COMPUTEMODE_DEFAULT;
  return status;
}

static nvmlReturn_t disabled(nvmlDevice_t device, nvmlEnableState_t *state) {
  const nvmlReturn_t status = library_check(device, state);
  if (status == NVML_SUCCESS) *state = NVML_FEATURE_DISABLED;
  return status;
}

nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t *display) {
  return disabled(device, display);
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t *active) {
  return disabled(device, active);
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, current != NULL ? pending : NULL, &view);
  if (status != NVML_SUCCESS) return status;
  if (view.architecture < NVML_DEVICE_ARCH_AMPERE) return NVML_ERROR_NOT_SUPPORTED;
  *current = *pending = 0;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig) {
  const nvmlReturn_t status = library_check(device, is_mig);
  if (status == NVML_SUCCESS) *is_mig = 0;
  return status;
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, mode, &view);
  if (status == NVML_SUCCESS) *mode = view.persistence_mode != 0 ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
  return status;
}

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t mode) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  const bool known = mode == NVML_FEATURE_DISABLED || mode == NVML_FEATURE_ENABLED;
  return library_change_end(known ? plant_host_set_persistence(host, gpu, mode) : -EINVAL);
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *state) {
  const nvmlReturn_t status = library_check(device, state);
  if (status == NVML_SUCCESS) *state = NVML_PSTATE_0;
  return status;
}
