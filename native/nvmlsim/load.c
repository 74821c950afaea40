/* What the load does to a device: utilisation, memory, temperature. */
#include <stddef.h>

#include "nvmlsim/library.h"

#define ENGINE_SAMPLING_PERIOD_US 167000u

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_sense(device, utilization, PLANT_CALL_UTILISATION, &view);
  if (status != NVML_SUCCESS) return status;
  if (view.mig_mode) return NVML_ERROR_NOT_SUPPORTED;
  *utilization = (nvmlUtilization_t){.gpu = view.gpu_utilisation_pct, .memory = view.memory_utilisation_pct};
  return NVML_SUCCESS;
}

/* No simulated load encodes or decodes video: 0 is what it is, not a reading that is missing. */
static nvmlReturn_t unused_engine(nvmlDevice_t device, unsigned int *percent, unsigned int *period_us) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, percent != NULL ? period_us : NULL, &view);
  if (status != NVML_SUCCESS) return status;
  if (view.mig_mode) return NVML_ERROR_NOT_SUPPORTED;
  *percent = 0;
  *period_us = ENGINE_SAMPLING_PERIOD_US;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *percent, unsigned int *period_us) {
  return unused_engine(device, percent, period_us);
}

nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned int *percent, unsigned int *period_us) {
  return unused_engine(device, percent, period_us);
}

/* Of an instance its own; what the driver keeps for itself is entered with the board's. */
static nvmlReturn_t look_at_memory(nvmlDevice_t device, const void *out, uint64_t *total_b, uint64_t *used_b) {
  plant_gpu_view_t view;
  handle_t handle;
  plant_mig_t mig;
  const nvmlReturn_t status = library_look_at_part(device, out, PLANT_CALL_MEMORY, &view, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  *total_b = view.memory_total_b;
  *used_b = view.memory_used_b;
  if (handle.instance == WHOLE_BOARD) return NVML_SUCCESS;
  const double used = handle.instance < view.pid_count ? (double)view.memory_used_b / (double)view.memory_total_b : 0;
  *total_b = mig.memory_b;
  *used_b = (uint64_t)(used * (double)mig.memory_b);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  uint64_t total_b, used_b;
  const nvmlReturn_t status = look_at_memory(device, memory, &total_b, &used_b);
  if (status == NVML_SUCCESS) *memory = (nvmlMemory_t){.total = total_b, .free = total_b - used_b, .used = used_b};
  return status;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
  uint64_t total_b, used_b;
  const nvmlReturn_t status = look_at_memory(device, memory, &total_b, &used_b);
  if (status != NVML_SUCCESS) return status;
  if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  *memory = (nvmlMemory_v2_t){.version = nvmlMemory_v2, .total = total_b, .free = total_b - used_b, .used = used_b};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *celsius) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_sense(device, celsius, PLANT_CALL_TEMPERATURE, &view);
  if (status != NVML_SUCCESS) return status;
  if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  *celsius = view.temperature_c;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t *temperature) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_sense(device, temperature, PLANT_CALL_TEMPERATURE, &view);
  if (status != NVML_SUCCESS) return status;
  if (temperature->version != nvmlTemperature_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (temperature->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  temperature->temperature = (int)view.temperature_c;
  return NVML_SUCCESS;
}
