#include "driver.h"

#include <string.h>

#include "clock.h"

#define TRIES    20
#define TRY_NS   1000000
#define SLACK_MJ 1000u /* a counter that has lost less has not begun anew */

static const int64_t WANTED_NS = 500000000;
static const int64_t AGAIN_NS = 2500000000; /* after it forgot: until persistence mode is known to be on again */
static const int64_t FIRST_NS = 250000000;  /* between two openings while no GPU is there ... */
static const int64_t MOST_NS = 1000000000;  /* ... and at last: it is back in force two seconds after the driver is */
static const int64_t FEW_FIRST_NS = 2000000000; /* while some are: each costs the others readings */
static const int64_t FEW_MOST_NS = 30000000000;

static uint64_t all_gpus(const driver_t *driver) {
  return driver->gpus == 64 ? UINT64_MAX : (1ull << driver->gpus) - 1;
}

/* What is asked once of a GPU, when it is first there. */
static void meet(driver_t *driver, uint32_t i) {
  const nvml_t *nvml = driver->nvml;
  driver_gpu_t *gpu = &driver->gpu[i];
  unsigned int default_mw = 0;
  nvmlPciInfo_t pci;
  if (!gpu->uuid[0] && nvml->device_uuid && nvml->device_uuid(gpu->handle, gpu->uuid, sizeof gpu->uuid) != NVML_SUCCESS)
    gpu->uuid[0] = 0;
  if (!gpu->bus_id[0] && nvml->device_pci && nvml->device_pci(gpu->handle, &pci) == NVML_SUCCESS) {
    memcpy(gpu->bus_id, pci.busId, sizeof gpu->bus_id);
    gpu->bus_id[sizeof gpu->bus_id - 1] = 0;
  }
  if (!gpu->default_mw && nvml->limit_default && nvml->limit_default(gpu->handle, &default_mw) == NVML_SUCCESS)
    gpu->default_mw = default_mw;
  driver_look(driver, i);
}

void driver_init(driver_t *driver, nvml_t *nvml, uint32_t gpus, const nvmlDevice_t *handles) {
  pthread_rwlock_init(&driver->lock, NULL);
  driver->nvml = nvml;
  driver->gpus = gpus;
  driver->is_open = 1;
  for (uint32_t i = 0; i < gpus; i++) {
    driver_gpu_t *gpu = &driver->gpu[i];
    gpu->handle = handles[i];
    gpu->shown.persistence = -1;
    if (gpu->handle) {
      meet(driver, i);
    } else {
      driver->given_up |= 1ull << i;
      gpu->shown.is_gone = gpu->was_void = 1;
    }
  }
  if (driver->given_up != all_gpus(driver)) return;
  nvml->shutdown();
  driver->is_open = 0;
}

void driver_destroy(driver_t *driver) {
  pthread_rwlock_destroy(&driver->lock);
}

int driver_is_void(nvmlReturn_t code) {
  switch (code) {
    case NVML_ERROR_UNINITIALIZED:
    case NVML_ERROR_INVALID_ARGUMENT:
    case NVML_ERROR_DRIVER_NOT_LOADED:
    case NVML_ERROR_GPU_IS_LOST:
    case NVML_ERROR_RESET_REQUIRED:
      return 1;
    default:
      return 0;
  }
}

/* --- Shares --- */

int driver_enter(driver_t *driver) {
  const int64_t until_ns = __atomic_load_n(&driver->wanted_until_ns, __ATOMIC_RELAXED);
  if (until_ns && clock_now_ns() < until_ns) return 0;
  return pthread_rwlock_tryrdlock(&driver->lock) == 0;
}

void driver_leave(driver_t *driver) {
  pthread_rwlock_unlock(&driver->lock);
}

static nvmlReturn_t get_limit(const driver_t *driver, uint32_t i, unsigned int *limit_mw) {
  const nvmlDevice_t handle = driver->gpu[i].handle;
  return handle ? driver->nvml->limit_get(handle, limit_mw) : NVML_ERROR_GPU_IS_LOST;
}

uint32_t driver_limit_mw(driver_t *driver, uint32_t i) {
  unsigned int limit_mw = 0;
  if (!driver_enter(driver)) return 0; /* it is being opened anew */
  const nvmlReturn_t code = get_limit(driver, i, &limit_mw);
  driver_leave(driver);
  return code == NVML_SUCCESS ? limit_mw : 0;
}

