/* Processes on a device. Their use is not told apart in the model: each of n processes has an n-th of the whole. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "nvmlsim/library.h"

#define NOT_UNDER_MIG 0xffffffffu

/* Those that live, of the board or of one instance. */
typedef struct living {
  uint32_t count;
  uint32_t pids[PLANT_PIDS_MAX], instances[PLANT_PIDS_MAX];
  uint64_t memory_b; /* of each */
  plant_gpu_view_t view;
  bool is_divided;
} living_t;

bool library_lives(uint32_t pid) {
  return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

/* A real driver drops a process's context with the process; the plant only remembers who came. */
static nvmlReturn_t look_at_living(nvmlDevice_t device, const void *out, living_t *living) {
  handle_t handle;
  plant_mig_t mig;
  const nvmlReturn_t status = library_look_at_part(device, out, PLANT_CALL_OTHER, &living->view, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  living->count = 0;
  living->is_divided = mig.mode != 0;
  uint32_t of_all = 0;
  for (uint32_t i = 0; i < living->view.pid_count && i < PLANT_PIDS_MAX; i++) {
    if (!library_lives(living->view.pids[i])) continue;
    const uint32_t instance = handle_instance_of_process(&mig, i);
    of_all++;
    if (handle.instance != WHOLE_BOARD && handle.instance != instance) continue;
    living->instances[living->count] = instance;
    living->pids[living->count++] = living->view.pids[i];
  }
  living->memory_b = of_all ? living->view.memory_used_b / of_all : 0;
  if (mig.instances && living->memory_b > mig.memory_b) living->memory_b = mig.memory_b;
  return NVML_SUCCESS;
}

/* Answer a request for `needed` records into room for `*count`; SUCCESS: they may be written. */
static nvmlReturn_t make_room(unsigned int needed, unsigned int *count, const void *records) {
  const unsigned int room = *count;
  *count = needed;
  if (needed > room) return NVML_ERROR_INSUFFICIENT_SIZE;
  return needed > 0 && records == NULL ? NVML_ERROR_INVALID_ARGUMENT : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int *count,
                                                  nvmlProcessInfo_v1_t *infos) {
  living_t living;
  nvmlReturn_t status = look_at_living(device, count, &living);
  if (status == NVML_SUCCESS) status = make_room(living.count, count, infos);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < living.count; i++)
    infos[i] = (nvmlProcessInfo_v1_t){.pid = living.pids[i], .usedGpuMemory = living.memory_b};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *infos) {
  living_t living;
  nvmlReturn_t status = look_at_living(device, count, &living);
  if (status == NVML_SUCCESS) status = make_room(living.count, count, infos);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < living.count; i++) {
    const bool is_of_instance = living.instances[i] != WHOLE_BOARD;
    infos[i] = (nvmlProcessInfo_v2_t){
        .pid = living.pids[i],
        .usedGpuMemory = living.memory_b,
        .gpuInstanceId = is_of_instance ? FIRST_GPU_INSTANCE + living.instances[i] : NOT_UNDER_MIG,
        .computeInstanceId = is_of_instance ? 0 : NOT_UNDER_MIG};
  }
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *infos) {
  return nvmlDeviceGetComputeRunningProcesses_v3(device, count, infos);
}

/* No simulated load draws pictures. */
static nvmlReturn_t no_processes(nvmlDevice_t device, unsigned int *count) {
  living_t living;
  const nvmlReturn_t status = look_at_living(device, count, &living);
  if (status == NVML_SUCCESS) *count = 0;
  return status;
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned int *count,
                                                   nvmlProcessInfo_v1_t *infos) {
  (void)infos;
  return no_processes(device, count);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                      nvmlProcessInfo_v2_t *infos) {
  (void)infos;
  return no_processes(device, count);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                      nvmlProcessInfo_v2_t *infos) {
  (void)infos;
  return no_processes(device, count);
}

/* Those that did something since `last_seen_us`; what each did is an equal share. None under MIG, where use is not
 * told.
 */
static nvmlReturn_t look_at_busy(nvmlDevice_t device, const void *out, uint64_t last_seen_us, living_t *busy) {
  const nvmlReturn_t status = look_at_living(device, out, busy);
  if (status != NVML_SUCCESS) return status;
  if (busy->is_divided) return NVML_ERROR_NOT_SUPPORTED;
  const plant_gpu_view_t *view = &busy->view;
  const bool is_idle = view->gpu_utilisation_pct == 0 && view->memory_utilisation_pct == 0;
  if (busy->count == 0 || is_idle || view->sensor_time_us <= last_seen_us) return NVML_ERROR_NOT_FOUND;
  return NVML_SUCCESS;
}

/* One record for each process; without a buffer, how many could come. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
                                             unsigned int *count, unsigned long long last_seen_us) {
  living_t busy;
  nvmlReturn_t status = look_at_busy(device, count, last_seen_us, &busy);
  if (status != NVML_SUCCESS) return status;
  if (samples == NULL) *count = 0;
  status = make_room(busy.count, count, samples);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < busy.count; i++)
    samples[i] = (nvmlProcessUtilizationSample_t){.pid = busy.pids[i],
                                                  .timeStamp = busy.view.sensor_time_us,
                                                  .smUtil = busy.view.gpu_utilisation_pct / busy.count,
                                                  .memUtil = busy.view.memory_utilisation_pct / busy.count};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device, nvmlProcessesUtilizationInfo_v1_t *info) {
  living_t busy;
  nvmlReturn_t status = library_check(device, info);
  if (status != NVML_SUCCESS) return status;
  if (info->version != NVML_STRUCT_VERSION(nvmlProcessesUtilizationInfo_v1_t, 1))
    return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  status = look_at_busy(device, info, info->lastSeenTimeStamp, &busy);
  if (status != NVML_SUCCESS) return status;
  if (info->procUtilArray == NULL) info->processSamplesCount = 0;
  status = make_room(busy.count, &info->processSamplesCount, info->procUtilArray);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < busy.count; i++)
    info->procUtilArray[i] =
        (nvmlProcessUtilizationInfo_v1_t){.timeStamp = busy.view.sensor_time_us,
                                          .pid = busy.pids[i],
                                          .smUtil = busy.view.gpu_utilisation_pct / busy.count,
                                          .memUtil = busy.view.memory_utilisation_pct / busy.count};
  return NVML_SUCCESS;
}
