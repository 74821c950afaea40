/* A driver in memory: four GPUs whose sensors publish every 20 ms, and setters that take their time. It can be loaded
 * anew, which makes every handle void until it is opened again. It stands in for the simulated one where sanitizers
 * must see all of what runs. */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include <stdio.h>

#include "clock.h"
#include "nvml.h"

#define FAKE_GPUS 4u

#define FAKE_LIMIT_MW 200000u /* after a reload */

typedef struct fake_gpu {
  unsigned int limit_mw; /* atomic */
} fake_gpu_t;

static fake_gpu_t fake_gpus[FAKE_GPUS];
static uint32_t fake_loads, fake_opened_at; /* atomic: how often the driver was loaded, and at which it was opened */
static uint32_t fake_calls, fake_opens;     /* atomic: those under way, and how often it was opened */
static uint32_t fake_closed;                /* atomic: between a shutdown's begin and the end of an opening */
static uint32_t fake_misuses;               /* atomic: calls meanwhile, or with no handle */
static int64_t fake_set_ns = 2000000, fake_read_ns; /* what a setter and a getter take */
static uint64_t fake_highest_sum_mw;                /* of limits in force, ever */

static void fake_pass(int64_t ns) {
  const struct timespec span = {.tv_nsec = ns};
  if (ns > 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

/* A handle is the number of the load that it is of, and of its GPU. */
static nvmlDevice_t fake_handle(uint32_t load, unsigned int i) {
  return (nvmlDevice_t)(uintptr_t)((uint64_t)load << 8 | (i + 1));
}

static fake_gpu_t *fake_gpu(nvmlDevice_t device) {
  return &fake_gpus[((uintptr_t)device & 255) - 1];
}

static nvmlReturn_t fake_begin(nvmlDevice_t device) {
  const uint32_t load = __atomic_load_n(&fake_opened_at, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&fake_calls, 1, __ATOMIC_SEQ_CST);
  if (device == NULL || __atomic_load_n(&fake_closed, __ATOMIC_SEQ_CST))
    __atomic_fetch_add(&fake_misuses, 1, __ATOMIC_SEQ_CST);
  if (load != __atomic_load_n(&fake_loads, __ATOMIC_SEQ_CST)) return NVML_ERROR_GPU_IS_LOST;
  return (uint32_t)((uintptr_t)device >> 8) == load ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t fake_end(nvmlReturn_t code) {
  __atomic_fetch_sub(&fake_calls, 1, __ATOMIC_SEQ_CST);
  return code;
}

static nvmlReturn_t fake_init(void) {
  fake_pass(1000000);
  __atomic_store_n(&fake_opened_at, __atomic_load_n(&fake_loads, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&fake_opens, 1, __ATOMIC_SEQ_CST);
  __atomic_store_n(&fake_closed, 0, __ATOMIC_SEQ_CST);
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_shutdown(void) {
  __atomic_store_n(&fake_closed, 1, __ATOMIC_SEQ_CST);
  fake_pass(1000000); /* time enough for whoever should not call */
  if (__atomic_load_n(&fake_calls, __ATOMIC_SEQ_CST)) __atomic_fetch_add(&fake_misuses, 1, __ATOMIC_SEQ_CST);
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_count(unsigned int *count) {
  *count = FAKE_GPUS;
  return NVML_SUCCESS;
}

/* In the reverse order each time: an index says nothing of which GPU it is. */
static nvmlReturn_t fake_by_index(unsigned int k, nvmlDevice_t *device) {
  const uint32_t load = __atomic_load_n(&fake_opened_at, __ATOMIC_SEQ_CST);
  *device = fake_handle(load, load % 2 ? FAKE_GPUS - 1 - k : k);
  return NVML_SUCCESS;
}

static nvmlReturn_t fake_uuid(nvmlDevice_t device, char *uuid, unsigned int room) {
  snprintf(uuid, room, "GPU-%u", (unsigned int)((uintptr_t)device & 255));
  return NVML_SUCCESS;
}

/* Settings are forgotten, the counter is not: the handles tell. */
static void fake_reload(void) {
  __atomic_fetch_add(&fake_loads, 1, __ATOMIC_SEQ_CST);
  for (unsigned int i = 0; i < FAKE_GPUS; i++)
    __atomic_store_n(&fake_gpus[i].limit_mw, FAKE_LIMIT_MW, __ATOMIC_SEQ_CST);
}

static nvmlReturn_t fake_fields(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
  const uint64_t number = (uint64_t)clock_now_ns() / 20000000;
  const nvmlReturn_t code = fake_begin(device);
  if (code != NVML_SUCCESS) return fake_end(code);
  fake_pass(fake_read_ns);
  for (int i = 0; i < count; i++) {
    const int is_power = values[i].fieldId == NVML_FI_DEV_POWER_INSTANT;
    const int is_energy = values[i].fieldId == NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION;
    values[i].nvmlReturn = is_power || is_energy ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    if (is_power) values[i].value.uiVal = 300000 + (unsigned int)(number % 1000);
    if (is_energy) values[i].value.ullVal = number * 6000;
  }
  return fake_end(NVML_SUCCESS);
}

static nvmlReturn_t fake_utilisation(nvmlDevice_t device, nvmlUtilization_t *busy) {
  const nvmlReturn_t code = fake_begin(device);
  *busy = (nvmlUtilization_t){.gpu = 90, .memory = 20};
  return fake_end(code);
}

static nvmlReturn_t fake_limit_get(nvmlDevice_t device, unsigned int *mw) {
  const nvmlReturn_t code = fake_begin(device);
  if (code == NVML_SUCCESS) *mw = __atomic_load_n(&fake_gpu(device)->limit_mw, __ATOMIC_SEQ_CST);
  return fake_end(code);
}

static nvmlReturn_t fake_limit_set(nvmlDevice_t device, unsigned int mw) {
  uint64_t sum_mw = 0, highest_mw = __atomic_load_n(&fake_highest_sum_mw, __ATOMIC_RELAXED);
  const nvmlReturn_t code = fake_begin(device);
  if (code != NVML_SUCCESS) return fake_end(code);
  fake_pass(fake_set_ns);
  __atomic_store_n(&fake_gpu(device)->limit_mw, mw, __ATOMIC_SEQ_CST);
  for (unsigned int i = 0; i < FAKE_GPUS; i++) sum_mw += __atomic_load_n(&fake_gpus[i].limit_mw, __ATOMIC_SEQ_CST);
  if (sum_mw > highest_mw) __atomic_store_n(&fake_highest_sum_mw, sum_mw, __ATOMIC_RELAXED);
  return fake_end(NVML_SUCCESS);
}

static nvmlReturn_t fake_power(nvmlDevice_t device, unsigned int *mw) {
  const nvmlReturn_t code = fake_begin(device);
  *mw = 300000;
  return fake_end(code);
}

static void fake_open(nvml_t *nvml, nvmlDevice_t handles[FAKE_GPUS], unsigned int limit_mw) {
  *nvml = (nvml_t){.init = fake_init,
                   .shutdown = fake_shutdown,
                   .device_count = fake_count,
                   .device_by_index = fake_by_index,
                   .device_uuid = fake_uuid,
                   .field_values = fake_fields,
                   .power_usage = fake_power,
                   .utilisation = fake_utilisation,
                   .limit_get = fake_limit_get,
                   .limit_set = fake_limit_set};
  for (unsigned int i = 0; i < FAKE_GPUS; i++) {
    fake_gpus[i].limit_mw = limit_mw;
    handles[i] = fake_handle(0, i);
  }
}

#endif