nvmlReturn_t driver_probe(driver_t *driver, uint32_t i, uint32_t limit_mw) {
  unsigned int present_mw = 0;
  if (!driver_enter(driver)) return NVML_ERROR_UNINITIALIZED;
  nvmlReturn_t code = get_limit(driver, i, &present_mw);
  if (code == NVML_SUCCESS)
    code = present_mw == limit_mw ? driver->nvml->limit_set(driver->gpu[i].handle, limit_mw) : NVML_ERROR_IN_USE;
  driver_leave(driver);
  return code;
}

/* Who can't have it at once finds it free at the next turn: until then nobody else begins with anything. */
static int enter_alone(driver_t *driver) {
  const struct timespec pause = {.tv_nsec = TRY_NS};
  for (int tries = 0; pthread_rwlock_trywrlock(&driver->lock) != 0; tries++) {
    __atomic_store_n(&driver->wanted_until_ns, clock_now_ns() + WANTED_NS, __ATOMIC_RELAXED);
    if (tries == TRIES) return 0;
    nanosleep(&pause, NULL);
  }
  return 1;
}

static void leave_alone(driver_t *driver) {
  __atomic_store_n(&driver->wanted_until_ns, 0, __ATOMIC_RELAXED);
  pthread_rwlock_unlock(&driver->lock);
}

/* --- Evidence --- */

void driver_count(driver_t *driver, uint32_t i, uint64_t energy_mj) {
  driver_gpu_t *gpu = &driver->gpu[i];
  const uint64_t before_mj = __atomic_exchange_n(&gpu->energy_mj, energy_mj, __ATOMIC_RELAXED);
  if (energy_mj + SLACK_MJ < before_mj) __atomic_fetch_add(&gpu->renewals, 1, __ATOMIC_RELAXED);
}

void driver_suspect(driver_t *driver, uint32_t i, nvmlReturn_t code) {
  if (driver_is_void(code)) __atomic_fetch_or(&driver->suspects, 1ull << i, __ATOMIC_RELAXED);
}

static int is_renewed(const driver_gpu_t *gpu) {
  return __atomic_load_n(&gpu->renewals, __ATOMIC_RELAXED) != gpu->renewals_known;
}

uint64_t driver_doubts(driver_t *driver) {
  uint64_t doubts = 0;
  for (uint32_t i = 0; i < driver->gpus; i++) doubts |= (uint64_t)(is_renewed(&driver->gpu[i]) != 0) << i;
  if (__atomic_load_n(&driver->suspects, __ATOMIC_RELAXED) == 0) return doubts;
  /* Those that are known to have no driver answer so at every reading. */
  return doubts | (__atomic_exchange_n(&driver->suspects, 0, __ATOMIC_RELAXED) & ~driver_voids(driver));
}

void driver_look(driver_t *driver, uint32_t i) {
  driver_gpu_t *gpu = &driver->gpu[i];
  nvmlEnableState_t mode = NVML_FEATURE_DISABLED;
  if (!gpu->handle || !driver->nvml->persistence) return;
  if (driver->nvml->persistence(gpu->handle, &mode) != NVML_SUCCESS) return;
  const int is_on = mode == NVML_FEATURE_ENABLED;
  if (gpu->shown.persistence == 1 && !is_on) gpu->lost_mode = 1;
  gpu->shown.persistence = is_on;
}

void driver_resume(driver_t *driver, uint32_t i) {
  if (driver->gpu[i].shown.persistence == 0) driver->gpu[i].lost_mode = 1;
}

/* What we switch off ourselves is no evidence of anything. */
void driver_switch(driver_t *driver, uint32_t i, uint8_t mode) {
  driver_gpu_t *gpu = &driver->gpu[i];
  const int on = mode == DRIVER_MODE_ON;
  if (mode == DRIVER_MODE_LEFT) gpu->shown.mode_code = NVML_SUCCESS; /* what it was refused for once is no matter */
  if (mode == DRIVER_MODE_LEFT || gpu->shown.persistence < 0 || gpu->shown.persistence == on) return;
  if (!gpu->handle || !driver->nvml->persistence_set) return;
  gpu->shown.mode_code = driver->nvml->persistence_set(gpu->handle, on ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED);
  if (gpu->shown.mode_code == NVML_SUCCESS) gpu->shown.persistence = on;
}

