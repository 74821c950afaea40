#include "plant/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "plant/header.h"
#include "plant/sane.h"
#include "plant/supply.h"
#include "plant/trouble.h"

#define PATIENCE_NS 30000000000ll /* with who holds the lock and does nothing */

int64_t file_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void file_set_clock(state_t *state, int64_t monotonic_ns) {
  state->origin_ns = monotonic_ns - (state->tick + 1) * TICK_NS;
}

/* Where there is no /proc the id stays empty. */
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

/* FNV-1a: against damage, not against malice. */
static uint64_t sum(const void *bytes, size_t count) {
  uint64_t sum = 0xcbf29ce484222325ull;
  for (const uint8_t *byte = bytes; count > 0; byte++, count--) sum = (sum ^ *byte) * 0x100000001b3ull;
  return sum;
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
  file->spec_sum = sum(&file->spec, sizeof file->spec);
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

static int no_room(int error) {
  return error == ENOSPC ? -EDQUOT : -error;
}

/* Sparse: the tables that grow take room as they grow. */
static int allocate(int fd, const spec_t *spec) {
  if (ftruncate(fd, (off_t)sizeof(plant_file_t))) return no_room(errno);
  int error = posix_fallocate(fd, 0, (off_t)offsetof(plant_file_t, events));
  const off_t samples = (off_t)offsetof(plant_file_t, samples);
  if (!error) error = posix_fallocate(fd, samples, (off_t)(spec->given.gpus * sizeof(samples_t)));
  return no_room(error);
}

int file_create(const char *path, const spec_t *spec) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return -errno;
  plant_file_t *file = NULL;
  int error = allocate(fd, spec);
  if (!error) error = map(fd, &file);
  if (!error) {
    error = fill(file, spec);
    file_close(file);
  }
  close(fd);
  if (error) unlink(path);
  return error;
}

/* A lock of another kind would be taken by other rules, and the C library trusts what stands there. */
static int mutex_is_sane(const pthread_mutex_t *mutex) {
  pthread_mutex_t fresh;
  return init_mutex(&fresh) == 0 && mutex->__data.__kind == fresh.__data.__kind;
}

static int is_whole(const plant_file_t *file) {
  return mutex_is_sane(&file->mutex) && mutex_is_sane(&file->driver.lock) &&
         sum(&file->spec, sizeof file->spec) == file->spec_sum && spec_is_sane(&file->spec);
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

static int is_of_boot(const plant_file_t *file, const char boot_id[40]) {
  return boot_id[0] == 0 || memcmp(boot_id, file->boot_id, 40) == 0; /* who does not know the boot changes nothing */
}

/* The lock and the clock's origin do not outlive a boot: make the mutex anew and let simulated time go on where it was.
 */
static int renew(plant_file_t *file, const char boot_id[40]) {
  int error = init_mutexes(file);
  if (error) return error;
  take_back_answers(file);
  state_t *state = file_begin(file);
  if (!state) return -EIO;
  file_set_clock(state, file_monotonic_ns());
  file_publish(file);
  memcpy(file->boot_id, boot_id, sizeof file->boot_id); /* last: who sees it takes the lock */
  return 0;
}

/* Two that open after a boot must not both make the mutex. */
static int renew_after_boot(int fd, plant_file_t *file) {
  char boot_id[40];
  read_boot_id(boot_id);
  if (is_of_boot(file, boot_id)) return 0;
  while (flock(fd, LOCK_EX)) {
    if (errno != EINTR) return -errno;
  }
  int error = is_of_boot(file, boot_id) ? 0 : renew(file, boot_id);
  flock(fd, LOCK_UN); /* closing is not enough: the mapping keeps the file description, and it the lock */
  return error;
}

int file_open(const char *path, plant_file_t **file) {
  *file = NULL;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = header_check(fd);
  if (!error) error = map(fd, file);
  if (!error) error = renew_after_boot(fd, *file);
  if (!error && !is_whole(*file)) error = -EBADMSG;
  close(fd);
  if (error) {
    file_close(*file);
    *file = NULL;
  }
  return error;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* 0 also where the kernel can't be asked: it is older than 5.14. */
static int populate(const void *from, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)from & ~(page - 1);
  uintptr_t end = ((uintptr_t)from + size + page - 1) & ~(page - 1);
  return madvise((void *)begin, end - begin, MADV_POPULATE_WRITE) && errno == EFAULT ? -EDQUOT : 0;
}

/* Room for `count` entries of a table, where `*roomy` have it; a page more of them at once. */
static int extend(uint32_t *roomy, uint64_t count, uint32_t most, void *table, size_t size) {
  if (count <= *roomy || *roomy >= most) return 0;
  count += 4096 / size;
  if (count > most) count = most;
  int error = populate((char *)table + *roomy * size, (count - *roomy) * size);
  if (!error) *roomy = (uint32_t)count;
  return error;
}

int file_reserve(plant_file_t *file, int64_t rows, uint64_t events, uint64_t requests) {
  uint32_t cpu_rows = file->roomy_rows, wall_rows = file->roomy_rows, gpu_rows = file->roomy_rows;
  uint64_t ahead = rows > ROWS_MAX ? ROWS_MAX : (uint64_t)rows;
  int error = extend(&file->roomy_events, events, EVENTS_MAX, file->events, sizeof file->events[0]);
  if (!error) error = extend(&file->roomy_requests, requests, REQUESTS_MAX, file->requests, sizeof file->requests[0]);
  if (error || ahead <= file->roomy_rows) return error;
  error = extend(&wall_rows, ahead, ROWS_MAX, file->wall_w, sizeof file->wall_w[0]);
  if (!error) error = extend(&cpu_rows, ahead, ROWS_MAX, file->cpu_power_w, sizeof file->cpu_power_w[0]);
  if (!error) error = extend(&gpu_rows, ahead, ROWS_MAX, file->power_w, sizeof file->power_w[0]);
  if (!error) file->roomy_rows = gpu_rows; /* the least of them: its rows are the largest */
  return error;
}

void file_close(plant_file_t *file) {
  if (file) munmap(file, sizeof *file);
}

const state_t *file_state(const plant_file_t *file) {
  const state_t *state = &file->states[file->active & 1];
  return state_is_sane(&file->spec, state) ? state : NULL;
}

/* Of its seats those that are taken. Nothing is known to be sane yet. */
static void copy_engine(const engine_t *truth, engine_t *draft) {
  uint32_t seated = truth->seated < PLANT_BATCH_MAX ? truth->seated : PLANT_BATCH_MAX;
  memcpy(draft, truth, offsetof(engine_t, seats) + seated * sizeof truth->seats[0]);
}

static void copy_running(const state_t *truth, state_t *draft) {
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    const load_t *load = &truth->loads[i];
    if (!load->progress.running) continue;
    draft->loads[i] = *load;
    if (load->progress.kind != PLANT_LOAD_SERVING) continue;
    for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
      if (load_has(load, gpu)) copy_engine(&truth->engines[gpu], &draft->engines[gpu]);
    }
  }
}

