/* Boards divided into MIG instances. Power, energy, limits and clocks exist for the board alone, and every call that
 * does not say otherwise is refused for an instance. */
#include <errno.h>
#include <stddef.h>

#include "nvmlsim/library.h"

#define A100_SMS_PER_SLICE 14u
#define H100_SMS_PER_SLICE 16u

static nvmlReturn_t look(nvmlDevice_t device, const void *out, handle_t *handle, plant_mig_t *mig) {
  plant_gpu_view_t view;
  return library_look_at_part(device, out, PLANT_CALL_OTHER, &view, handle, mig);
}

static nvmlReturn_t look_at_board(nvmlDevice_t device, const void *out, handle_t *handle, plant_mig_t *mig) {
  const nvmlReturn_t status = look(device, out, handle, mig);
  return status == NVML_SUCCESS && handle->instance != WHOLE_BOARD ? NVML_ERROR_INVALID_ARGUMENT : status;
}

/* For a board that cannot be divided NOT_SUPPORTED. */
static nvmlReturn_t look_at_divisible(nvmlDevice_t device, const void *out, plant_mig_t *mig) {
  plant_host_t *host;
  uint32_t gpu;
  const nvmlReturn_t status = library_read_begin(device, out, PLANT_CALL_OTHER, &host, &gpu);
  return status == NVML_SUCCESS ? library_read_end(plant_host_mig(host, gpu, mig)) : status;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
  plant_mig_t mig;
  const nvmlReturn_t status = look_at_divisible(device, current != NULL ? pending : NULL, &mig);
  if (status != NVML_SUCCESS) return status;
  *current = mig.mode;
  *pending = mig.pending;
  return NVML_SUCCESS;
}

/* The call succeeds also where the mode must wait, because somebody uses the board; `activation` tells. */
nvmlReturn_t nvmlDeviceSetMigMode(nvmlDevice_t device, unsigned int mode, nvmlReturn_t *activation) {
  plant_host_t *host;
  uint32_t gpu;
  nvmlReturn_t status = library_check(device, activation);
  if (status == NVML_SUCCESS && mode > NVML_DEVICE_MIG_ENABLE) status = NVML_ERROR_INVALID_ARGUMENT;
  if (status == NVML_SUCCESS) status = library_change_begin(device, &host, &gpu);
  if (status != NVML_SUCCESS) return status;
  const int error = plant_host_set_mig_mode(host, gpu, mode);
  *activation = error == -EBUSY ? NVML_ERROR_IN_USE : NVML_SUCCESS;
  return library_change_end(error == -EBUSY ? 0 : error);
}

/* 0 for a board that is not divided, and for one that cannot be. */
nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
  handle_t handle;
  plant_mig_t mig;
  const nvmlReturn_t status = look_at_board(device, count, &handle, &mig);
  if (status == NVML_SUCCESS) *count = mig.mode ? PLANT_MIG_MAX : 0;
  return status;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *instance) {
  plant_mig_t mig;
  const nvmlReturn_t status = look_at_divisible(device, instance, &mig);
  if (status != NVML_SUCCESS) return status;
  if (index >= PLANT_MIG_MAX) return NVML_ERROR_INVALID_ARGUMENT;
  if (index >= mig.instances) return NVML_ERROR_NOT_FOUND;
  *instance = handle_of(library_gpu(device), index);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig) {
  handle_t handle;
  plant_mig_t mig;
  const nvmlReturn_t status = look(device, is_mig, &handle, &mig);
  if (status == NVML_SUCCESS) *is_mig = handle.instance != WHOLE_BOARD;
  return status;
}

/* Of a whole board there is no board that it is a part of. */
nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t instance, nvmlDevice_t *device) {
  handle_t handle;
  plant_mig_t mig;
  const nvmlReturn_t status = look(instance, device, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  if (handle.instance == WHOLE_BOARD) return mig.mode ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_NOT_SUPPORTED;
  *device = handle_of(handle.gpu, WHOLE_BOARD);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id) {
  handle_t handle;
  plant_mig_t mig;
  const nvmlReturn_t status = look(device, id, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  if (handle.instance == WHOLE_BOARD) return NVML_ERROR_NOT_SUPPORTED;
  *id = FIRST_GPU_INSTANCE + handle.instance;
  return NVML_SUCCESS;
}

/* Each GPU instance holds one compute instance, of all its slices. */
nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id) {
  const nvmlReturn_t status = nvmlDeviceGetGpuInstanceId(device, id);
  if (status == NVML_SUCCESS) *id = 0;
  return status;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
  handle_t handle;
  plant_mig_t mig;
  plant_gpu_view_t view;
  const nvmlReturn_t status = library_look_at_part(device, attributes, PLANT_CALL_OTHER, &view, &handle, &mig);
  if (status != NVML_SUCCESS) return status;
  if (handle.instance == WHOLE_BOARD) return NVML_ERROR_NOT_SUPPORTED;
  const unsigned int sms = view.architecture == NVML_DEVICE_ARCH_AMPERE ? A100_SMS_PER_SLICE : H100_SMS_PER_SLICE;
  *attributes = (nvmlDeviceAttributes_t){.multiprocessorCount = sms * mig.slices,
                                         .sharedCopyEngineCount = mig.slices,
                                         .gpuInstanceSliceCount = mig.slices,
                                         .computeInstanceSliceCount = mig.slices,
                                         .memorySizeMB = mig.memory_b >> 20};
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
  return nvmlDeviceGetAttributes_v2(device, attributes);
}