static void count_now(driver_t *driver, uint32_t i) {
  unsigned long long energy_mj = 0;
  const nvmlDevice_t handle = driver->gpu[i].handle;
  if (handle && driver->nvml->energy && driver->nvml->energy(handle, &energy_mj) == NVML_SUCCESS)
    driver_count(driver, i, energy_mj);
}

/* A GPU that was lost for a while may have kept everything: then its limit is where we put it. One that stands at the
 * default after the whole driver began anew is there because of that, whatever we wrote. */
static int is_limit_kept(const driver_gpu_t *gpu, const driver_look_t *look, int renewed) {
  if (look->ours_mw == 0) return 0;
  if (look->limit_mw == look->ours_mw) return !(gpu->was_void && renewed && look->limit_mw == gpu->default_mw);
  /* A handle that stayed valid was no reload: what is not the default was set by somebody. */
  return !gpu->was_void && gpu->default_mw && look->limit_mw != gpu->default_mw;
}

/* Who has just forgotten may do so again before there is anything whose loss would show it. */
static int forgets_again(const driver_gpu_t *gpu, const driver_look_t *look, int64_t now_ns) {
  const int is_recent = gpu->shown.forgot_ns && now_ns < gpu->shown.forgot_ns + AGAIN_NS;
  return is_recent && gpu->default_mw && look->limit_mw == gpu->default_mw;
}

int driver_judge(driver_t *driver, uint32_t i, const driver_look_t *look, int64_t now_ns) {
  driver_gpu_t *gpu = &driver->gpu[i];
  if (driver_is_void(look->code)) {
    if (!gpu->shown.void_ns) gpu->shown.void_ns = now_ns;
    if (gpu->handle) gpu->shown.code = look->code;
    gpu->was_void = 1;
    return 0;
  }
  if (look->limit_mw == 0 && look->code != NVML_ERROR_NOT_SUPPORTED) return 0;
  gpu->shown.void_ns = 0;
  gpu->shown.code = NVML_SUCCESS;
  const int is_moved = look->settled_mw && look->limit_mw != look->settled_mw;
  if (is_moved) driver_look(driver, i);
  if (is_moved || gpu->was_void) count_now(driver, i);
  const int renewed = is_renewed(gpu);
  if (!gpu->was_void && !renewed && !gpu->lost_mode && !(is_moved && forgets_again(gpu, look, now_ns))) return 0;
  gpu->shown.is_kept = is_limit_kept(gpu, look, renewed);
  gpu->shown.found_mw = look->limit_mw;
  gpu->shown.forgets++;
  gpu->shown.forgot_ns = now_ns;
  gpu->renewals_known = __atomic_load_n(&gpu->renewals, __ATOMIC_RELAXED);
  gpu->was_void = gpu->lost_mode = 0;
  return !gpu->shown.is_kept;
}

/* --- Opening anew --- */

uint64_t driver_voids(const driver_t *driver) {
  uint64_t voids = 0;
  for (uint32_t i = 0; i < driver->gpus; i++) voids |= (uint64_t)(driver->gpu[i].shown.void_ns != 0) << i;
  return voids;
}

/* With all GPUs given up it is to be closed: then the driver itself can be unloaded. */
static int needs_opening(const driver_t *driver) {
  if (driver->given_up == all_gpus(driver)) return 0;
  return !driver->is_open || driver_voids(driver) != 0;
}

static int is_missing(const driver_t *driver, uint32_t i) {
  return !driver->gpu[i].handle && !(driver->given_up >> i & 1);
}

static void take(driver_t *driver, uint32_t i, nvmlDevice_t handle) {
  driver->gpu[i].handle = handle;
  driver->generation++;
  meet(driver, i);
}

/* Give handles to those that have none and whose UUID answers at some index. NVML can ask by UUID itself, but tells of
 * none then while any GPU is lost. */
static void find_by_index(driver_t *driver) {
  const nvml_t *nvml = driver->nvml;
  unsigned int count = 0;
  char uuid[DRIVER_UUID];
  nvmlDevice_t handle;
  if (nvml->device_count(&count) != NVML_SUCCESS) return;
  for (unsigned int k = 0; k < count; k++) {
    if (nvml->device_by_index(k, &handle) != NVML_SUCCESS) continue;
    if (nvml->device_uuid(handle, uuid, sizeof uuid) != NVML_SUCCESS) continue;
    for (uint32_t i = 0; i < driver->gpus; i++)
      if (is_missing(driver, i) && strcmp(driver->gpu[i].uuid, uuid) == 0) take(driver, i, handle);
  }
}

