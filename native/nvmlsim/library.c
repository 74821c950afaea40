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

#include "nvmlsim/attach.h"
#include "nvmlsim/call.h"
#include "nvmlsim/module.h"
#include "plant/knob.h"
#include "plant/shown.h"

static struct {
  pthread_mutex_t lock; /* of what is here; never held while a call waits for the driver, which may be for ever */
  pthread_once_t prepared;
  plant_host_t *host;
  unsigned int users; /* initialisations not yet shut down */
  unsigned int calls; /* in the driver; the last of them closes the host if there are no users any more */
  call_t begun;       /* between a begin and its end; who holds the driver's lock has it */
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
static void in_child(void) {
  library.calls = 0; /* they are those of threads that the child does not have */
  unlock();
}

static void prepare(void) {
  pthread_atfork(lock, unlock, in_child);
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
    case EBUSY:
      return NVML_ERROR_IN_USE;
    case EUCLEAN:
      return NVML_ERROR_RESET_REQUIRED;
    case ETIMEDOUT:
      return NVML_ERROR_TIMEOUT;
    case ENOMEM:
      return NVML_ERROR_MEMORY;
    default:
      return NVML_ERROR_UNKNOWN;
  }
}

static void close_if_unused(void) {
  if (library.users == 0) attach_none();
  if (library.users > 0 || library.calls > 0) return;
  plant_host_close(library.host);
  library.host = NULL;
}

static void leave(call_t *call) {
  call_end(call);
  lock();
  library.calls--;
  close_if_unused();
  unlock();
}

