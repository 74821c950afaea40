#include "plant/sane.h"

#include "plant/supply.h"
#include "plant/trouble.h"

#define TIME_MAX_NS (1ll << 60)             /* sums and differences of two times stay within 64 bits ... */
#define TICKS_MAX   (TIME_MAX_NS / TICK_NS) /* ... and products with TICK_NS, too */
#define ENERGY_J    1e15                    /* more than any host draws in its life */
#define POWER_W     1e9
#define WORK_S      1e12 /* more than any step or iteration takes */
#define CLOCK_MHZ   1000000u

static int is_time(int64_t time_ns) {
  return time_ns >= -TIME_MAX_NS && time_ns <= TIME_MAX_NS;
}

static int is_tick(int64_t tick) {
  return tick >= 0 && tick <= TICKS_MAX;
}

static int is_within(double value, double most) { /* and a number */
  return value >= -most && value <= most;
}

static int is_work(double seconds) {
  return seconds >= 0 && seconds <= WORK_S;
}

int spec_is_sane(const spec_t *spec) {
  return spec->given.gpus >= 1 && spec->given.gpus <= PLANT_GPUS_MAX && spec->physics.steps >= 2 &&
         spec->physics.steps <= CLOCK_STEPS_MAX && model_cpu_is_sane(spec);
}

static int sensors_are_sane(const spec_t *spec, const gpu_t *gpu) {
  for (uint32_t i = 0; i < SENSOR_PAST && spec->given.model.average_window_s > 0; i++) {
    if (!is_time(gpu->past.time_ns[i])) return 0;
  }
  return gpu->sensor.next < 1ull << 48 && is_time(gpu->sensor.time_ns);
}

static int throttle_is_sane(const plant_throttle_t *throttle) {
  return is_time(throttle->power_ns) && is_time(throttle->sw_thermal_ns) && is_time(throttle->hw_thermal_ns) &&
         is_time(throttle->held_ns) && is_time(throttle->below_base_ns);
}

static int gpu_is_sane(const spec_t *spec, const gpu_t *gpu) {
  if (gpu->step >= spec->physics.steps || gpu->wanted_step >= spec->physics.steps || gpu->load > LOADS_MAX) return 0;
  if (!is_tick(gpu->asleep_since)) return 0;
  if (gpu->lock_min_mhz > CLOCK_MHZ || gpu->lock_max_mhz > CLOCK_MHZ || gpu->knobs.application_mhz > CLOCK_MHZ)
    return 0;
  if (!is_within(gpu->energy_j, ENERGY_J) || !is_within(gpu->counted_from_j, ENERGY_J)) return 0;
  if (!is_within(gpu->power_w, POWER_W) || !is_within(gpu->end_w, POWER_W)) return 0;
  return cap_is_sane(&gpu->cap) && heat_is_sane(&gpu->heat) && sensors_are_sane(spec, gpu) &&
         throttle_is_sane(&gpu->throttle);
}

static int gang_is_sane(const load_t *load) {
  if (!gang_is_valid(&load->with.gang)) return 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    if (!(load->share_s[gpu] >= load->with.gang.step_s / 2) || !is_work(load->share_s[gpu])) return 0;
    if (!is_work(load->left_s[gpu]) || !is_work(load->host_left_s[gpu])) return 0;
  }
  return 1;
}

static int load_is_sane(const spec_t *spec, const load_t *load) {
  const plant_progress_t *progress = &load->progress;
  if (!progress->running) return 1;
  if (!is_tick(load->start_tick) || progress->gpus == 0 || progress->gpus >> spec->given.gpus) return 0;
  switch (progress->kind) {
    case PLANT_LOAD_SQUARE:
      return square_is_valid(&load->with.square);
    case PLANT_LOAD_SERVING:
      return serving_is_valid(&load->with.serving);
    case PLANT_LOAD_GANG:
      return gang_is_sane(load);
    default:
      return 0;
  }
}

static int engine_is_sane(const engine_t *engine) {
  if (engine->phase > ENGINE_DECODES || engine->seated > PLANT_BATCH_MAX) return 0;
  if (engine->phase == ENGINE_WAITS) return 1;
  return engine->seated > 0 && is_work(engine->host_left_s) && is_work(engine->left_s);
}

static int clocks_are_sane(const state_t *state) {
  if (!is_tick(state->tick) || state->now_ns < 0 || state->now_ns / TICK_NS != state->tick) return 0;
  return state->origin_ns >= -(state->tick + 1) * TICK_NS && state->origin_ns <= TIME_MAX_NS; /* as file_set_clock */
}

int state_is_sane(const spec_t *spec, const state_t *state) {
  if (!clocks_are_sane(state) || state->events > EVENTS_MAX || state->requests > REQUESTS_MAX) return 0;
  if (!cores_are_sane(spec, &state->cpus) || !supply_is_sane(&state->supply)) return 0;
  if (!trouble_is_sane(&state->faults)) return 0;
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    if (!load_is_sane(spec, &state->loads[i])) return 0;
  }
  for (uint32_t i = 0; i < spec->given.gpus; i++) {
    if (!gpu_is_sane(spec, &state->gpus[i]) || !engine_is_sane(&state->engines[i])) return 0;
    if (!mig_is_sane(spec, &state->migs[i])) return 0;
  }
  return 1;
}
