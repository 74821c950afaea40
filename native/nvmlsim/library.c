/* Initialisation, handles and the lock. NVML's ABI has no context argument, so this file holds the one global of the
 * library. */
#include "nvmlsim/library.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plant/knob.h"

static struct {
  pthread_mutex_t lock; /* around every call into the plant: the driver has one lock too */
  pthread_once_t prepared;
  plant_host_t *host;
  unsigned int users; /* initialisations not yet shut down */
  char path[PATH_MAX];
} library = {.lock = PTHREAD_MUTEX_INITIALIZER, .prepared = PTHREAD_ONCE_INIT};

static void lock(void) {
  pthread_mutex_lock(&library.lock);
}

static void unlock(void) {
  pthread_mutex_unlock(&library.lock);
}

/* A child of fork() keeps the host: the mapping is shared, and the plant's own lock knows its owners by thread. All
 * that must not happen is that this lock is copied while a thread holds it which the child does not have. */
static void prepare(void) {
  pthread_atfork(lock, unlock, unlock);
}

static nvmlReturn_t from_plant(int status) {
  switch (-status) {
    case 0:
      return NVML_SUCCESS;
    case ERANGE:
    case EINVAL:
      return NVML_ERROR_INVALID_ARGUMENT;
    case EPERM:
    case EACCES:
      return NVML_ERROR_NO_PERMISSION;
    case ENOTSUP:
      return NVML_ERROR_NOT_SUPPORTED;
    case ENODEV:
      return NVML_ERROR_GPU_IS_LOST;
    case ETIMEDOUT:
      return NVML_ERROR_TIMEOUT;
    case ENOMEM:
      return NVML_ERROR_MEMORY;
    default:
      return NVML_ERROR_UNKNOWN;
  }
}

/* Without a usable host, or while it is not on, this is a machine without the driver, and answers as one. A process of
 * an earlier boot, which on a real host would have died with it, has lost its GPUs until it initialises again. */
static nvmlReturn_t initialise(void) {
  if (library.users == 0) {
    const char *path = getenv("EAGENT_SIM_HOST");
    if (path == NULL || strlen(path) >= sizeof library.path) return NVML_ERROR_DRIVER_NOT_LOADED;
    int error = 0;
    library.host = plant_host_open(path, &error);
    if (library.host == NULL) return error == EACCES ? NVML_ERROR_NO_PERMISSION : NVML_ERROR_DRIVER_NOT_LOADED;
    if (plant_host_bind(library.host) != 0) {
      plant_host_close(library.host);
      library.host = NULL;
      return NVML_ERROR_DRIVER_NOT_LOADED;
    }
    strcpy(library.path, path);
  }
  library.users++;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
  (void)flags; /* NO_GPUS, NO_ATTACH and FORCE_INIT make no difference to a host that always answers */
  pthread_once(&library.prepared, prepare);
  lock();
  const nvmlReturn_t status = initialise();
  unlock();
  return status;
}

