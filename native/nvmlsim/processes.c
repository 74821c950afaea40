/* Processes on a device. Their use is not told apart in the model: each of n processes has an n-th of the whole. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "nvmlsim/library.h"

#define NOT_UNDER_MIG 0xffffffffu

static bool lives(uint32_t pid) {
  return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

/* A real driver drops a process's context with the process; the plant only remembers who came. */
static nvmlReturn_t look_at_living(nvmlDevice_t device, const void *out, plant_gpu_view_t *view) {
  const nvmlReturn_t status = library_look(device, out, view);
  if (status != NVML_SUCCESS) return status;
  uint32_t living = 0;
  for (uint32_t i = 0; i < view->pid_count && i < PLANT_PIDS_MAX; i++)
    if (lives(view->pids[i])) view->pids[living++] = view->pids[i];
  view->pid_count = living;
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
  plant_gpu_view_t view;
  nvmlReturn_t status = look_at_living(device, count, &view);
  if (status == NVML_SUCCESS) status = make_room(view.pid_count, count, infos);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < view.pid_count; i++)
    infos[i] = (nvmlProcessInfo_v1_t){.pid = view.pids[i], .usedGpuMemory = view.memory_used_b / view.pid_count};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *infos) {
  plant_gpu_view_t view;
  nvmlReturn_t status = look_at_living(device, count, &view);
  if (status == NVML_SUCCESS) status = make_room(view.pid_count, count, infos);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < view.pid_count; i++)
    infos[i] = (nvmlProcessInfo_v2_t){.pid = view.pids[i],
                                      .usedGpuMemory = view.memory_used_b / view.pid_count,
                                      .gpuInstanceId = NOT_UNDER_MIG,
                                      .computeInstanceId = NOT_UNDER_MIG};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *infos) {
  return nvmlDeviceGetComputeRunningProcesses_v3(device, count, infos);
}

/* No simulated load draws pictures. */
static nvmlReturn_t no_processes(nvmlDevice_t device, unsigned int *count) {
  const nvmlReturn_t status = library_check(device, count);
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

/* One record for each process that did something since `last_seen_us`; without a buffer, how many could come. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
                                             unsigned int *count, unsigned long long last_seen_us) {
  plant_gpu_view_t view;
  nvmlReturn_t status = look_at_living(device, count, &view);
  if (status != NVML_SUCCESS) return status;
  const bool idle = view.gpu_utilisation_pct == 0 && view.memory_utilisation_pct == 0;
  if (view.pid_count == 0 || idle || view.sensor_time_us <= last_seen_us) return NVML_ERROR_NOT_FOUND;
  if (samples == NULL) *count = 0;
  status = make_room(view.pid_count, count, samples);
  if (status != NVML_SUCCESS) return status;
  for (uint32_t i = 0; i < view.pid_count; i++)
    samples[i] = (nvmlProcessUtilizationSample_t){.pid = view.pids[i],
                                                  .timeStamp = view.sensor_time_us,
                                                  .smUtil = view.gpu_utilisation_pct / view.pid_count,
                                                  .memUtil = view.memory_utilisation_pct / view.pid_count};
  return NVML_SUCCESS;
}
