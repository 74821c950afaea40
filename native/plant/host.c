#include "plant/host.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plant/random.h"
#include "plant/readings.h"
#include "plant/session.h"
#include "plant/trouble.h"

#define DRIVER_MEMORY_B    536870912ull /* what the driver keeps for itself (assumed) */
#define SERVING_MEMORY_PCT 90u          /* engines claim their key-value cache up front; vLLM's default share */
#define OTHER_MEMORY_PCT   50u          /* assumed */

plant_host_t *plant_host_open(const char *path, int *error) {
  plant_host_t *host = calloc(1, sizeof *host);
  int code = host ? file_open(path, &host->file) : -ENOMEM;
  if (error) *error = -code;
  if (code == 0) return host;
  free(host);
  return NULL;
}

void plant_host_close(plant_host_t *host) {
  if (!host) return;
  file_close(host->file);
  free(host);
}

int plant_host_bind(plant_host_t *host) {
  session_t session;
  int error = session_look(host, &session); /* whatever life it was bound to before */
  if (error) return error;
  if (session.state->supply.power != PLANT_POWER_ON) return session_end(&session, -ENODEV);
  host->boot = session.state->supply.boot;
  host->reloads = session.state->faults.reloads;
  return session_end(&session, 0);
}

void plant_host_bound(const plant_host_t *host, uint32_t *boot, uint32_t *reloads) {
  *boot = host->boot;
  *reloads = host->reloads;
}

int plant_host_is_there(plant_host_t *host) {
  session_t session;
  int error = session_look_on(host, &session);
  return error ? error : session_end(&session, 0);
}

const char *plant_host_gpu_name(const plant_host_t *host) {
  return host->file->spec.given.model.name;
}
uint32_t plant_host_gpu_count(const plant_host_t *host) {
  return host->file->spec.given.gpus;
}
enum plant_permission plant_host_permission(const plant_host_t *host) {
  return host->file->spec.given.permission;
}

static void view_board(const spec_t *spec, const board_t *board, plant_gpu_view_t *view) {
  const plant_model_t *model = &spec->given.model;
  memcpy(view->name, model->name, sizeof view->name);
  memcpy(view->uuid, board->uuid, sizeof view->uuid);
  view->pci_bus = 0x07 + 0x10 * board->gpu;
  view->pci_device_id = model->pci_device_id;
  view->pci_subsystem_id = model->pci_subsystem_id;
  view->architecture = model->architecture;
  view->brand = model->brand;
  view->compute_major = model->compute_major;
  view->compute_minor = model->compute_minor;
  view->memory_total_b = model->memory_total_b;
  view->limit_min_mw = model->limit_min_mw;
  view->limit_max_mw = model->limit_max_mw;
  view->limit_default_mw = model->limit_default_mw;
  view->sm_clock_min_mhz = model->clock_min_mhz;
  view->sm_clock_max_mhz = model->clock_max_mhz;
  view->sm_clock_step_mhz = model->clock_step_mhz;
  view->sm_clock_base_mhz = model->clock_base_mhz;
  view->slow_c = (uint32_t)model->slow_c;
  view->stop_c = (uint32_t)model->stop_c;
  view->memory_clock_mhz = view->memory_clock_max_mhz = model->memory_clock_mhz;
}

int plant_host_boot_us(plant_host_t *host, uint64_t *unix_us) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  *unix_us = session_unix_us(&session, session.state->supply.booted_ns);
  return session_end(&session, 0);
}

int plant_host_now_us(plant_host_t *host, uint64_t *unix_us) {
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  *unix_us = session_unix_us(&session, session.now_ns);
  return session_end(&session, 0);
}

static void view_tenant(const state_t *state, const gpu_t *gpu, plant_gpu_view_t *view) {
  view->memory_used_b = DRIVER_MEMORY_B;
  if (!gpu->resident || gpu->load == 0) return;
  const plant_progress_t *load = &state->loads[gpu->load - 1].progress;
  uint32_t share = load->kind == PLANT_LOAD_SERVING ? SERVING_MEMORY_PCT : OTHER_MEMORY_PCT;
  view->memory_used_b += view->memory_total_b / 100 * share;
  if (load->pid) view->pids[view->pid_count++] = load->pid;
}

static void view_gpu(const spec_t *spec, const state_t *state, const gpu_t *gpu, plant_gpu_view_t *view) {
  view->limit_requested_mw = gpu->limit_mw;
  view->limit_enforced_mw = gpu_enforced_mw(gpu);
  view->locked_min_mhz = gpu->lock_min_mhz;
  view->locked_max_mhz = gpu->lock_max_mhz;
  view->persistence_mode = gpu->persistence;
  view->sm_clock_mhz =
      gpu->resident ? model_clock_mhz(&spec->given.model, gpu->step) : spec->given.model.clock_idle_mhz;
  view->temperature_c = (uint32_t)(most(0, gpu_temperature_c(spec, gpu, state->tick)) + 0.5);
  view->event_reasons = throttle_reasons(spec, gpu);
  double busy, memory;
  gpu_utilisation(gpu, &busy, &memory);
  view->gpu_utilisation_pct = (uint32_t)(least(1, busy) * 100 + 0.5);
  view->memory_utilisation_pct = (uint32_t)(least(1, memory) * 100 + 0.5);
}