/* All that a tick may change in which no fault begins, strikes or ends. Not: what runs not, the cores' settings, and
 * what lies behind the processors. */
static void copy_tick(const spec_t *spec, const state_t *truth, state_t *draft) {
  _Static_assert(offsetof(state_t, gpus) < offsetof(state_t, loads), "the GPUs end what is copied in one piece");
  memcpy(draft, truth, offsetof(state_t, gpus) + spec->given.gpus * sizeof truth->gpus[0]);
  memcpy(&draft->cpus, &truth->cpus, offsetof(cpus_t, cores));
  memcpy(draft->cpus.pace, truth->cpus.pace, sizeof truth->cpus.pace);
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
  return state_is_sane(&file->spec, draft) ? draft : NULL;
}

state_t *file_begin(plant_file_t *file) {
  return begin(file, 1);
}

state_t *file_begin_tick(plant_file_t *file, int64_t until) {
  const state_t *truth = &file->states[file->active & 1];
  return begin(file, truth->supply.power != PLANT_POWER_ON || truth->faults.next_tick <= until);
}

/* The fence: what is written to the next draft, which is the present truth, is written after this. */
void file_publish(plant_file_t *file) {
  __atomic_store_n(&file->active, ~file->active & 1, __ATOMIC_RELEASE);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Who holds the lock may be at work for long, after a night of load say, and shows it by the ticks that it publishes.
 * Who shows nothing is stopped, or dead in a way that left the lock behind: better an error than to wait for ever. */
static int wait_for_lock(plant_file_t *file) {
  int64_t seen_tick = -1, give_up_ns = 0;
  for (;;) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until); /* the only clock that every C library can wait by; it may jump */
    until.tv_sec++;
    int error = pthread_mutex_timedlock(&file->mutex, &until);
    if (error != ETIMEDOUT) return error;
    int64_t tick = __atomic_load_n(&file->states[file->active & 1].tick, __ATOMIC_RELAXED);
    if (tick != seen_tick) give_up_ns = file_monotonic_ns() + PATIENCE_NS;
    if (file_monotonic_ns() >= give_up_ns) return ETIMEDOUT;
    seen_tick = tick;
  }
}

void file_enter(plant_file_t *file, state_t *state, plant_event_t event) {
  if (state->events >= EVENTS_MAX || file_reserve(file, 0, state->events + 1, 0)) {
    state->events_lost++;
    return;
  }
  /* What strikes does so at a tick, and others write in between: the log's times never go back. */
  if (state->events && event.time_ns < file->events[state->events - 1].time_ns)
    event.time_ns = file->events[state->events - 1].time_ns;
  file->events[state->events++] = event;
}

int file_lock(plant_file_t *file) {
  int error = pthread_mutex_trylock(&file->mutex);
  if (error == EBUSY) error = wait_for_lock(file);
  if (error == EOWNERDEAD) {
    take_back_answers(file);
    error = pthread_mutex_consistent(&file->mutex);
    if (error) pthread_mutex_unlock(&file->mutex);
  }
  return -error;
}

void file_unlock(plant_file_t *file) {
  pthread_mutex_unlock(&file->mutex);
}
