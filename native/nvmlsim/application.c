/* Application clocks, deprecated in favour of clock locks, and who may set them.
 *
 * As they come they are the fastest clocks; set, no SM clock goes above them. Setting them is the one thing here that
 * an administrator may open to everybody.
 */
#include <errno.h>

#include "nvmlsim/library.h"
#include "plant/knob.h"

static nvmlReturn_t choose(nvmlClockType_t type, uint32_t sm_mhz, uint32_t memory_mhz, unsigned int *clock_mhz) {
  if (type >= NVML_CLOCK_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
  if (type == NVML_CLOCK_VIDEO) return NVML_ERROR_NOT_SUPPORTED;
  *clock_mhz = type == NVML_CLOCK_MEM ? memory_mhz : sm_mhz;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock_mhz) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, clock_mhz, &view);
  return status == NVML_SUCCESS ? choose(type, view.sm_clock_max_mhz, view.memory_clock_max_mhz, clock_mhz) : status;
}

nvmlReturn_t nvmlDeviceGetApplicationsClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock_mhz) {
  plant_host_t *host;
  uint32_t gpu;
  plant_knobs_t knobs;
  nvmlReturn_t status = library_read_begin(device, clock_mhz, PLANT_CALL_OTHER, &host, &gpu);
  if (status == NVML_SUCCESS) status = library_read_end(plant_host_knobs(host, gpu, &knobs));
  if (status != NVML_SUCCESS) return status;
  const bool is_set = knobs.application_mhz != 0 && (type == NVML_CLOCK_SM || type == NVML_CLOCK_GRAPHICS);
  if (!is_set) return nvmlDeviceGetDefaultApplicationsClock(device, type, clock_mhz);
  *clock_mhz = knobs.application_mhz;
  return NVML_SUCCESS;
}

/* 0 or -errno, as the plant's setters: a pair must be one of those that are listed as supported. */
static int set_clocks(plant_host_t *host, uint32_t gpu, unsigned int memory_mhz, unsigned int sm_mhz) {
  plant_gpu_view_t view;
  const int status = plant_host_view(host, gpu, &view);
  if (status != 0) return status;
  if (memory_mhz != view.memory_clock_max_mhz || sm_mhz == 0) return -EINVAL;
  return plant_host_set_application_clock(host, gpu, sm_mhz);
}

nvmlReturn_t nvmlDeviceSetApplicationsClocks(nvmlDevice_t device, unsigned int memory_mhz, unsigned int sm_mhz) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin_if_open(device, PLANT_OPEN_APPLICATION_CLOCKS, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(set_clocks(host, gpu, memory_mhz, sm_mhz)) : status;
}

nvmlReturn_t nvmlDeviceResetApplicationsClocks(nvmlDevice_t device) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_change_begin_if_open(device, PLANT_OPEN_APPLICATION_CLOCKS, &host, &gpu);
  return status == NVML_SUCCESS ? library_change_end(plant_host_set_application_clock(host, gpu, 0)) : status;
}

/* The simulated boards have no clocks that boost by themselves beyond these, so nothing to restrict about them. */
static nvmlReturn_t check_api(nvmlRestrictedAPI_t api) {
  switch (api) {
    case NVML_RESTRICTED_API_SET_APPLICATION_CLOCKS:
      return NVML_SUCCESS;
    case NVML_RESTRICTED_API_SET_AUTO_BOOSTED_CLOCKS:
      return NVML_ERROR_NOT_SUPPORTED;
    default:
      return NVML_ERROR_INVALID_ARGUMENT;
  }
}

nvmlReturn_t nvmlDeviceGetAPIRestriction(nvmlDevice_t device, nvmlRestrictedAPI_t api,
                                         nvmlEnableState_t *is_restricted) {
  plant_host_t *host;
  uint32_t gpu;
  plant_knobs_t knobs;
  nvmlReturn_t status = library_check(device, is_restricted);
  if (status == NVML_SUCCESS) status = check_api(api);
  if (status == NVML_SUCCESS) status = library_read_begin(device, is_restricted, PLANT_CALL_OTHER, &host, &gpu);
  if (status == NVML_SUCCESS) status = library_read_end(plant_host_knobs(host, gpu, &knobs));
  if (status != NVML_SUCCESS) return status;
  *is_restricted = knobs.open & PLANT_OPEN_APPLICATION_CLOCKS ? NVML_FEATURE_DISABLED : NVML_FEATURE_ENABLED;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetAPIRestriction(nvmlDevice_t device, nvmlRestrictedAPI_t api,
                                         nvmlEnableState_t is_restricted) {
  plant_host_t *host;
  uint32_t gpu;
  const bool known = is_restricted == NVML_FEATURE_DISABLED || is_restricted == NVML_FEATURE_ENABLED;
  nvmlReturn_t status = library_check(device, &device);
  if (status == NVML_SUCCESS) status = known ? check_api(api) : NVML_ERROR_INVALID_ARGUMENT;
  if (status == NVML_SUCCESS) status = library_change_begin(device, &host, &gpu);
  const uint32_t open = is_restricted == NVML_FEATURE_DISABLED ? PLANT_OPEN_APPLICATION_CLOCKS : 0;
  return status == NVML_SUCCESS ? library_change_end(plant_host_set_open(host, gpu, open)) : status;
}
