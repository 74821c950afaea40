/* Modes a device is in. Most never change here: nothing is displayed, the performance state is the highest. */
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

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, mode, &view);
  if (status == NVML_SUCCESS) *mode = view.persistence_mode != 0 ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
  return status;
}

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t mode) {
  plant_host_t *host;
  uint32_t gpu;
  const bool known = mode == NVML_FEATURE_DISABLED || mode == NVML_FEATURE_ENABLED;
  nvmlReturn_t status = library_check(device, &device);
  if (status == NVML_SUCCESS && !known) status = NVML_ERROR_INVALID_ARGUMENT;
  if (status == NVML_SUCCESS) status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(plant_host_set_persistence(host, gpu, mode)) : status;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *state) {
  const nvmlReturn_t status = library_check(device, state);
  if (status == NVML_SUCCESS) *state = NVML_PSTATE_0;
  return status;
}

nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t device, nvmlPstates_t *state) {
  return nvmlDeviceGetPerformanceState(device, state);
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t device, nvmlEnableState_t *mode) {
  const nvmlReturn_t status = library_check(device, mode);
  if (status == NVML_SUCCESS) *mode = NVML_FEATURE_ENABLED;
  return status;
}
