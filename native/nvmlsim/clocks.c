/* Clocks: what they are and what they may be. */
#include <stddef.h>

#include "nvmlsim/library.h"

static nvmlReturn_t choose_clock(nvmlClockType_t type, uint32_t sm_mhz, uint32_t memory_mhz, unsigned int *clock_mhz) {
  switch (type) {
    case NVML_CLOCK_GRAPHICS:
    case NVML_CLOCK_SM: /* one clock drives both */
      *clock_mhz = sm_mhz;
      return NVML_SUCCESS;
    case NVML_CLOCK_MEM:
      *clock_mhz = memory_mhz;
      return NVML_SUCCESS;
    case NVML_CLOCK_VIDEO:
      return NVML_ERROR_NOT_SUPPORTED; /* not in the model */
    default:
      return NVML_ERROR_INVALID_ARGUMENT;
  }
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock_mhz) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_sense(device, clock_mhz, PLANT_CALL_CLOCK, &view);
  if (status != NVML_SUCCESS) return status;
  return choose_clock(type, view.sm_clock_mhz, view.memory_clock_mhz, clock_mhz);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock_mhz) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, clock_mhz, &view);
  if (status != NVML_SUCCESS) return status;
  return choose_clock(type, view.sm_clock_max_mhz, view.memory_clock_max_mhz, clock_mhz);
}

/* Write a falling ladder of clocks, or tell how many there are. */
static nvmlReturn_t list_clocks(uint32_t from_mhz, double step_mhz, unsigned int needed, unsigned int *count,
                                unsigned int *clocks_mhz) {
  const unsigned int room = *count;
  *count = needed;
  if (clocks_mhz == NULL || room < needed) return NVML_ERROR_INSUFFICIENT_SIZE;
  for (unsigned int i = 0; i < needed; i++) clocks_mhz[i] = (unsigned int)(from_mhz - i * step_mhz);
  return NVML_SUCCESS;
}

/* The memory of the boards simulated runs at one clock. */
nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t device, unsigned int *count, unsigned int *clocks_mhz) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, count, &view);
  return status == NVML_SUCCESS ? list_clocks(view.memory_clock_max_mhz, 0, 1, count, clocks_mhz) : status;
}

nvmlReturn_t nvmlDeviceGetSupportedGraphicsClocks(nvmlDevice_t device, unsigned int memory_clock_mhz,
                                                  unsigned int *count, unsigned int *clocks_mhz) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, count, &view);
  if (status != NVML_SUCCESS) return status;
  if (memory_clock_mhz != view.memory_clock_max_mhz) return NVML_ERROR_NOT_FOUND;
  const double span_mhz = view.sm_clock_max_mhz - view.sm_clock_min_mhz;
  return list_clocks(view.sm_clock_max_mhz, view.sm_clock_step_mhz,
                     (unsigned int)(span_mhz / view.sm_clock_step_mhz) + 1, count, clocks_mhz);
}

nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t type, nvmlClockId_t id, unsigned int *clock_mhz) {
  switch (id) {
    case NVML_CLOCK_ID_CURRENT:
      return nvmlDeviceGetClockInfo(device, type, clock_mhz);
    case NVML_CLOCK_ID_APP_CLOCK_TARGET:
      return nvmlDeviceGetApplicationsClock(device, type, clock_mhz);
    case NVML_CLOCK_ID_APP_CLOCK_DEFAULT:
      return nvmlDeviceGetDefaultApplicationsClock(device, type, clock_mhz);
    case NVML_CLOCK_ID_CUSTOMER_BOOST_MAX:
      return nvmlDeviceGetMaxCustomerBoostClock(device, type, clock_mhz);
    default: {
      const nvmlReturn_t status = library_check(device, clock_mhz);
      return status == NVML_SUCCESS ? NVML_ERROR_INVALID_ARGUMENT : status;
    }
  }
}

nvmlReturn_t nvmlDeviceGetMaxCustomerBoostClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock_mhz) {
  return nvmlDeviceGetMaxClockInfo(device, type, clock_mhz);
}
