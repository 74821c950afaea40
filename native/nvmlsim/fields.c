/* Values asked for by number, several in one call. */
#include "nvmlsim/library.h"
#include "nvmlsim/reasons.h"
#include "plant/shown.h"

/* What one call looks at. */
typedef struct looked {
  plant_gpu_view_t view;
  plant_throttle_t throttle;
  uint64_t now_us;
} looked_t;

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

/* What the sensor publishes bears the time at which it did; the rest is true now. */
static nvmlReturn_t give_power(nvmlFieldValue_t *field, const plant_gpu_view_t *view) {
  switch (field->fieldId) {
    case NVML_FI_DEV_POWER_AVERAGE:
      if (!view->has_average) return NVML_ERROR_NOT_SUPPORTED;
      field->timestamp = (long long)view->sensor_time_us;
      return give(field, view->power_average_mw);
    case NVML_FI_DEV_POWER_INSTANT:
      field->timestamp = (long long)view->sensor_time_us;
      return give(field, view->power_instant_mw);
    case NVML_FI_DEV_POWER_MIN_LIMIT:
      return give(field, view->limit_min_mw);
    case NVML_FI_DEV_POWER_MAX_LIMIT:
      return give(field, view->limit_max_mw);
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
      return give(field, view->limit_default_mw);
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
      return give(field, view->limit_enforced_mw);
    default:
      return give(field, view->limit_requested_mw);
  }
}

/* Power has scopes, of which the simulated boards have the first: the whole GPU. The rest takes no scope. */
static nvmlReturn_t give_field(nvmlFieldValue_t *field, const looked_t *looked) {
  uint64_t held_ns;
  const uint32_t id = field->fieldId;
  const bool is_energy = id == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION || id == NVML_FI_DEV_ENERGY;
  const bool is_power = id >= NVML_FI_DEV_POWER_AVERAGE && id <= NVML_FI_DEV_POWER_REQUESTED_LIMIT && !is_energy;
  if ((is_power || is_energy) && field->scopeId > NVML_POWER_SCOPE_GPU_BASE) return NVML_ERROR_INVALID_ARGUMENT;
  if (field->scopeId != NVML_POWER_SCOPE_GPU) return NVML_ERROR_NOT_SUPPORTED;
  if (is_power) return give_power(field, &looked->view);
  if (is_energy) {
    if (!looked->view.has_counter) return NVML_ERROR_NOT_SUPPORTED;
    field->timestamp = (long long)looked->view.sensor_time_us;
    return give_long(field, looked->view.energy_mj);
  }
  return reasons_held_ns(&looked->throttle, id, &held_ns) ? give_long(field, held_ns) : NVML_ERROR_NOT_SUPPORTED;
}

/* Whether an answer to one of them comes from the sensor. */
static bool is_of_sensor(const nvmlFieldValue_t *values, int count) {
  for (int i = 0; i < count; i++) {
    const uint32_t id = values[i].fieldId;
    const bool is_power = id == NVML_FI_DEV_POWER_AVERAGE || id == NVML_FI_DEV_POWER_INSTANT;
    if (is_power || id == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION || id == NVML_FI_DEV_ENERGY) return true;
  }
  return false;
}

static nvmlReturn_t look(nvmlDevice_t device, const nvmlFieldValue_t *values, int count, looked_t *looked) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_read_begin(device, values, PLANT_CALL_POWER, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  int error = plant_host_view(host, gpu, &looked->view);
  if (!error && is_of_sensor(values, count)) plant_host_show(host, gpu, &looked->view);
  if (!error) error = plant_host_throttle(host, gpu, &looked->throttle);
  if (!error) error = plant_host_now_us(host, &looked->now_us);
  return library_read_end(error);
}

/* SUCCESS says that the answers are in; how each went is in its own nvmlReturn. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
  looked_t looked;
  const nvmlReturn_t status = look(device, values, count, &looked);
  if (status != NVML_SUCCESS) return status;
  if (count < 1) return NVML_ERROR_INVALID_ARGUMENT;
  for (int i = 0; i < count; i++) {
    values[i].timestamp = (long long)looked.now_us;
    values[i].latencyUsec = 0;
    values[i].nvmlReturn = give_field(&values[i], &looked);
  }
  return NVML_SUCCESS;
}
