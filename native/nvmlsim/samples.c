/* The driver's buffer of samples: more of them than the sensor publishes, fetched at once. */
#include <errno.h>
#include <stddef.h>

#include "nvmlsim/library.h"

static bool is_utilisation(nvmlSamplingType_t type) {
  return type == NVML_GPU_UTILIZATION_SAMPLES || type == NVML_MEMORY_UTILIZATION_SAMPLES;
}

/* false for a type of which no samples are kept. */
static bool read_sample(const plant_sample_t *sample, nvmlSamplingType_t type, uint32_t memory_mhz,
                        unsigned int *value) {
  switch (type) {
    case NVML_TOTAL_POWER_SAMPLES:
      *value = sample->power_mw;
      return true;
    case NVML_GPU_UTILIZATION_SAMPLES:
      *value = sample->busy_pct;
      return true;
    case NVML_MEMORY_UTILIZATION_SAMPLES:
      *value = sample->memory_pct;
      return true;
    case NVML_PROCESSOR_CLK_SAMPLES:
      *value = sample->clock_mhz;
      return true;
    case NVML_MEMORY_CLK_SAMPLES:
      *value = memory_mhz;
      return true;
    default:
      return false;
  }
}

/* What one call looks at: those after `last_seen_us`. */
static nvmlReturn_t look(nvmlDevice_t device, const void *out, uint64_t last_seen_us, plant_gpu_view_t *view,
                         plant_sample_t samples[PLANT_SAMPLES], uint32_t *count) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_read_begin(device, out, PLANT_CALL_POWER, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  int error = plant_host_view(host, gpu, view);
  if (!error) error = plant_host_samples(host, gpu, last_seen_us, samples, count);
  return library_read_end(error);
}

/* Without a buffer, how many could come; a buffer too small gets the oldest. */
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long last_seen_us,
                                  nvmlValueType_t *value_type, unsigned int *count, nvmlSample_t *samples) {
  plant_gpu_view_t view;
  plant_sample_t found[PLANT_SAMPLES];
  uint32_t there;
  unsigned int value;
  const nvmlReturn_t status = look(device, value_type != NULL ? count : NULL, last_seen_us, &view, found, &there);
  if (status != NVML_SUCCESS) return status;
  if (type >= NVML_SAMPLINGTYPE_COUNT || (samples != NULL && *count == 0)) return NVML_ERROR_INVALID_ARGUMENT;
  if (!read_sample(&(plant_sample_t){0}, type, 0, &value)) return NVML_ERROR_NOT_SUPPORTED;
  if (is_utilisation(type) && view.mig_mode) return NVML_ERROR_NOT_SUPPORTED;
  *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
  if (there == 0) return NVML_ERROR_NOT_FOUND;
  if (samples == NULL || *count > there) *count = there;
  for (uint32_t i = 0; samples != NULL && i < *count; i++) {
    read_sample(&found[i], type, view.memory_clock_mhz, &value);
    samples[i] = (nvmlSample_t){.timeStamp = found[i].time_us, .sampleValue.uiVal = value};
  }
  return NVML_SUCCESS;
}
