/* Clocks: what they are, what they may be, locking them, and what holds them down. */
#include <errno.h>
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
  const nvmlReturn_t status = library_read(device, clock_mhz, PLANT_CALL_CLOCK, &view);
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

/* Symbolic bounds come in pairs: both or neither. The clock that TDP stands for, the board's base clock, is not in the
 * model. */
static int resolve_symbols(uint32_t clock_max_mhz, unsigned int *min_mhz, unsigned int *max_mhz) {
  const bool min_named = *min_mhz > NVML_CLOCK_LIMIT_ID_RANGE_START,
             max_named = *max_mhz > NVML_CLOCK_LIMIT_ID_RANGE_START;
  if (!min_named && !max_named) return 0;
  if (!min_named || !max_named) return -EINVAL;
  if (*min_mhz > NVML_CLOCK_LIMIT_ID_UNLIMITED || *max_mhz > NVML_CLOCK_LIMIT_ID_UNLIMITED) return -EINVAL;
  if (*min_mhz == NVML_CLOCK_LIMIT_ID_TDP || *max_mhz == NVML_CLOCK_LIMIT_ID_TDP) return -ENOTSUP;
  *min_mhz = *max_mhz = clock_max_mhz;
  return 0;
}

/* 0 or -errno, as the plant's setters. */
static int lock_gpu_clocks(plant_host_t *host, uint32_t gpu, unsigned int min_mhz, unsigned int max_mhz) {
  plant_gpu_view_t view;
  int status = plant_host_view(host, gpu, &view);
  if (status == 0) status = resolve_symbols(view.sm_clock_max_mhz, &min_mhz, &max_mhz);
  if (status == 0 && min_mhz > max_mhz) status = -ERANGE;
  return status == 0 ? plant_host_lock_clocks(host, gpu, min_mhz, max_mhz) : status;
}

nvmlReturn_t nvmlDeviceSetGpuLockedClocks(nvmlDevice_t device, unsigned int min_mhz, unsigned int max_mhz) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  return library_change_end(lock_gpu_clocks(host, gpu, min_mhz, max_mhz));
}

nvmlReturn_t nvmlDeviceResetGpuLockedClocks(nvmlDevice_t device) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(plant_host_reset_clocks(host, gpu)) : status;
}

/* With one memory clock a lock is right if it admits that clock, and then changes nothing. */
static int lock_memory_clocks(plant_host_t *host, uint32_t gpu, unsigned int min_mhz, unsigned int max_mhz) {
  plant_gpu_view_t view;
  const int status = plant_host_view(host, gpu, &view);
  if (status != 0) return status;
  return min_mhz <= view.memory_clock_max_mhz && view.memory_clock_max_mhz <= max_mhz ? 0 : -ERANGE;
}

nvmlReturn_t nvmlDeviceSetMemoryLockedClocks(nvmlDevice_t device, unsigned int min_mhz, unsigned int max_mhz) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  return library_change_end(lock_memory_clocks(host, gpu, min_mhz, max_mhz));
}

nvmlReturn_t nvmlDeviceResetMemoryLockedClocks(nvmlDevice_t device) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(0) : status;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, reasons, &view);
  if (status == NVML_SUCCESS) *reasons = view.event_reasons;
  return status;
}

/* Those that the plant can give. */
nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
  const nvmlReturn_t status = library_check(device, reasons);
  if (status == NVML_SUCCESS) *reasons = nvmlClocksEventReasonGpuIdle | nvmlClocksEventReasonSwPowerCap;
  return status;
}

/* The names that these two had before. */
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
  return nvmlDeviceGetCurrentClocksEventReasons(device, reasons);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
  return nvmlDeviceGetSupportedClocksEventReasons(device, reasons);
}
