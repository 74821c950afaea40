#include "plant/fault.h"

#include <errno.h>
#include <math.h>

#include "plant/session.h"
#include "plant/trouble.h"

#define LATEST_NS (1ll << 60)
#define ERRNO_MAX 133
#define SLOWEST_S 3600.0
#define MOST_W    1e5

static int is_of_files(uint32_t kind) {
  return kind == PLANT_FAULT_SYSFS_READ || kind == PLANT_FAULT_SYSFS_WRITE;
}

/* 0, or why it can't be of that. */
static int check_target(const spec_t *spec, const plant_fault_t *fault) {
  const plant_cpu_model_t *cpu = &spec->given.cpu;
  switch (fault->target) {
    case PLANT_FAULT_OF_HOST:
      return 0;
    case PLANT_FAULT_OF_GPU:
      if (is_of_files(fault->kind) || fault->kind == PLANT_FAULT_RAPL_WRAP || fault->kind == PLANT_FAULT_DRIVER_RELOAD)
        return -EINVAL;
      return fault->index < spec->given.gpus ? 0 : -ERANGE;
    case PLANT_FAULT_OF_CPU:
      if (!is_of_files(fault->kind)) return -EINVAL;
      return fault->index < cpu->packages * cpu->cores ? 0 : -ERANGE;
    case PLANT_FAULT_OF_PACKAGE:
      if (!is_of_files(fault->kind) && fault->kind != PLANT_FAULT_RAPL_WRAP) return -EINVAL;
      return fault->index < cpu->packages ? 0 : -ERANGE;
    default:
      return -EINVAL;
  }
}

static int is_within(double value, double low, double high) {
  return value >= low && value <= high;
}

static int has_sense(const spec_t *spec, const plant_fault_t *fault) {
  const plant_model_t *model = &spec->given.model;
  const double *value = fault->value;
  if (!trouble_is_value(value[0]) || !trouble_is_value(value[1])) return 0; /* also what the kind does not look at */
  switch (fault->kind) {
    case PLANT_FAULT_NOT_SUPPORTED:
    case PLANT_FAULT_ZERO_POWER:
      return value[0] > 0 && value[0] <= 1;
    case PLANT_FAULT_STUCK_POWER:
      return is_within(value[0], 0, MOST_W) && is_within(value[1], 1, 15) && value[1] == floor(value[1]);
    case PLANT_FAULT_SLOW_CALLS:
      return value[0] > 0 && value[0] <= SLOWEST_S;
    case PLANT_FAULT_OUTSIDE_LIMIT:
      return is_within(value[0], 1, MOST_W);
    case PLANT_FAULT_SYSFS_READ:
    case PLANT_FAULT_SYSFS_WRITE:
      return is_within(value[0], 1, ERRNO_MAX) && value[0] == floor(value[0]);
    case PLANT_FAULT_RAPL_WRAP:
      return is_within(value[0], 0, (double)spec->given.cpu.energy_range_uj * 1e-6);
    case PLANT_FAULT_XID:
      return is_within(value[0], 1, 999);
    case PLANT_FAULT_FOREIGN_LIMIT:
      return is_within(value[0] * 1e3, model->limit_min_mw, model->limit_max_mw);
    case PLANT_FAULT_FOREIGN_LOCK:
      return value[0] <= value[1] && value[0] >= model->clock_min_mhz && value[1] <= model->clock_max_mhz;
    default:
      return fault->kind < PLANT_FAULT_KINDS && value[0] == 0 && value[1] == 0;
  }
}

static int has_times(const plant_fault_t *fault, int64_t now_ns) {
  int strikes = fault->kind >= PLANT_FAULT_STRIKES;
  int64_t from_ns = fault->from_ns > now_ns ? fault->from_ns : now_ns;
  if (fault->from_ns < 0 || fault->from_ns > LATEST_NS || fault->until_ns < 0 || fault->until_ns > LATEST_NS) return 0;
  if (fault->until_ns && fault->until_ns <= from_ns) return 0;
  if (fault->every_ns == 0) return !strikes || fault->until_ns == 0;
  return strikes && fault->every_ns >= TICK_NS && fault->every_ns <= LATEST_NS;
}

