/* What is printed on a board or wired to it: serial number, PCIe link, thresholds, and errors that it never has. */
#include <stdio.h>

#include "nvmlsim/library.h"

#define PCIE_LANES  16u
#define BUS_SHIFT   8
#define SERIAL_MAX  10000000000000ull /* thirteen digits */
#define FIRST_BATCH 1000000000000ull

/* Follows from the UUID, as that follows from the host's seed. */
nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, serial, &view);
  if (status != NVML_SUCCESS) return status;
  unsigned long long number = 0;
  for (const char *digit = view.uuid; *digit; digit++) number = number * 31 + (unsigned char)*digit;
  char text[32];
  snprintf(text, sizeof text, "%llu", FIRST_BATCH + number % (SERIAL_MAX - FIRST_BATCH));
  return library_copy_text(text, serial, length);
}

nvmlReturn_t nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned int *id) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, id, &view);
  if (status == NVML_SUCCESS) *id = view.pci_bus << BUS_SHIFT;
  return status;
}

nvmlReturn_t nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned int *is_multi) {
  const nvmlReturn_t status = library_check(device, is_multi);
  if (status == NVML_SUCCESS) *is_multi = 0;
  return status;
}

/* A window of the smallest power of two that shows all memory, and nobody looks through it. */
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, memory, &view);
  if (status != NVML_SUCCESS) return status;
  unsigned long long window_b = 1;
  while (window_b < view.memory_total_b && window_b << 1 != 0) window_b <<= 1;
  *memory = (nvmlBAR1Memory_t){.bar1Total = window_b, .bar1Free = window_b, .bar1Used = 0};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t threshold,
                                               unsigned int *celsius) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, celsius, &view);
  if (status != NVML_SUCCESS) return status;
  switch (threshold) {
    case NVML_TEMPERATURE_THRESHOLD_SHUTDOWN:
      *celsius = view.stop_c;
      return NVML_SUCCESS;
    case NVML_TEMPERATURE_THRESHOLD_SLOWDOWN:
      *celsius = view.slow_c;
      return NVML_SUCCESS;
    default: /* of the memory, and what only boards with fans have: not in the model */
      return threshold < NVML_TEMPERATURE_THRESHOLD_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
  }
}

/* No simulated memory has errors. */
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter,
                                         unsigned long long *count) {
  const nvmlReturn_t status = library_check(device, count);
  if (status != NVML_SUCCESS) return status;
  if (type > NVML_MEMORY_ERROR_TYPE_UNCORRECTED || counter > NVML_AGGREGATE_ECC) return NVML_ERROR_INVALID_ARGUMENT;
  *count = 0;
  return NVML_SUCCESS;
}

/* Of PCIe the generation follows from the chip's (Volta 3, Ampere and Ada 4, then 5), and the slot is as good. What
 * goes over it is not in the model. */
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, generation, &view);
  if (status != NVML_SUCCESS) return status;
  *generation = view.architecture < NVML_DEVICE_ARCH_AMPERE ? 3 : view.architecture < NVML_DEVICE_ARCH_HOPPER ? 4 : 5;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation) {
  return nvmlDeviceGetMaxPcieLinkGeneration(device, generation);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation) {
  return nvmlDeviceGetMaxPcieLinkGeneration(device, generation);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int *lanes) {
  const nvmlReturn_t status = library_check(device, lanes);
  if (status == NVML_SUCCESS) *lanes = PCIE_LANES;
  return status;
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned int *lanes) {
  return nvmlDeviceGetMaxPcieLinkWidth(device, lanes);
}