nvmlReturn_t nvmlInit_v2(void) {
  return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlInit(void) {
  return nvmlInitWithFlags(0);
}

/* The real library answers SUCCESS also when it was never initialised, whatever its header says. */
nvmlReturn_t nvmlShutdown(void) {
  lock();
  if (library.users > 0 && --library.users == 0) {
    plant_host_close(library.host);
    library.host = NULL;
  }
  unlock();
  return NVML_SUCCESS;
}

const char *eagent_simulated_host(void) {
  lock();
  const bool initialised = library.host != NULL;
  unlock();
  return initialised ? library.path : getenv("EAGENT_SIM_HOST");
}

uint32_t library_gpu(nvmlDevice_t device) {
  handle_t handle = {0};
  handle_read(device, PLANT_GPUS_MAX, &handle);
  return handle.gpu;
}

/* Called with the lock held, as the next. */
static nvmlReturn_t check_part(nvmlDevice_t device, const void *out, handle_t *handle) {
  if (library.host == NULL) return NVML_ERROR_UNINITIALIZED;
  const bool ours = handle_read(device, plant_host_gpu_count(library.host), handle);
  return ours && out != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t check(nvmlDevice_t device, const void *out) {
  handle_t handle;
  const nvmlReturn_t status = check_part(device, out, &handle);
  if (status != NVML_SUCCESS) return status;
  return handle.instance == WHOLE_BOARD ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t library_check(nvmlDevice_t device, const void *out) {
  lock();
  nvmlReturn_t status = check(device, out);
  if (status == NVML_SUCCESS) status = from_plant(plant_host_is_there(library.host));
  unlock();
  return status;
}

nvmlReturn_t library_look(nvmlDevice_t device, const void *out, plant_gpu_view_t *view) {
  lock();
  nvmlReturn_t status = check(device, out);
  if (status == NVML_SUCCESS) status = from_plant(plant_host_view(library.host, library_gpu(device), view));
  unlock();
  return status;
}

/* A board that cannot be divided is one that is not. */
static nvmlReturn_t look_at_part(const handle_t *handle, plant_gpu_view_t *view, plant_mig_t *mig) {
  const int status = plant_host_mig(library.host, handle->gpu, mig);
  if (status == -ENOTSUP) *mig = (plant_mig_t){0};
  if (status != 0 && status != -ENOTSUP) return from_plant(status);
  if (handle->instance != WHOLE_BOARD && handle->instance >= mig->instances) return NVML_ERROR_INVALID_ARGUMENT;
  return from_plant(plant_host_view(library.host, handle->gpu, view));
}

nvmlReturn_t library_look_at_part(nvmlDevice_t device, const void *out, plant_gpu_view_t *view, handle_t *handle,
                                  plant_mig_t *mig) {
  lock();
  nvmlReturn_t status = check_part(device, out, handle);
  if (status == NVML_SUCCESS) status = look_at_part(handle, view, mig);
  unlock();
  return status;
}

nvmlReturn_t library_host_begin(plant_host_t **host) {
  lock();
  *host = library.host;
  if (library.host != NULL) return NVML_SUCCESS;
  unlock();
  return NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t library_read_begin(nvmlDevice_t device, const void *out, plant_host_t **host, uint32_t *gpu) {
  lock();
  const nvmlReturn_t status = check(device, out);
  if (status != NVML_SUCCESS) {
    unlock();
    return status;
  }
  *host = library.host;
  *gpu = library_gpu(device);
  return NVML_SUCCESS;
}

nvmlReturn_t library_read_end(int plant_status) {
  unlock();
  return from_plant(plant_status);
}

nvmlReturn_t library_gpu_count(uint32_t *count) {
  lock();
  nvmlReturn_t status = library.host == NULL ? NVML_ERROR_UNINITIALIZED : NVML_SUCCESS;
  if (status == NVML_SUCCESS && count == NULL) status = NVML_ERROR_INVALID_ARGUMENT;
  if (status == NVML_SUCCESS) status = from_plant(plant_host_is_there(library.host));
  if (status == NVML_SUCCESS) *count = plant_host_gpu_count(library.host);
  unlock();
  return status;
}

nvmlReturn_t library_handle(uint32_t gpu, nvmlDevice_t *device) {
  uint32_t count;
  const nvmlReturn_t status = library_gpu_count(&count);
  if (status != NVML_SUCCESS) return status;
  if (device == NULL || gpu >= count) return NVML_ERROR_INVALID_ARGUMENT;
  *device = handle_of(gpu, WHOLE_BOARD);
  return NVML_SUCCESS;
}

/* What the driver asks for is not user 0 but CAP_SYS_ADMIN, which root in a container often lacks. */
static bool is_admin(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

static bool may_change(const plant_host_t *host) {
  switch (plant_host_permission(host)) {
    case PLANT_PERMIT_ANYONE:
      return true;
    case PLANT_PERMIT_ROOT:
      return is_admin();
    default:
      return false;
  }
}

static bool is_open(uint32_t gpu, uint32_t open) {
  plant_knobs_t knobs;
  return open != 0 && plant_host_knobs(library.host, gpu, &knobs) == 0 && (knobs.open & open) != 0;
}

nvmlReturn_t library_change_begin_if_open(nvmlDevice_t device, uint32_t open, plant_host_t **host, uint32_t *gpu) {
  const nvmlReturn_t status = library_read_begin(device, host, host, gpu);
  if (status != NVML_SUCCESS) return status;
  if (may_change(*host) || is_open(*gpu, open)) return NVML_SUCCESS;
  return library_read_end(-EPERM);
}

nvmlReturn_t library_change_begin(nvmlDevice_t device, plant_host_t **host, uint32_t *gpu) {
  return library_change_begin_if_open(device, 0, host, gpu);
}

nvmlReturn_t library_change_end(int plant_status) {
  unlock();
  return from_plant(plant_status);
}

nvmlReturn_t library_copy_text(const char *text, char *buffer, unsigned int length) {
  if (buffer == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  const size_t size = strlen(text) + 1;
  if (size > length) return NVML_ERROR_INSUFFICIENT_SIZE;
  memcpy(buffer, text, size);
  return NVML_SUCCESS;
}