int plant_host_inject(plant_host_t *host, const plant_fault_t *fault, uint32_t *id) {
  session_t session;
  int error = session_change(host, &session);
  if (error) return error;
  faults_t *faults = &session.draft->faults;
  int is_off = session.draft->supply.power != PLANT_POWER_ON;
  error = check_target(session.spec, fault);
  if (!error && !has_times(fault, session.now_ns)) error = -EINVAL;
  if (!error && !has_sense(session.spec, fault)) error = fault->kind < PLANT_FAULT_KINDS ? -EDOM : -EINVAL;
  if (!error && is_off && fault->kind >= PLANT_FAULT_STRIKES && fault->from_ns <= session.now_ns) error = -ENODEV;
  if (!error && faults->count == PLANT_FAULTS_MAX) error = -ENOSPC;
  if (error) return session_end(&session, error);
  fault_t *place = &faults->table[faults->count++];
  *place = (fault_t){.given = *fault};
  *id = place->given.id = ++faults->last_id;
  place->given.begun = place->given.reserved = 0;
  if (place->given.from_ns < session.now_ns) place->given.from_ns = session.now_ns / TICK_NS * TICK_NS;
  place->next_tick = (place->given.from_ns + TICK_NS - 1) / TICK_NS;
  __atomic_store_n(&session.file->driver.draws[fault->kind], 0, __ATOMIC_RELAXED);
  trouble_step(session.file, session.draft);
  return session_end(&session, 0);
}

int plant_host_clear_fault(plant_host_t *host, uint32_t id) {
  session_t session;
  int error = session_change(host, &session);
  if (error) return error;
  faults_t *faults = &session.draft->faults;
  uint32_t before = faults->count;
  for (uint32_t i = faults->count; i-- > 0;) {
    if (id == 0 || faults->table[i].given.id == id) trouble_end(session.draft, i);
  }
  return session_end(&session, id != 0 && faults->count == before ? -ENOENT : 0);
}

int plant_host_faults(plant_host_t *host, plant_fault_t out[PLANT_FAULTS_MAX], uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  const faults_t *faults = &session.state->faults;
  for (*count = 0; *count < faults->count; (*count)++) out[*count] = faults->table[*count].given;
  return session_end(&session, 0);
}

/* Without the lock: most hosts have no fault most of the time, and who asks in the moment in which one is injected is
 * before or after it. */
static int is_spared(const plant_host_t *host) {
  uint32_t active = __atomic_load_n(&host->file->active, __ATOMIC_ACQUIRE) & 1;
  return __atomic_load_n(&host->file->states[active].faults.count, __ATOMIC_RELAXED) == 0;
}

/* What the GPU answers to a call of this kind; the gravest first. */
static int answer(session_t *session, uint32_t gpu, enum plant_call kind) {
  const faults_t *faults = &session->state->faults;
  if (kind == PLANT_CALL_SET && trouble_of_gpu(faults, PLANT_FAULT_NO_PERMISSION, gpu)) return -EPERM;
  if (gpu == PLANT_NO_GPU) return 0;
  if (trouble_of_gpu(faults, PLANT_FAULT_GPU_LOST, gpu)) return -ENODEV;
  if (trouble_of_gpu(faults, PLANT_FAULT_RESET_REQUIRED, gpu)) return -EUCLEAN;
  const fault_t *stuck = trouble_of_gpu(faults, PLANT_FAULT_STUCK_POWER, gpu);
  if (kind == PLANT_CALL_CLOCK && stuck && (uint64_t)stuck->given.value[1] & PLANT_STUCK_CLOCK) return -EIO;
  const fault_t *refused = trouble_of_gpu(faults, PLANT_FAULT_NOT_SUPPORTED, gpu);
  return refused && kind < PLANT_CALL_OTHER && trouble_hits(session->file, refused) ? -ENOTSUP : 0;
}

int plant_host_delay(plant_host_t *host, uint32_t gpu, double *slow_s, int *hangs) {
  *slow_s = *hangs = 0;
  if (is_spared(host)) return 0;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error == -ENODEV ? 0 : error;
  const faults_t *faults = &session.state->faults;
  const fault_t *slow = trouble_of_gpu(faults, PLANT_FAULT_SLOW_CALLS, gpu);
  if (slow) *slow_s = slow->given.value[0];
  *hangs = trouble_of_gpu(faults, PLANT_FAULT_HUNG_CALLS, gpu) != NULL;
  return session_end(&session, 0);
}

int plant_host_answer(plant_host_t *host, uint32_t gpu, enum plant_call kind) {
  if (is_spared(host)) return 0;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error == -ENODEV ? 0 : error;
  return session_end(&session, answer(&session, gpu, kind));
}

int plant_host_file_trouble(plant_host_t *host, int writes, uint32_t target, uint32_t index, int *error) {
  *error = 0;
  if (is_spared(host)) return 0;
  session_t session;
  int failed = session_look(host, &session);
  if (failed) return failed;
  const faults_t *faults = &session.state->faults;
  uint32_t kind = writes ? PLANT_FAULT_SYSFS_WRITE : PLANT_FAULT_SYSFS_READ;
  for (uint32_t i = 0; i < faults->count && !*error; i++) {
    const plant_fault_t *fault = &faults->table[i].given;
    int is_meant = fault->target == PLANT_FAULT_OF_HOST || (fault->target == target && fault->index == index);
    if (fault->begun && fault->kind == kind && is_meant) *error = (int)fault->value[0];
  }
  return session_end(&session, 0);
}
