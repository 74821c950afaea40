/* Power, energy and the power limit. */
#include <stddef.h>

#include "nvmlsim/library.h"

/* Instantaneous power on some boards, a mean over a second on others. */
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power_mw) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_sense(device, power_mw, PLANT_CALL_POWER, &view);
  if (status == NVML_SUCCESS) *power_mw = view.power_plain_mw;
  return status;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy_mj) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_sense(device, energy_mj, PLANT_CALL_POWER, &view);
  if (status != NVML_SUCCESS) return status;
  if (!view.has_counter) return NVML_ERROR_NOT_SUPPORTED;
  *energy_mj = view.energy_mj;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int *limit_mw) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, limit_mw, &view);
  if (status == NVML_SUCCESS) *limit_mw = view.limit_requested_mw;
  return status;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *limit_mw) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, limit_mw, &view);
  if (status == NVML_SUCCESS) *limit_mw = view.limit_enforced_mw;
  return status;
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned int *limit_mw) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, limit_mw, &view);
  if (status == NVML_SUCCESS) *limit_mw = view.limit_default_mw;
  return status;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *min_mw,
                                                          unsigned int *max_mw) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, min_mw != NULL ? max_mw : NULL, &view);
  if (status != NVML_SUCCESS) return status;
  *min_mw = view.limit_min_mw;
  *max_mw = view.limit_max_mw;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t device, unsigned int limit_mw) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  return library_change_end(plant_host_set_power_limit(host, gpu, limit_mw));
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit_v2(nvmlDevice_t device, nvmlPowerValue_v2_t *limit) {
  const nvmlReturn_t status = library_check(device, limit);
  if (status != NVML_SUCCESS) return status;
  if (limit->version != nvmlPowerValue_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (limit->powerScope > NVML_POWER_SCOPE_GPU_BASE) return NVML_ERROR_INVALID_ARGUMENT;
  if (limit->powerScope != NVML_POWER_SCOPE_GPU) return NVML_ERROR_NOT_SUPPORTED;
  return nvmlDeviceSetPowerManagementLimit(device, limit->powerValueMw);
}
