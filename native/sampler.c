#include "sampler.h"

#include <string.h>
#include <time.h>

#define QUIET_READINGS 3u

static const int64_t SECOND_NS = 1000000000;
static const int64_t CLOCKS_PERIOD_NS = 250000000;  /* event reasons and clocks: a capped second shows in four looks */
static const int64_t SLOW_PERIOD_NS = 1000000000;   /* what changes slowly, and limits: a foreign writer shows in one */
static const int64_t PACKAGE_PERIOD_NS = 100000000; /* of a counter that the hardware updates each millisecond */

int64_t sampler_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static uint16_t status_of(nvmlReturn_t code) {
  switch (code) {
    case NVML_SUCCESS:
      return RING_OK;
    case NVML_ERROR_NOT_SUPPORTED:
    case NVML_ERROR_FUNCTION_NOT_FOUND:
      return RING_NOT_SUPPORTED;
    case NVML_ERROR_NO_PERMISSION:
      return RING_NO_PERMISSION;
    case NVML_ERROR_GPU_IS_LOST:
      return RING_GPU_LOST;
    case NVML_ERROR_TIMEOUT:
      return RING_TIMED_OUT;
    default:
      return RING_FAILED;
  }
}

static void publish(sampler_t *sampler, uint32_t i, uint16_t channel, nvmlReturn_t code, int64_t value,
                    int64_t now_ns) {
  ring_record_t record = {
      .time_ns = sampler->virtual_time ? now_ns : sampler_clock_ns(),
      .value = code == NVML_SUCCESS ? value : 0,
      .device = (uint16_t)i,
      .channel = channel,
      .status = status_of(code),
      .age = RING_AGE_UNKNOWN,
  };
  ring_push(sampler->ring, &record);
  sampler->ring->header->stats.reads++;
  if (code != NVML_SUCCESS && record.status != RING_NOT_SUPPORTED) sampler->ring->header->stats.read_errors++;
}

/* Power and energy, in one call where the driver has it. */
static void read_power(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  const nvml_t *nvml = sampler->nvml;
  nvmlDevice_t handle = sampler->limits->devices[i].handle;
  nvmlFieldValue_t fields[2];
  unsigned int power_mw = 0;
  unsigned long long energy_mj = 0;
  if (!sampler->due[i].no_fields && nvml->field_values) {
    memset(fields, 0, sizeof fields);
    fields[0].fieldId = NVML_FI_DEV_POWER_INSTANT;
    fields[1].fieldId = NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION;
    nvmlReturn_t code = nvml->field_values(handle, 2, fields);
    if (code == NVML_SUCCESS && fields[0].nvmlReturn != NVML_ERROR_NOT_SUPPORTED) {
      publish(sampler, i, RING_POWER_INSTANT_MW, fields[0].nvmlReturn, fields[0].value.uiVal, now_ns);
      publish(sampler, i, RING_ENERGY_MJ, fields[1].nvmlReturn, (int64_t)fields[1].value.ullVal, now_ns);
      return;
    }
    if (code == NVML_SUCCESS || code == NVML_ERROR_NOT_SUPPORTED) sampler->due[i].no_fields = 1;
  }
  nvmlReturn_t code = nvml->power_usage(handle, &power_mw);
  publish(sampler, i, RING_POWER_INSTANT_MW, code, power_mw, now_ns);
  if (!nvml->energy) return;
  code = nvml->energy(handle, &energy_mj);
  publish(sampler, i, RING_ENERGY_MJ, code, (int64_t)energy_mj, now_ns);
}

/* What can't be told is not quiet. Work that comes back ends the slow pace at once. */
static void note_utilisation(due_t *due, nvmlReturn_t code, unsigned int percent, int64_t now_ns) {
  if (code == NVML_SUCCESS && percent == 0) {
    due->quiet++;
    return;
  }
  if (due->quiet >= QUIET_READINGS) due->fast_ns = due->slow_ns = now_ns;
  due->quiet = 0;
}

