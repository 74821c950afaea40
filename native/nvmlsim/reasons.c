/* What holds the clocks down, and for how long it has. A clock lock is no reason: who set it has what was asked for. */
#include "nvmlsim/reasons.h"

#include "nvmlsim/library.h"
#include "plant/throttle.h"

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look(device, reasons, &view);
  if (status == NVML_SUCCESS) *reasons = view.event_reasons;
  return status;
}

/* Those that the plant can give. */
nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
  const nvmlReturn_t status = library_check(device, reasons);
  if (status == NVML_SUCCESS)
    *reasons = nvmlClocksEventReasonGpuIdle | nvmlClocksEventReasonApplicationsClocksSetting |
               nvmlClocksEventReasonSwPowerCap | nvmlClocksEventReasonHwSlowdown |
               nvmlClocksEventReasonSwThermalSlowdown | nvmlClocksEventReasonHwThermalSlowdown;
  return status;
}

/* The names that these two had before. */
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
  return nvmlDeviceGetCurrentClocksEventReasons(device, reasons);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
  return nvmlDeviceGetSupportedClocksEventReasons(device, reasons);
}

/* What cannot happen in the model has happened for no time: boards are not synchronised, keep their clocks however
 * little there is to do, and are never unreliable. */
bool reasons_held_ns(const plant_throttle_t *throttle, uint32_t field, uint64_t *held_ns) {
  switch (field) {
    case NVML_FI_DEV_PERF_POLICY_POWER:
      *held_ns = (uint64_t)throttle->power_ns;
      return true;
    case NVML_FI_DEV_PERF_POLICY_THERMAL:
      *held_ns = (uint64_t)(throttle->sw_thermal_ns + throttle->hw_thermal_ns);
      return true;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN:
      *held_ns = (uint64_t)throttle->sw_thermal_ns;
      return true;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN:
      *held_ns = (uint64_t)throttle->hw_thermal_ns;
      return true;
    case NVML_FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS:
      *held_ns = (uint64_t)throttle->held_ns;
      return true;
    case NVML_FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS:
      *held_ns = (uint64_t)throttle->below_base_ns;
      return true;
    case NVML_FI_DEV_PERF_POLICY_SYNC_BOOST:
    case NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT:
    case NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION:
    case NVML_FI_DEV_PERF_POLICY_RELIABILITY:
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN:
      *held_ns = 0;
      return true;
    default:
      return false;
  }
}

/* The policies of the deprecated call are the fields from 74 on, with a gap in the numbers. */
static uint32_t field_of(nvmlPerfPolicyType_t policy) {
  switch (policy) {
    case NVML_PERF_POLICY_TOTAL_APP_CLOCKS:
      return NVML_FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS;
    case NVML_PERF_POLICY_TOTAL_BASE_CLOCKS:
      return NVML_FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS;
    default:
      return policy <= NVML_PERF_POLICY_RELIABILITY ? NVML_FI_DEV_PERF_POLICY_POWER + (uint32_t)policy : 0;
  }
}

nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t device, nvmlPerfPolicyType_t policy, nvmlViolationTime_t *time) {
  plant_host_t *host;
  uint32_t gpu;
  plant_throttle_t throttle;
  uint64_t held_ns, now_us;
  nvmlReturn_t status = library_read_begin(device, time, PLANT_CALL_OTHER, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  int error = plant_host_throttle(host, gpu, &throttle);
  if (!error) error = plant_host_now_us(host, &now_us);
  status = library_read_end(error);
  if (status != NVML_SUCCESS) return status;
  if (!reasons_held_ns(&throttle, field_of(policy), &held_ns)) return NVML_ERROR_INVALID_ARGUMENT;
  *time = (nvmlViolationTime_t){.referenceTime = now_us, .violationTime = held_ns};
  return NVML_SUCCESS;
}
