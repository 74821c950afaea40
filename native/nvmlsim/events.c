/* Waiting for what the driver tells. A set is a reader's place in the host's row of signals, with what it reads for;
 * who waits looks at the row now and then, and holds no lock in between. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "nvmlsim/library.h"
#include "plant/signal.h"

#define LOOK_PERIOD_NS 5000000l
#define TYPE_BITS      16u
#define NOT_UNDER_MIG  0xffffffffu

#define SUPPORTED                                                                                        \
  (nvmlEventTypePState | nvmlEventTypeXidCriticalError | nvmlEventTypeClock | nvmlEventMigConfigChange | \
   nvmlEventTypeGpuUnavailableError | nvmlEventTypeGpuRecoveryAction)

struct nvmlEventSet_st {
  nvmlEventSet_t next_set;
  uint64_t next; /* the number of the first signal not yet looked at */
  struct {
    uint64_t types;
    uint64_t from[TYPE_BITS]; /* of each type: the first signal since it was registered */
  } gpus[PLANT_GPUS_MAX];
};

static nvmlEventSet_t sets; /* all that exist; under the library's lock */

/* Where the pointer to a set is; NULL for what a caller made up, or freed. */
static nvmlEventSet_t *find(nvmlEventSet_t set) {
  for (nvmlEventSet_t *place = &sets; *place != NULL; place = &(*place)->next_set) {
    if (*place == set) return place;
  }
  return NULL;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
  plant_host_t *host;
  const nvmlReturn_t status = library_host_begin(&host);
  if (status != NVML_SUCCESS) return status;
  if (set == NULL) return library_read_end(-EINVAL);
  nvmlEventSet_t made = calloc(1, sizeof *made);
  int error = made != NULL ? plant_host_signal_count(host, &made->next) : -ENOMEM;
  if (error != 0) {
    free(made);
    return library_read_end(error);
  }
  made->next_set = sets;
  sets = *set = made;
  return library_read_end(0);
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
  plant_host_t *host;
  const nvmlReturn_t status = library_host_begin(&host);
  if (status != NVML_SUCCESS) return status;
  nvmlEventSet_t *place = find(set);
  if (place == NULL) return library_read_end(-EINVAL);
  *place = set->next_set;
  free(set);
  return library_read_end(0);
}

/* Of what may be registered; without MIG nothing about it is ever told. */
static int supported_types(plant_host_t *host, uint32_t gpu, uint64_t *types) {
  plant_mig_t mig;
  const int error = plant_host_mig(host, gpu, &mig);
  *types = error == -ENOTSUP ? SUPPORTED & ~nvmlEventMigConfigChange : SUPPORTED;
  return error == -ENOTSUP ? 0 : error;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types) {
  plant_host_t *host;
  uint32_t gpu;
  uint64_t found;
  nvmlReturn_t status = library_read_begin(device, types, PLANT_CALL_OTHER, &host, &gpu);
  if (status == NVML_SUCCESS) status = library_read_end(supported_types(host, gpu, &found));
  if (status == NVML_SUCCESS) *types = found;
  return status;
}

/* 0 or -errno; all of the types or none. */
static int enter(plant_host_t *host, uint32_t gpu, uint64_t types, nvmlEventSet_t set) {
  uint64_t supported, now;
  int error = supported_types(host, gpu, &supported);
  if (error == 0 && types & ~supported) error = -ENOTSUP;
  if (error == 0) error = plant_host_signal_count(host, &now);
  if (error != 0) return error;
  for (uint32_t bit = 0; bit < TYPE_BITS; bit++) {
    const bool is_new = types >> bit & 1 && !(set->gpus[gpu].types >> bit & 1);
    if (is_new) set->gpus[gpu].from[bit] = now;
  }
  set->gpus[gpu].types |= types;
  return 0;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_read_begin(device, set, PLANT_CALL_OTHER, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  const bool is_known = find(set) != NULL && types != 0 && (types & ~nvmlEventTypeAll) == 0;
  return library_read_end(is_known ? enter(host, gpu, types, set) : -EINVAL);
}

static bool reads_for(nvmlEventSet_t set, const plant_signal_t *signal) {
  if (signal->gpu >= PLANT_GPUS_MAX || !(set->gpus[signal->gpu].types & signal->type)) return false;
  return set->next - 1 >= set->gpus[signal->gpu].from[__builtin_ctzll(signal->type)];
}

/* The next signal of those that are there; TIMEOUT if there is none. */
static nvmlReturn_t look(nvmlEventSet_t set, plant_signal_t *signal) {
  plant_host_t *host;
  const nvmlReturn_t status = library_host_begin(&host);
  if (status != NVML_SUCCESS) return status;
  if (find(set) == NULL) return library_read_end(-EINVAL);
  int error = 0, found = 1;
  while (error == 0 && found) {
    error = plant_host_next_signal(host, &set->next, signal, &found);
    if (error == 0 && found && reads_for(set, signal)) return library_read_end(0);
  }
  return library_read_end(error != 0 ? error : -ETIMEDOUT);
}

static int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *event, unsigned int timeout_ms) {
  plant_signal_t signal;
  const int64_t until_ns = monotonic_ns() + (int64_t)timeout_ms * 1000000;
  nvmlReturn_t status = look(set, &signal);
  if (status != NVML_SUCCESS && status != NVML_ERROR_TIMEOUT) return status;
  if (event == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  for (int64_t left_ns; status == NVML_ERROR_TIMEOUT && (left_ns = until_ns - monotonic_ns()) > 0;) {
    nanosleep(&(struct timespec){.tv_nsec = left_ns < LOOK_PERIOD_NS ? (long)left_ns : LOOK_PERIOD_NS}, NULL);
    status = look(set, &signal);
  }
  if (status != NVML_SUCCESS) return status;
  *event = (nvmlEventData_t){.device = handle_of(signal.gpu, WHOLE_BOARD),
                             .eventType = signal.type,
                             .eventData = signal.data,
                             .gpuInstanceId = NOT_UNDER_MIG,
                             .computeInstanceId = NOT_UNDER_MIG};
  return NVML_SUCCESS;
}

/* The older name fills the older, shorter struct. */
nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_v1_t *event, unsigned int timeout_ms) {
  nvmlEventData_t found;
  const nvmlReturn_t status = nvmlEventSetWait_v2(set, event != NULL ? &found : NULL, timeout_ms);
  if (status == NVML_SUCCESS) *event = (nvmlEventData_v1_t){found.device, found.eventType, found.eventData};
  return status;
}