/* With the lock held, as the next. */
static nvmlReturn_t check_part(nvmlDevice_t device, const void *out, handle_t *handle) {
  if (library.users == 0) return NVML_ERROR_UNINITIALIZED;
  const bool ours = handle_read(device, plant_host_gpu_count(library.host), handle);
  return ours && out != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t check(nvmlDevice_t device, const void *out) {
  handle_t handle;
  const nvmlReturn_t status = check_part(device, out, &handle);
  if (status != NVML_SUCCESS) return status;
  return handle.instance == WHOLE_BOARD ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

/* Go into the driver with a call that `status`, found with the lock held, allows. Unlocks. On any answer but
 * NVML_SUCCESS the call is over. */
static nvmlReturn_t enter(call_t *call, nvmlReturn_t status, uint32_t gpu, enum plant_call kind) {
  plant_host_t *host = library.host;
  if (status == NVML_SUCCESS) library.calls++;
  unlock();
  if (status != NVML_SUCCESS) return status;
  const int answer = call_begin(call, host, gpu, kind);
  if (answer != 0) leave(call);
  return from_plant(answer);
}

/* Without a usable host, or while it is not on, this is a machine without the driver, and answers as one. A process of
 * an earlier boot, which on a real host would have died with it, has lost its GPUs until it initialises again. */
static nvmlReturn_t open_host(void) {
  const char *path = getenv("EAGENT_SIM_HOST");
  if (path == NULL || strlen(path) >= sizeof library.path) return NVML_ERROR_DRIVER_NOT_LOADED;
  int error = 0;
  library.host = plant_host_open(path, &error);
  if (library.host == NULL) return error == EACCES ? NVML_ERROR_NO_PERMISSION : NVML_ERROR_DRIVER_NOT_LOADED;
  strcpy(library.path, path);
  return NVML_SUCCESS;
}

/* With the driver's present life, which the kernel shows as soon as anybody has to do with it. */
static nvmlReturn_t bind_host(void) {
  uint32_t boot, reloads;
  if (plant_host_bind(library.host) != 0) return NVML_ERROR_DRIVER_NOT_LOADED;
  plant_host_bound(library.host, &boot, &reloads);
  module_show(library.path, boot, reloads);
  return NVML_SUCCESS;
}

static nvmlReturn_t initialise(unsigned int flags) {
  nvmlReturn_t status = library.host == NULL ? open_host() : NVML_SUCCESS; /* a call may have kept it open */
  if (status == NVML_SUCCESS && library.users == 0) status = bind_host();
  if (status == NVML_SUCCESS) {
    library.users++;
    const uint32_t gpus = flags & NVML_INIT_FLAG_NO_ATTACH ? 0 : plant_host_gpu_count(library.host);
    for (uint32_t gpu = 0; gpu < gpus; gpu++) attach(library.path, gpu);
  }
  close_if_unused();
  return status;
}

/* NO_GPUS and FORCE_INIT make no difference to a host that always answers. */
nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
  pthread_once(&library.prepared, prepare);
  lock();
  const nvmlReturn_t status = initialise(flags);
  call_t call;
  if (enter(&call, status, PLANT_NO_GPU, PLANT_CALL_OTHER) == NVML_SUCCESS) leave(&call);
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
  if (library.users > 0) library.users--;
  close_if_unused();
  unlock();
  return NVML_SUCCESS;
}

const char *eagent_simulated_host(void) {
  lock();
  const bool initialised = library.users > 0;
  unlock();
  return initialised ? library.path : getenv("EAGENT_SIM_HOST");
}

uint32_t library_gpu(nvmlDevice_t device) {
  handle_t handle = {0};
  handle_read(device, PLANT_GPUS_MAX, &handle);
  return handle.gpu;
}

nvmlReturn_t library_check(nvmlDevice_t device, const void *out) {
  call_t call;
  lock();
  nvmlReturn_t status = enter(&call, check(device, out), library_gpu(device), PLANT_CALL_OTHER);
  if (status != NVML_SUCCESS) return status;
  status = from_plant(plant_host_is_there(call.host));
  leave(&call);
  return status;
}

nvmlReturn_t library_sense(nvmlDevice_t device, const void *out, enum plant_call kind, plant_gpu_view_t *view) {
  call_t call;
  lock();
  nvmlReturn_t status = enter(&call, check(device, out), library_gpu(device), kind);
  if (status != NVML_SUCCESS) return status;
  status = from_plant(plant_host_view(call.host, library_gpu(device), view));
  if (status == NVML_SUCCESS && kind == PLANT_CALL_POWER) plant_host_show(call.host, library_gpu(device), view);
  leave(&call);
  return status;
}

nvmlReturn_t library_look(nvmlDevice_t device, const void *out, plant_gpu_view_t *view) {
  return library_sense(device, out, PLANT_CALL_OTHER, view);
}

/* A board that cannot be divided is one that is not. */
static nvmlReturn_t look_at_part(plant_host_t *host, const handle_t *handle, plant_gpu_view_t *view, plant_mig_t *mig) {
  const int status = plant_host_mig(host, handle->gpu, mig);
  if (status == -ENOTSUP) *mig = (plant_mig_t){0};
  if (status != 0 && status != -ENOTSUP) return from_plant(status);
  if (handle->instance != WHOLE_BOARD && handle->instance >= mig->instances) return NVML_ERROR_INVALID_ARGUMENT;
  return from_plant(plant_host_view(host, handle->gpu, view));
}

nvmlReturn_t library_look_at_part(nvmlDevice_t device, const void *out, enum plant_call kind, plant_gpu_view_t *view,
                                  handle_t *handle, plant_mig_t *mig) {
  call_t call;
  lock();
  nvmlReturn_t status = enter(&call, check_part(device, out, handle), library_gpu(device), kind);
  if (status != NVML_SUCCESS) return status;
  status = look_at_part(call.host, handle, view, mig);
  leave(&call);
  return status;
}

nvmlReturn_t library_host_begin(plant_host_t **host) {
  call_t call;
  lock();
  const nvmlReturn_t found = library.users > 0 ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
  const nvmlReturn_t status = enter(&call, found, PLANT_NO_GPU, PLANT_CALL_OTHER);
  if (status != NVML_SUCCESS) return status;
  library.begun = call;
  *host = call.host;
  return NVML_SUCCESS;
}

nvmlReturn_t library_read_begin(nvmlDevice_t device, const void *out, enum plant_call kind, plant_host_t **host,
                                uint32_t *gpu) {
  call_t call;
  lock();
  const nvmlReturn_t status = enter(&call, check(device, out), library_gpu(device), kind);
  if (status != NVML_SUCCESS) return status;
  library.begun = call;
  *host = call.host;
  *gpu = library_gpu(device);
  return NVML_SUCCESS;
}

nvmlReturn_t library_read_end(int plant_status) {
  call_t call = library.begun;
  leave(&call);
  return from_plant(plant_status);
}

nvmlReturn_t library_gpu_count(uint32_t *count) {
  call_t call;
  lock();
  nvmlReturn_t status = library.users == 0 ? NVML_ERROR_UNINITIALIZED : NVML_SUCCESS;
  if (status == NVML_SUCCESS && count == NULL) status = NVML_ERROR_INVALID_ARGUMENT;
  status = enter(&call, status, PLANT_NO_GPU, PLANT_CALL_OTHER);
  if (status != NVML_SUCCESS) return status;
  status = from_plant(plant_host_is_there(call.host));
  if (status == NVML_SUCCESS) *count = plant_host_gpu_count(call.host);
  leave(&call);
  return status;
}

nvmlReturn_t library_handle(uint32_t gpu, nvmlDevice_t *device) {
  const nvmlDevice_t found = gpu < PLANT_GPUS_MAX ? handle_of(gpu, WHOLE_BOARD) : NULL;
  const nvmlReturn_t status = library_check(found, device);
  if (status != NVML_SUCCESS) return status;
  lock();
  if (library.users > 0) attach(library.path, gpu);
  unlock();
  *device = found;
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

static bool is_open(plant_host_t *host, uint32_t gpu, uint32_t open) {
  plant_knobs_t knobs;
  return open != 0 && plant_host_knobs(host, gpu, &knobs) == 0 && (knobs.open & open) != 0;
}

/* Who may not is told so before there is a call: it costs nothing, and waits for nobody. */
static nvmlReturn_t check_change(nvmlDevice_t device, uint32_t open) {
  const nvmlReturn_t status = check(device, &device);
  if (status != NVML_SUCCESS || may_change(library.host)) return status;
  return is_open(library.host, library_gpu(device), open) ? NVML_SUCCESS : NVML_ERROR_NO_PERMISSION;
}

nvmlReturn_t library_change_begin_if_open(nvmlDevice_t device, uint32_t open, plant_host_t **host, uint32_t *gpu) {
  call_t call;
  lock();
  const nvmlReturn_t status = enter(&call, check_change(device, open), library_gpu(device), PLANT_CALL_SET);
  if (status != NVML_SUCCESS) return status;
  library.begun = call;
  *host = call.host;
  *gpu = library_gpu(device);
  return NVML_SUCCESS;
}

nvmlReturn_t library_change_begin(nvmlDevice_t device, plant_host_t **host, uint32_t *gpu) {
  return library_change_begin_if_open(device, 0, host, gpu);
}

nvmlReturn_t library_reset_begin(uint32_t gpu, plant_host_t **host, const char **path) {
  call_t call;
  lock();
  nvmlReturn_t status = check(gpu < PLANT_GPUS_MAX ? handle_of(gpu, WHOLE_BOARD) : NULL, host);
  if (status == NVML_SUCCESS && !may_change(library.host)) status = NVML_ERROR_NO_PERMISSION;
  status = enter(&call, status, PLANT_NO_GPU, PLANT_CALL_OTHER);
  if (status != NVML_SUCCESS) return status;
  library.begun = call;
  *host = call.host;
  *path = library.path;
  return NVML_SUCCESS;
}

nvmlReturn_t library_change_end(int plant_status) {
  return library_read_end(plant_status);
}

nvmlReturn_t library_copy_text(const char *text, char *buffer, unsigned int length) {
  if (buffer == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  const size_t size = strlen(text) + 1;
  if (size > length) return NVML_ERROR_INSUFFICIENT_SIZE;
  memcpy(buffer, text, size);
  return NVML_SUCCESS;
}
