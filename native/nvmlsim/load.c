/* What the load does to a device: utilisation, memory, temperature. */
#include <stddef.h>

#include "nvmlsim/library.h"

#define ENGINE_SAMPLING_PERIOD_US 167000u

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_read(device, utilization, PLANT_CALL_UTILISATION, &view);
  if (status != NVML_SUCCESS) return status;
  *utilization = (nvmlUtilization_t){.gpu = view.gpu_utilisation_pct, .memory = view.memory_utilisation_pct};
  return NVML_SUCCESS;
}

/* No simulated load encodes or decodes video: 0 is what it is, not a reading that is missing. */
static nvmlReturn_t unused_engine(nvmlDevice_t device, unsigned int *percent, unsigned int *period_us) {
  const nvmlReturn_t status = library_check(device, percent != NULL ? period_us : NULL);
  if (status != NVML_SUCCESS) return status;
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

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_read(device, memory, PLANT_CALL_MEMORY, &view);
  if (status != NVML_SUCCESS) return status;
  *memory = (nvmlMemory_t){
      .total = view.memory_total_b, .free = view.memory_total_b - view.memory_used_b, .used = view.memory_used_b};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_read(device, memory, PLANT_CALL_MEMORY, &view);
  if (status != NVML_SUCCESS) return status;
  if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  *memory = (nvmlMemory_v2_t){.version = nvmlMemory_v2,
                              .total = view.memory_total_b,
                              .free = view.memory_total_b - view.memory_used_b,
                              .used = view.memory_used_b};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *celsius) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_read(device, celsius, PLANT_CALL_TEMPERATURE, &view);
  if (status != NVML_SUCCESS) return status;
  if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  *celsius = view.temperature_c;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t *temperature) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_read(device, temperature, PLANT_CALL_TEMPERATURE, &view);
  if (status != NVML_SUCCESS) return status;
  if (temperature->version != nvmlTemperature_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (temperature->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  temperature->temperature = (int)view.temperature_c;
  return NVML_SUCCESS;
}
