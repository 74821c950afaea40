/* What `nvidia-smi --gpu-reset` does, which no function of NVML's does: the simulated tool's own way to the driver. */
#include <errno.h>
#include <unistd.h>

#include "nvmlsim/attach.h"
#include "nvmlsim/library.h"
#include "plant/fault.h"

/* 0 or -errno. One that needs a reset may be reset; one that is off the bus hears nothing of it. */
static int check_reset(plant_host_t *host, uint32_t gpu) {
  plant_gpu_view_t view;
  const int error = plant_host_view(host, gpu, &view);
  if (error != 0) return error;
  if (plant_host_answer(host, gpu, PLANT_CALL_OTHER) == -ENODEV) return -ENODEV;
  for (uint32_t i = 0; i < view.pid_count && i < PLANT_PIDS_MAX; i++)
    if (library_lives(view.pids[i])) return -EBUSY;
  return 0;
}

static int reset(plant_host_t *host, const char *path, uint32_t gpu) {
  const plant_fault_t struck = {.kind = PLANT_FAULT_GPU_RESET, .target = PLANT_FAULT_OF_GPU, .index = gpu};
  uint32_t id;
  int error = check_reset(host, gpu);
  if (error != 0) return error;
  const int fd = attach_alone(path, gpu);
  if (fd < 0) return fd;
  error = plant_host_inject(host, &struck, &id);
  close(fd);
  return error;
}

/* IN_USE while anybody, the caller included, has the GPU open, or a process has a context on it. */
__attribute__((visibility("default"))) nvmlReturn_t eagent_simulated_reset(unsigned int gpu) {
  plant_host_t *host;
  const char *path;
  const nvmlReturn_t status = library_reset_begin(gpu, &host, &path);
  return status == NVML_SUCCESS ? library_read_end(reset(host, path, gpu)) : status;
}