static void read_clocks(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  const nvml_t *nvml = sampler->nvml;
  nvmlDevice_t handle = sampler->limits->devices[i].handle;
  nvmlUtilization_t busy = {0};
  unsigned long long reasons = 0;
  unsigned int clock_mhz = 0;
  if (nvml->utilisation) {
    nvmlReturn_t code = nvml->utilisation(handle, &busy);
    publish(sampler, i, RING_GPU_UTILISATION_PCT, code, busy.gpu, now_ns);
    publish(sampler, i, RING_MEMORY_UTILISATION_PCT, code, busy.memory, now_ns);
    note_utilisation(&sampler->due[i], code, busy.gpu, now_ns);
  }
  if (nvml->event_reasons) {
    nvmlReturn_t code = nvml->event_reasons(handle, &reasons);
    publish(sampler, i, RING_EVENT_REASONS, code, (int64_t)reasons, now_ns);
  }
  if (nvml->clock) {
    nvmlReturn_t code = nvml->clock(handle, NVML_CLOCK_SM, &clock_mhz);
    publish(sampler, i, RING_SM_CLOCK_MHZ, code, clock_mhz, now_ns);
  }
}

static void read_slow(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  const nvml_t *nvml = sampler->nvml;
  nvmlDevice_t handle = sampler->limits->devices[i].handle;
  unsigned int celsius = 0, processes = 0;
  if (nvml->temperature) {
    nvmlReturn_t code = nvml->temperature(handle, NVML_TEMPERATURE_GPU, &celsius);
    publish(sampler, i, RING_TEMPERATURE_C, code, celsius, now_ns);
  }
  if (nvml->compute_processes) {
    nvmlReturn_t code = nvml->compute_processes(handle, &processes, NULL); /* asks how many there are */
    if (code == NVML_ERROR_INSUFFICIENT_SIZE) code = NVML_SUCCESS;
    publish(sampler, i, RING_COMPUTE_PROCESSES, code, processes, now_ns);
  }
  limits_read(sampler->limits, i, now_ns);
}

static void read_gpu(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  due_t *due = &sampler->due[i];
  if (now_ns >= due->clocks_ns) {
    read_clocks(sampler, i, now_ns); /* first: it tells the pace of the others */
    due->clocks_ns = now_ns + (due->quiet >= QUIET_READINGS ? SLOW_PERIOD_NS : CLOCKS_PERIOD_NS);
  }
  if (now_ns >= due->fast_ns) {
    read_power(sampler, i, now_ns);
    /* A wake-up that is a little early still counts. */
    due->fast_ns =
        now_ns + (due->quiet >= QUIET_READINGS ? SLOW_PERIOD_NS : sampler->period_ns) - sampler->period_ns / 8;
  }
  if (now_ns >= due->slow_ns) {
    read_slow(sampler, i, now_ns);
    due->slow_ns = now_ns + SLOW_PERIOD_NS;
  }
}

static void read_package(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  due_t *due = &sampler->due[i];
  limit_t *limit = &sampler->limits->devices[i];
  if (now_ns >= due->fast_ns) {
    due->fast_ns = now_ns + PACKAGE_PERIOD_NS - sampler->period_ns / 8;
    uint64_t energy_mj = 0, mean_mw = 0;
    int error = zone_read_energy(limit->zone, now_ns, &energy_mj, &mean_mw);
    nvmlReturn_t code = limits_code(error);
    publish(sampler, i, RING_ENERGY_MJ, code, (int64_t)energy_mj, now_ns);
    if (error || mean_mw) publish(sampler, i, RING_POWER_INSTANT_MW, code, (int64_t)mean_mw, now_ns);
  }
  if (now_ns >= due->slow_ns) {
    due->slow_ns = now_ns + SLOW_PERIOD_NS;
    limits_read(sampler->limits, i, now_ns);
  }
}

void sampler_read(sampler_t *sampler, int64_t now_ns) {
  const int64_t begun_ns = sampler_clock_ns();
  for (uint32_t i = 0; i < sampler->gpus; i++) read_gpu(sampler, i, now_ns);
  sampler->ring->header->stats.read_ns += (uint64_t)(sampler_clock_ns() - begun_ns);
  for (uint32_t i = sampler->gpus; i < sampler->limits->count; i++) read_package(sampler, i, now_ns);
}

void sampler_publish_limits(sampler_t *sampler, int64_t now_ns) {
  for (uint32_t i = 0; i < sampler->limits->count; i++) {
    limit_t *limit = &sampler->limits->devices[i];
    if (!limit->fresh) continue;
    limit->fresh = 0;
    publish(sampler, i, RING_LIMIT_REQUESTED_MW, limit->requested_code, limit->requested_mw, now_ns);
    if (!limit->zone) publish(sampler, i, RING_LIMIT_ENFORCED_MW, limit->enforced_code, limit->enforced_mw, now_ns);
  }
}
