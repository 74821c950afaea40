/* NVML as eagent uses it: a table of functions found at run time.
 *
 * Every function is resolved by name, because drivers differ in what they export. Those in NVML_REQUIRED must be there;
 * the others are NULL where the driver lacks them, and the caller lives without.
 */
#ifndef EAGENT_NVML_H
#define EAGENT_NVML_H

#include <stddef.h>
#include <stdint.h>

#include "nvml_abi.h"

/* X(field of the table, exported name) */
#define NVML_REQUIRED(X)                                       \
  X(init, nvmlInit_v2)                                         \
  X(shutdown, nvmlShutdown)                                    \
  X(device_count, nvmlDeviceGetCount_v2)                       \
  X(device_by_index, nvmlDeviceGetHandleByIndex_v2)            \
  X(device_uuid, nvmlDeviceGetUUID)                            \
  X(device_name, nvmlDeviceGetName)                            \
  X(device_pci, nvmlDeviceGetPciInfo_v3)                       \
  X(power_usage, nvmlDeviceGetPowerUsage)                      \
  X(limit_get, nvmlDeviceGetPowerManagementLimit)              \
  X(limit_range, nvmlDeviceGetPowerManagementLimitConstraints) \
  X(limit_default, nvmlDeviceGetPowerManagementDefaultLimit)   \
  X(limit_set, nvmlDeviceSetPowerManagementLimit)

#define NVML_OPTIONAL(X)                                        \
  X(init_with, nvmlInitWithFlags)                               \
  X(device_by_pci, nvmlDeviceGetHandleByPciBusId_v2)            \
  X(persistence, nvmlDeviceGetPersistenceMode)                  \
  X(persistence_set, nvmlDeviceSetPersistenceMode)              \
  X(architecture, nvmlDeviceGetArchitecture)                    \
  X(limit_enforced, nvmlDeviceGetEnforcedPowerLimit)            \
  X(energy, nvmlDeviceGetTotalEnergyConsumption)                \
  X(field_values, nvmlDeviceGetFieldValues)                     \
  X(clock, nvmlDeviceGetClockInfo)                              \
  X(clock_lock, nvmlDeviceSetGpuLockedClocks)                   \
  X(clock_reset, nvmlDeviceResetGpuLockedClocks)                \
  X(memory_clocks, nvmlDeviceGetSupportedMemoryClocks)          \
  X(graphics_clocks, nvmlDeviceGetSupportedGraphicsClocks)      \
  X(compute_processes, nvmlDeviceGetComputeRunningProcesses_v3) \
  X(utilisation, nvmlDeviceGetUtilizationRates)                 \
  X(temperature, nvmlDeviceGetTemperature)                      \
  X(memory, nvmlDeviceGetMemoryInfo)                            \
  X(samples, nvmlDeviceGetSamples)                              \
  X(event_reasons, nvmlDeviceGetCurrentClocksEventReasons)

typedef struct nvml {
  void *library;
  const char *(*error_string)(nvmlReturn_t);
  const char *(*simulated_host)(void); /* only the simulated library has it */
#define NVML_FIELD(field, name) __typeof__(name) *field;
  NVML_REQUIRED(NVML_FIELD)
  NVML_OPTIONAL(NVML_FIELD)
#undef NVML_FIELD
} nvml_t;

/* Load the library, resolve the names and initialise it, with these flags if it knows any. Returns 0, or -1 with one
 * line for a person in `problem`. */
int nvml_open(nvml_t *nvml, const char *library, unsigned int flags, char *problem, size_t room);
void nvml_close(nvml_t *nvml);

/* The device at an address if it is that one, without a look at any other; NVML_ERROR_NOT_FOUND if it is not. */
nvmlReturn_t nvml_at(const nvml_t *nvml, const char *bus_id, const char *uuid, nvmlDevice_t *device);

/* The graphics clocks, in MHz, that a device can be locked to at its greatest memory clock, as the driver lists them.
 * Returns how many are in `out`; 0 where locks are not to be had. */
uint32_t nvml_clocks(const nvml_t *nvml, nvmlDevice_t device, unsigned int *out, unsigned int room);

/* No answer of a driver: the handle was given up, and nothing is asked. */
#define NVML_GIVEN_UP ((nvmlReturn_t)998)

#define NVML_CLOCKS_MAX 512u

/* What the driver says of a device. Numbers that it does not tell are 0. */
typedef struct nvml_about {
  const char *asked_for; /* what was asked for last of what must be told */
  char uuid[96], name[96];
  nvmlPciInfo_t pci;
  unsigned int architecture, least_mw, most_mw, default_mw, limit_mw;
  unsigned int clocks_mhz[NVML_CLOCKS_MAX]; /* as of nvml_clocks */
  uint32_t clocks;
} nvml_about_t;

/* All at once. Returns NVML_SUCCESS, or what the driver answered to `asked_for`. */
nvmlReturn_t nvml_describe(const nvml_t *nvml, nvmlDevice_t device, nvml_about_t *about);

/* The driver's own text for a code. */
const char *nvml_text(const nvml_t *nvml, nvmlReturn_t code);

#endif
