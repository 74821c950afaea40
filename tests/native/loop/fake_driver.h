/* A driver in memory: four GPUs whose sensors publish every 20 ms, and setters that take their time. It stands in for
 * the simulated one where sanitizers must see all of what runs. */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include "clock.h"
#include "nvml.h"

#define FAKE_GPUS 4u

typedef struct fake_gpu {
  unsigned int limit_mw; /* atomic */
} fake_gpu_t;

static fake_gpu_t fake_gpus[FAKE_GPUS];
static int64_t fake_set_ns = 2000000, fake_read_ns; /* what a setter and a getter take */
static uint64_t fake_highest_sum_mw;                /* of limits in force, ever */

static void fake_pass(int64_t ns) {
  const struct timespec span = {.tv_nsec = ns};
  if (ns > 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

static fake_gpu_t *fake_gpu(nvmlDevice_t device) {
  return (fake_gpu_t *)device;
}

static nvmlReturn_t fake_fields(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
  const uint64_t number = (uint64_t)clock_now_ns() / 20000000;
  (void)device;
  fake_pass(fake_read_ns);
  for (int i = 0; i < count; i++) {
    const int is_power = values[i].fieldId == NVML_FI_DEV_POWER_INSTANT;
    const int is_energy = values[i].fieldId == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION;
    values[i].nvmlReturn = is_power || is_energy ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    if (is_power) values[i].value.uiVal = 300000 + (unsigned int)(number % 1000);
    if (is_energy) values[i].value.ullVal = number * 6000;
  }
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_utilisation(nvmlDevice_t device, nvmlUtilization_t *busy) {
  (void)device;
  *busy = (nvmlUtilization_t){.gpu = 90, .memory = 20};
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_limit_get(nvmlDevice_t device, unsigned int *mw) {
  *mw = __atomic_load_n(&fake_gpu(device)->limit_mw, __ATOMIC_SEQ_CST);
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_limit_set(nvmlDevice_t device, unsigned int mw) {
  uint64_t sum_mw = 0, highest_mw = __atomic_load_n(&fake_highest_sum_mw, __ATOMIC_RELAXED);
  fake_pass(fake_set_ns);
  __atomic_store_n(&fake_gpu(device)->limit_mw, mw, __ATOMIC_SEQ_CST);
  for (unsigned int i = 0; i < FAKE_GPUS; i++) sum_mw += __atomic_load_n(&fake_gpus[i].limit_mw, __ATOMIC_SEQ_CST);
  if (sum_mw > highest_mw) __atomic_store_n(&fake_highest_sum_mw, sum_mw, __ATOMIC_RELAXED);
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_power(nvmlDevice_t device, unsigned int *mw) {
  (void)device;
  *mw = 300000;
  return NVML_SUCCESS;
}

static void fake_open(nvml_t *nvml, nvmlDevice_t handles[FAKE_GPUS], unsigned int limit_mw) {
  *nvml = (nvml_t){.field_values = fake_fields,
                   .power_usage = fake_power,
                   .utilisation = fake_utilisation,
                   .limit_get = fake_limit_get,
                   .limit_set = fake_limit_set};
  for (unsigned int i = 0; i < FAKE_GPUS; i++) {
    fake_gpus[i].limit_mw = limit_mw;
    handles[i] = (nvmlDevice_t)&fake_gpus[i];
  }
}

#endif
