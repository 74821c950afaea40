#include "plant/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plant/supply.h"
#include "plant/trouble.h"

#define TICKS_MAX ((1ll << 60) / TICK_NS)

int64_t file_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void file_set_clock(state_t *state, int64_t monotonic_ns) {
  state->origin_ns = monotonic_ns - (state->tick + 1) * TICK_NS;
}

/* Where there is no /proc the id stays empty, and equal to itself. */
static void read_boot_id(char id[40]) {
  memset(id, 0, 40);
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (read(fd, id, 36) != 36) memset(id, 0, 40);
  close(fd);
}

static int init_mutex(pthread_mutex_t *mutex) {
  pthread_mutexattr_t attributes;
  memset(mutex, 0, sizeof *mutex);
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  int error = pthread_mutex_init(mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return -error;
}

static int init_mutexes(plant_file_t *file) {
  int error = init_mutex(&file->mutex);
  return error ? error : init_mutex(&file->driver.lock);
}

static int map(int fd, plant_file_t **file) {
  void *base = mmap(NULL, sizeof(plant_file_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return -errno;
  *file = base;
  return 0;
}

static int fill(plant_file_t *file, const spec_t *spec) {
  int error = init_mutexes(file);
  if (error) return error;
  file->version = FILE_VERSION;
  file->size = sizeof *file;
  read_boot_id(file->boot_id);
  file->spec = *spec;
  file->stale = 1;
  file->states[0].origin_ns = file_monotonic_ns();
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) gpu_init(&file->spec, &file->states[0].gpus[gpu]);
  cores_init(&file->spec, &file->states[0].cpus);
  file->states[0].faults.next_tick = NEVER;
  error = supply_init(&file->states[0].supply);
  if (error) return error;
  /* Last: whoever maps the file before this sees no host yet. */
  __atomic_store_n(&file->magic, FILE_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

int file_create(const char *path, const spec_t *spec) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return -errno;
  plant_file_t *file = NULL;
  /* Sparse: the tables take room as they grow. */
  int error = ftruncate(fd, (off_t)sizeof(plant_file_t)) ? -errno : map(fd, &file);
  if (!error) {
    error = fill(file, spec);
    file_close(file);
  }
  close(fd);
  if (error) unlink(path);
  return error;
}

static int is_ours(const plant_file_t *file) {
  return __atomic_load_n(&file->magic, __ATOMIC_ACQUIRE) == FILE_MAGIC && file->version == FILE_VERSION &&
         file->size == sizeof *file && file->spec.given.gpus >= 1 && file->spec.given.gpus <= PLANT_GPUS_MAX &&
         file->spec.physics.steps >= 2 && file->spec.physics.steps <= CLOCK_STEPS_MAX && model_cpu_is_sane(&file->spec);
}

/* Answers later than the truth come from a process that died before it published them. */
static void take_back_answers(plant_file_t *file) {
  const state_t *state = file_state(file);
  if (!state) return;
  for (uint32_t i = 0; i < state->requests; i++) {
    plant_request_t *request = &file->requests[i];
    if (request->first_token_ns > state->tick * TICK_NS) request->first_token_ns = -1;
    if (request->done_ns > state->tick * TICK_NS) request->done_ns = -1;
    if (request->lost > state->offs) request->lost = 0;
    if (request->next > state->requests) request->next = 0; /* chained to one that was not published */
  }
}

/* The lock and the clock's origin do not outlive a boot: make the mutex anew and let simulated time go on where it was.
 */
static int renew_after_boot(plant_file_t *file) {
  char boot_id[40];
  read_boot_id(boot_id);
  if (memcmp(boot_id, file->boot_id, sizeof boot_id) == 0) return 0;
  int error = init_mutexes(file);
  if (error) return error;
  take_back_answers(file);
  state_t *state = file_begin(file);
  if (!state) return -EIO;
  file_set_clock(state, file_monotonic_ns());
  file_publish(file);
  memcpy(file->boot_id, boot_id, sizeof boot_id);
  return 0;
}

int file_open(const char *path, plant_file_t **file) {
  *file = NULL;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct stat status;
  int error = fstat(fd, &status) ? -errno : 0;
  if (!error && (!S_ISREG(status.st_mode) || status.st_size != (off_t)sizeof(plant_file_t))) error = -EINVAL;
  if (!error && flock(fd, LOCK_EX)) error = -errno; /* two that open after a boot must not both make the mutex */
  if (!error) error = map(fd, file);
  if (!error && !is_ours(*file)) error = -EINVAL;
  if (!error) error = renew_after_boot(*file);
  flock(fd, LOCK_UN); /* closing is not enough: the mapping keeps the file description, and it the lock */
  close(fd);
  if (error) {
    file_close(*file);
    *file = NULL;
  }
  return error;
}

void file_close(plant_file_t *file) {
  if (file) munmap(file, sizeof *file);
}

static int gpu_is_sane(const spec_t *spec, const gpu_t *gpu) {
  return gpu->step < spec->physics.steps && gpu->wanted_step < spec->physics.steps && gpu->load <= LOADS_MAX &&
         cap_is_sane(&gpu->cap) && gpu->heat.ceiling >= 0 && isfinite(gpu->energy_j) && isfinite(gpu->counted_from_j) &&
         gpu->sensor.next < 1ull << 48;
}

static int load_is_sane(const load_t *load) {
  switch (load->progress.running ? load->progress.kind : PLANT_LOAD_NONE) {
    case PLANT_LOAD_SQUARE:
      return square_is_valid(&load->with.square);
    case PLANT_LOAD_SERVING:
      return serving_is_valid(&load->with.serving);
    case PLANT_LOAD_GANG:
      if (!gang_is_valid(&load->with.gang) || load->progress.gpus == 0) return 0; /* of nobody, no step would end */
      for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
        if (load_has(load, gpu) && !(load->share_s[gpu] >= load->with.gang.step_s / 2)) return 0;
      }
      return 1;
    default:
      return 1;
  }
}

/* The file may be written by anybody who may open it. What indexes memory or bounds a loop is checked before it is
 * used. */
static int is_sane(const spec_t *spec, const state_t *state) {
  if (state->tick < 0 || state->tick > TICKS_MAX || state->events > EVENTS_MAX || state->requests > REQUESTS_MAX)
    return 0;
  if (state->now_ns < 0 || state->now_ns / TICK_NS != state->tick) return 0; /* a clock far ahead bounds no loop */
  if (!cores_are_sane(spec, &state->cpus) || !supply_is_sane(&state->supply)) return 0;
  if (!trouble_is_sane(&state->faults)) return 0;
  for (uint32_t i = 0; i < PLANT_GPUS_MAX; i++) {
    const engine_t *engine = &state->engines[i];
    if (!gpu_is_sane(spec, &state->gpus[i]) || !load_is_sane(&state->loads[i])) return 0;
    if (!mig_is_sane(spec, &state->migs[i])) return 0;
    if (engine->phase > ENGINE_DECODES || engine->seated > PLANT_BATCH_MAX) return 0;
    if (engine->phase == ENGINE_WAITS) continue;
    if (engine->seated == 0 || !(engine->host_left_s >= 0) || !(engine->left_s >= 0)) return 0;
  }
  return 1;
}

const state_t *file_state(const plant_file_t *file) {
  const state_t *state = &file->states[file->active & 1];
  return is_sane(&file->spec, state) ? state : NULL;
}

static void copy_running(const state_t *truth, state_t *draft) {
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    const load_t *load = &truth->loads[i];
    if (!load->progress.running) continue;
    draft->loads[i] = *load;
    if (load->progress.kind != PLANT_LOAD_SERVING) continue;
    for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
      if (load_has(load, gpu)) draft->engines[gpu] = truth->engines[gpu];
    }
  }
}