/* Likewise at its own address, and without a look at any other. */
static void find_by_address(driver_t *driver) {
  nvmlDevice_t handle;
  for (uint32_t i = 0; i < driver->gpus; i++) {
    const driver_gpu_t *gpu = &driver->gpu[i];
    if (is_missing(driver, i) && nvml_at(driver->nvml, gpu->bus_id, gpu->uuid, &handle) == NVML_SUCCESS)
      take(driver, i, handle);
  }
}

static void find_missing(driver_t *driver) {
  if (!driver->is_open) return;
  if (driver->given_up) {
    find_by_address(driver);
  } else {
    find_by_index(driver);
  }
}

static nvmlReturn_t open_wanted(const driver_t *driver) {
  if (driver->given_up) return driver->nvml->init_with(NVML_INIT_FLAG_NO_ATTACH);
  return driver->nvml->init();
}

/* With nobody else in the driver: the handles of before mean nothing as soon as NVML is shut down. */
static void open_anew(driver_t *driver) {
  if (driver->is_open) driver->nvml->shutdown();
  driver->is_open = 0;
  for (uint32_t i = 0; i < driver->gpus; i++) driver->gpu[i].handle = NULL;
  driver->generation++;
  if (driver->given_up == all_gpus(driver)) return;
  const nvmlReturn_t code = open_wanted(driver);
  driver->is_open = code == NVML_SUCCESS;
  for (uint32_t i = 0; i < driver->gpus && !driver->is_open; i++) driver->gpu[i].shown.code = code;
  find_missing(driver);
}

/* How long to wait since the last opening, or since it was found to be needed. A GPU alone may come back by itself. */
static int64_t pause_ns(const driver_t *driver) {
  const int are_all = !driver->is_open || (driver_voids(driver) | driver->given_up) == all_gpus(driver);
  if (are_all) return driver->wait_ns < MOST_NS ? driver->wait_ns : MOST_NS;
  return driver->wait_ns > FEW_FIRST_NS ? driver->wait_ns : FEW_FIRST_NS;
}

static int is_any_missing(const driver_t *driver) {
  for (uint32_t i = 0; i < driver->gpus; i++)
    if (is_missing(driver, i)) return 1;
  return 0;
}

int driver_can_part(const driver_t *driver) {
  if (!driver->nvml->init_with || !driver->nvml->device_by_pci) return 0;
  for (uint32_t i = 0; i < driver->gpus; i++)
    if (!driver->gpu[i].bus_id[0] || !driver->gpu[i].uuid[0]) return 0;
  return 1;
}

/* What comes back is met as after a reset: nobody else can tell whether it was. */
void driver_give_up(driver_t *driver, uint64_t gpus, int64_t now_ns) {
  if (gpus == driver->given_up || !enter_alone(driver)) return;
  driver->given_up = gpus;
  for (uint32_t i = 0; i < driver->gpus; i++) {
    driver_gpu_t *gpu = &driver->gpu[i];
    gpu->shown.is_gone = gpus >> i & 1;
    if (!gpu->shown.is_gone) continue;
    gpu->shown.void_ns = 0;
    gpu->shown.persistence = -1;
    gpu->was_void = 1;
    gpu->lost_mode = 0;
  }
  open_anew(driver);
  driver->since_ns = driver->sought_ns = now_ns;
  driver->wait_ns = FIRST_NS;
  leave_alone(driver);
}

void driver_mind(driver_t *driver, int64_t now_ns) {
  if (!needs_opening(driver)) {
    driver->since_ns = driver->wait_ns = 0;
    return;
  }
  if (!driver->since_ns) driver->since_ns = driver->sought_ns = now_ns;
  const int opens = now_ns >= driver->since_ns + pause_ns(driver);
  const int seeks = now_ns >= driver->sought_ns + MOST_NS && driver->is_open && is_any_missing(driver);
  if ((!opens && !seeks) || !enter_alone(driver)) return;
  driver->sought_ns = now_ns;
  if (opens) {
    open_anew(driver);
    driver->since_ns = now_ns;
    driver->wait_ns = driver->wait_ns ? 2 * driver->wait_ns : FIRST_NS;
    if (driver->wait_ns > FEW_MOST_NS) driver->wait_ns = FEW_MOST_NS;
  } else {
    find_missing(driver);
  }
  leave_alone(driver);
}
