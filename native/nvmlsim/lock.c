/* Locking the clocks of cores and memory: until somebody resets them, or the driver is loaded anew. */
#include <errno.h>

#include "nvmlsim/library.h"
#include "plant/knob.h"

static bool is_symbol(unsigned int mhz) {
  return mhz > NVML_CLOCK_LIMIT_ID_RANGE_START;
}

/* Symbolic bounds come in pairs: both or neither. */
static bool is_pair(unsigned int min_mhz, unsigned int max_mhz) {
  if (is_symbol(min_mhz) || is_symbol(max_mhz))
    return is_symbol(min_mhz) && is_symbol(max_mhz) && min_mhz <= NVML_CLOCK_LIMIT_ID_UNLIMITED &&
           max_mhz <= NVML_CLOCK_LIMIT_ID_UNLIMITED;
  return min_mhz <= max_mhz;
}

/* TDP names the base clock, which the board promises to hold. */
static unsigned int resolve(const plant_gpu_view_t *view, unsigned int mhz) {
  if (!is_symbol(mhz)) return mhz;
  return mhz == NVML_CLOCK_LIMIT_ID_TDP ? view->sm_clock_base_mhz : view->sm_clock_max_mhz;
}

/* These two: 0 or -errno, as the plant's setters. */
static int lock_gpu_clocks(plant_host_t *host, uint32_t gpu, unsigned int min_mhz, unsigned int max_mhz) {
  plant_gpu_view_t view;
  const int status = plant_host_view(host, gpu, &view);
  if (status != 0) return status;
  return plant_host_lock_clocks(host, gpu, resolve(&view, min_mhz), resolve(&view, max_mhz));
}

static int lock_memory(plant_host_t *host, uint32_t gpu, unsigned int min_mhz, unsigned int max_mhz) {
  plant_gpu_view_t view;
  const int status = plant_host_view(host, gpu, &view);
  if (status != 0) return status;
  return view.architecture < NVML_DEVICE_ARCH_AMPERE ? -ENOTSUP : plant_host_lock_memory(host, gpu, min_mhz, max_mhz);
}

nvmlReturn_t nvmlDeviceSetGpuLockedClocks(nvmlDevice_t device, unsigned int min_mhz, unsigned int max_mhz) {
  plant_host_t *host;
  uint32_t gpu;
  nvmlReturn_t status = library_check(device, &device);
  if (status == NVML_SUCCESS && !is_pair(min_mhz, max_mhz)) status = NVML_ERROR_INVALID_ARGUMENT;
  if (status == NVML_SUCCESS) status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(lock_gpu_clocks(host, gpu, min_mhz, max_mhz)) : status;
}

nvmlReturn_t nvmlDeviceResetGpuLockedClocks(nvmlDevice_t device) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(plant_host_reset_clocks(host, gpu)) : status;
}

nvmlReturn_t nvmlDeviceSetMemoryLockedClocks(nvmlDevice_t device, unsigned int min_mhz, unsigned int max_mhz) {
  plant_host_t *host;
  uint32_t gpu;
  nvmlReturn_t status = library_check(device, &device);
  if (status == NVML_SUCCESS && (min_mhz > max_mhz || max_mhz == 0)) status = NVML_ERROR_INVALID_ARGUMENT;
  if (status == NVML_SUCCESS) status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(lock_memory(host, gpu, min_mhz, max_mhz)) : status;
}

nvmlReturn_t nvmlDeviceResetMemoryLockedClocks(nvmlDevice_t device) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin(device, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(lock_memory(host, gpu, 0, 0)) : status;
}