/* All that a tick may change, and more: what else there is in a state. */
static void copy_tick(const spec_t *spec, const state_t *truth, state_t *draft) {
  const size_t knobs = offsetof(state_t, cpus) + offsetof(cpus_t, cores), rest = knobs + sizeof truth->cpus.cores;
  _Static_assert(offsetof(state_t, gpus) < offsetof(state_t, loads) &&
                     offsetof(state_t, engines) + sizeof truth->engines == offsetof(state_t, cpus),
                 "loads and engines lie between the GPUs and the processors");
  memcpy(draft, truth, offsetof(state_t, gpus) + spec->given.gpus * sizeof truth->gpus[0]);
  memcpy(&draft->cpus, &truth->cpus, offsetof(cpus_t, cores));
  memcpy((char *)draft + rest, (const char *)truth + rest, sizeof *truth - rest);
  copy_running(truth, draft);
}

/* `stale` is written before the draft is changed: it is true whether that is published, forgotten, or left behind by
 * one who dies. */
static state_t *begin(plant_file_t *file, uint32_t is_whole) {
  const state_t *truth = &file->states[file->active & 1];
  state_t *draft = &file->states[~file->active & 1];
  if (is_whole || file->stale) {
    memcpy(draft, truth, sizeof *draft);
  } else {
    copy_tick(&file->spec, truth, draft);
  }
  file->stale = is_whole;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  return is_sane(&file->spec, draft) ? draft : NULL;
}

state_t *file_begin(plant_file_t *file) {
  return begin(file, 1);
}

state_t *file_begin_tick(plant_file_t *file, int64_t until) {
  const state_t *truth = &file->states[file->active & 1];
  return begin(file, truth->supply.power != PLANT_POWER_ON || truth->faults.next_tick <= until);
}

void file_publish(plant_file_t *file) {
  __atomic_store_n(&file->active, ~file->active & 1, __ATOMIC_RELEASE);
}

void file_enter(plant_file_t *file, state_t *state, plant_event_t event) {
  if (state->events >= EVENTS_MAX) {
    state->events_lost++;
    return;
  }
  file->events[state->events++] = event;
}

int file_lock(plant_file_t *file) {
  int error = pthread_mutex_lock(&file->mutex);
  if (error == EOWNERDEAD) {
    take_back_answers(file);
    error = pthread_mutex_consistent(&file->mutex);
  }
  return -error;
}

void file_unlock(plant_file_t *file) {
  pthread_mutex_unlock(&file->mutex);
}
