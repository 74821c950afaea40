/* Values asked for by number, several in one call. */
#include <time.h>

#include "nvmlsim/library.h"

static long long wall_clock_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static nvmlReturn_t give(nvmlFieldValue_t *field, uint32_t number) {
  field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
  field->value.uiVal = number;
  return NVML_SUCCESS;
}

static nvmlReturn_t give_long(nvmlFieldValue_t *field, uint64_t number) {
  field->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
  field->value.ullVal = number;
  return NVML_SUCCESS;
}

/* What the sensor publishes bears the time at which it did; limits are true now. */
static nvmlReturn_t give_sensed(nvmlFieldValue_t *field, const plant_gpu_view_t *view) {
  field->timestamp = (long long)view->sensor_time_us;
  switch (field->fieldId) {
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
    case NVML_FI_DEV_ENERGY:
      return give_long(field, view->energy_mj);
    case NVML_FI_DEV_POWER_INSTANT:
      return give(field, view->power_instant_mw);
    default: /* among them POWER_AVERAGE: an A100 has none, and the plant keeps none for other boards */
      return NVML_ERROR_NOT_SUPPORTED;
  }
}

static nvmlReturn_t give_field(nvmlFieldValue_t *field, const plant_gpu_view_t *view) {
  if (field->scopeId != NVML_POWER_SCOPE_GPU) return NVML_ERROR_NOT_SUPPORTED;
  switch (field->fieldId) {
    case NVML_FI_DEV_POWER_MIN_LIMIT:
      return give(field, view->limit_min_mw);
    case NVML_FI_DEV_POWER_MAX_LIMIT:
      return give(field, view->limit_max_mw);
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
      return give(field, view->limit_default_mw);
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
      return give(field, view->limit_enforced_mw);
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
      return give(field, view->limit_requested_mw);
    default:
      return give_sensed(field, view);
  }
}

/* SUCCESS says that the answers are in; how each went is in its own nvmlReturn. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_read(device, values, PLANT_CALL_POWER, &view);
  if (status != NVML_SUCCESS) return status;
  if (count < 1) return NVML_ERROR_INVALID_ARGUMENT;
  const long long now_us = wall_clock_us();
  for (int i = 0; i < count; i++) {
    values[i].timestamp = now_us;
    values[i].latencyUsec = 0;
    values[i].nvmlReturn = give_field(&values[i], &view);
  }
  return NVML_SUCCESS;
}