void readings_view(const session_t *session, uint32_t index, plant_gpu_view_t *view) {
  const spec_t *spec = session->spec;
  const gpu_t *gpu = &session->state->gpus[index];
  sensor_t sensor;
  gpu_read_sensor(spec, &spec->boards[index], gpu, session->now_ns, &sensor);
  view->sensor_number = sensor.next;
  view->sensor_age_ns = session->now_ns - sensor.time_ns;
  trouble_sense(session->file, session->state, index, &sensor);
  view_gpu(spec, session->state, gpu, view);
  view->mig_mode = session->state->migs[index].mode;
  view->power_instant_mw = sensor.power_mw;
  view->power_average_mw = sensor.average_mw;
  view->has_average = spec->given.model.average_window_s > 0;
  view->has_counter = spec->given.model.has_counter;
  view->power_plain_mw = spec->given.model.plain_is_average ? sensor.average_mw : sensor.power_mw;
  view->energy_mj = sensor.energy_mj;
  view->sensor_time_us = session_unix_us(session, sensor.time_ns);
}

int plant_host_view(plant_host_t *host, uint32_t index, plant_gpu_view_t *view) {
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  memset(view, 0, sizeof *view);
  view_board(session.spec, &session.spec->boards[index], view);
  view_tenant(session.state, &session.state->gpus[index], view);
  readings_view(&session, index, view);
  return session_end(&session, 0);
}

#define P99_DEVIATIONS 2.326 /* of a normal distribution */

static uint64_t next_write(session_t *session, uint32_t index, enum random_stream stream) {
  return random_bits(session->spec->given.seed, stream, index, session->draft->gpus[index].writes++);
}

/* The first tick in which a setting made now acts. One that is on its way already takes it along: who sets more often
 * than settings act would never be obeyed. */
static int64_t acts_from(const session_t *session, double delay_s, int64_t pending_tick) {
  int64_t tick = session->draft->tick + (int64_t)ceil(delay_s / TICK_S);
  return pending_tick > session->draft->tick && pending_tick < tick ? pending_tick : tick;
}

static double limit_delay_s(session_t *session, uint32_t index) {
  const double *range_s = session->spec->given.model.limit_delay_s;
  return random_between(range_s[0], range_s[1], next_write(session, index, RANDOM_LIMIT_DELAY));
}

/* Log-normal, by its median and 99th percentile. */
static double clock_delay_s(session_t *session, uint32_t index) {
  const double *given_s = session->spec->given.model.clock_delay_s;
  double deviations = random_normal(next_write(session, index, RANDOM_CLOCK_DELAY));
  if (given_s[0] == 0) return 0;
  return given_s[0] * pow(given_s[1] / given_s[0], deviations / P99_DEVIATIONS);
}

int plant_host_set_power_limit(plant_host_t *host, uint32_t index, uint32_t limit_mw) {
  const plant_model_t *model = &host->file->spec.given.model;
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  if (limit_mw < model->limit_min_mw || limit_mw > model->limit_max_mw) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  gpu_t *gpu = &session.draft->gpus[index];
  plant_event_t event = {.kind = PLANT_WRITE_LIMIT, .gpu = index, .old_value = gpu->limit_mw, .new_value = limit_mw};
  session_log(&session, event);
  gpu_obey(session.spec, gpu, session.draft->tick);
  gpu->limit_mw = limit_mw;
  gpu->limit_from_tick = acts_from(&session, limit_delay_s(&session, index), gpu->limit_from_tick);
  return session_end(&session, 0);
}

static int set_lock(plant_host_t *host, uint32_t index, uint32_t min_mhz, uint32_t max_mhz) {
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  gpu_t *gpu = &session.draft->gpus[index];
  plant_event_t event = {.kind = PLANT_WRITE_LOCK, .gpu = index, .min_mhz = min_mhz, .max_mhz = max_mhz};
  session_log(&session, event);
  gpu_obey(session.spec, gpu, session.draft->tick);
  gpu->lock_min_mhz = min_mhz;
  gpu->lock_max_mhz = max_mhz;
  gpu->lock_from_tick = acts_from(&session, clock_delay_s(&session, index), gpu->lock_from_tick);
  return session_end(&session, 0);
}

int plant_host_lock_clocks(plant_host_t *host, uint32_t index, uint32_t min_mhz, uint32_t max_mhz) {
  const plant_model_t *model = &host->file->spec.given.model;
  if (min_mhz > max_mhz || min_mhz < model->clock_min_mhz || max_mhz > model->clock_max_mhz) return -ERANGE;
  return set_lock(host, index, min_mhz, max_mhz);
}

int plant_host_reset_clocks(plant_host_t *host, uint32_t index) {
  return set_lock(host, index, 0, 0);
}

int plant_host_set_persistence(plant_host_t *host, uint32_t index, uint32_t mode) {
  if (index >= plant_host_gpu_count(host) || mode > 1) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  gpu_t *gpu = &session.draft->gpus[index];
  plant_event_t event = {
      .kind = PLANT_WRITE_PERSISTENCE, .gpu = index, .old_value = gpu->persistence, .new_value = mode};
  session_log(&session, event);
  gpu->persistence = mode;
  return session_end(&session, 0);
}
