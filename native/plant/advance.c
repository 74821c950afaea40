#include "plant/advance.h"

#include <errno.h>

#include "plant/supply.h"
#include "plant/trouble.h"

static void start_load(plant_file_t *file, state_t *state, const load_t *load) {
  const spec_t *spec = &file->spec;
  for (uint32_t i = 0; i < spec->given.gpus; i++) {
    if (!load_has(load, i) || state->gpus[i].resident) continue;
    samples_wake(spec, &spec->boards[i], &state->gpus[i], state->tick, &file->samples[i]);
    gpu_occupy(spec, &spec->boards[i], &state->gpus[i], state->tick);
    cores_update(spec, &state->cpus, state_resident(state), state->tick * TICK_NS);
  }
}

static void step_loads(plant_file_t *file, state_t *state, activity_t *activity) {
  shift_t shift = {&file->spec.physics, state->gpus, state->cpus.pace, state->tick, activity};
  requests_t requests = {file->requests, state->requests};
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    load_t *load = &state->loads[i];
    if (!load->progress.running || load->start_tick > state->tick) continue;
    switch (load->progress.kind) {
      case PLANT_LOAD_SQUARE:
        square_step(&shift, load);
        break;
      case PLANT_LOAD_GANG:
        gang_step(&shift, load);
        break;
      case PLANT_LOAD_SERVING:
        serving_step(&shift, load, state->engines, requests);
        break;
      default:
        break;
    }
  }
}

static void end_wall_row(plant_file_t *file, state_t *state, int64_t row, int64_t now_ns) {
  supply_t *supply = &state->supply;
  supply_settle(&file->spec, state, now_ns);
  double energy_j = supply_total_j(&file->spec, state, now_ns);
  if (row < ROWS_MAX) file->wall_w[row] = (float)((energy_j - supply->row_j) / (ROW_TICKS * TICK_S));
  supply->row_j = energy_j;
}

/* At the end of each 100 ms. A row's place follows from its time, so writing it twice does no harm. */
static void end_row(plant_file_t *file, state_t *state) {
  const int64_t tick = state->tick, row = tick / ROW_TICKS - 1;
  for (uint32_t i = 0; i < file->spec.given.gpus; i++) {
    gpu_t *gpu = &state->gpus[i];
    double energy_j = gpu_energy_j(&file->spec, gpu, tick);
    if (row < ROWS_MAX) file->power_w[row][i] = (float)((energy_j - gpu->row_energy_j) / (ROW_TICKS * TICK_S));
    gpu->row_energy_j = energy_j;
  }
  for (uint32_t i = 0; i < file->spec.given.cpu.packages; i++) {
    package_t *package = &state->cpus.packages[i];
    double package_j, dram_j;
    cores_energy_j(&state->cpus, i, tick * TICK_NS, &package_j, &dram_j);
    double energy_j = package_j + dram_j;
    if (row < ROWS_MAX) file->cpu_power_w[row][i] = (float)((energy_j - package->row_energy_j) / (ROW_TICKS * TICK_S));
    package->row_energy_j = energy_j;
  }
  end_wall_row(file, state, row, tick * TICK_NS);
}

static void step(plant_file_t *file, state_t *state) {
  const spec_t *spec = &file->spec;
  activity_t activity[PLANT_GPUS_MAX] = {0};
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    const load_t *load = &state->loads[i];
    if (load->progress.running && load->start_tick <= state->tick) start_load(file, state, load);
  }
  for (uint32_t i = 0; i < spec->given.gpus; i++) {
    if (!state->gpus[i].asleep) gpu_begin(spec, &state->gpus[i], state->tick);
  }
  step_loads(file, state, activity);
  for (uint32_t i = 0; i < spec->given.gpus; i++) {
    gpu_t *gpu = &state->gpus[i];
    if (gpu->asleep) continue;
    if (state->tick % CONTROL_TICKS == 0) throttle_count(spec, gpu);
    gpu_finish(spec, &spec->boards[i], gpu, state->tick, &activity[i]);
    samples_take(spec, &spec->boards[i], gpu, state->tick, &activity[i], &file->samples[i]);
  }
  state->tick++;
  if (state->tick % ROW_TICKS == 0) end_row(file, state);
}

/* While all sleep, time may go to here at once; `tick` if somebody is awake. */
static int64_t quiet_until(const spec_t *spec, const state_t *state, int64_t target) {
  for (uint32_t i = 0; i < spec->given.gpus; i++) {
    if (!state->gpus[i].asleep) return state->tick;
  }
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    const load_t *load = &state->loads[i];
    if (load->progress.running && load->start_tick < target) target = load->start_tick;
  }
  if (state->supply.power == PLANT_POWER_BOOTING && state->supply.on_tick < target) target = state->supply.on_tick;
  if (state->faults.next_tick < target) target = state->faults.next_tick;
  return target > state->tick ? target : state->tick;
}

static void leap(plant_file_t *file, state_t *state, int64_t target) {
  int64_t row = state->tick / ROW_TICKS + 1, last = target / ROW_TICKS;
  for (; row <= last; row++) {
    if (row > ROWS_MAX) row = last; /* the log is full: only the last row's end is of use */
    state->tick = row * ROW_TICKS;
    end_row(file, state);
  }
  state->tick = target;
}

static void run(plant_file_t *file, state_t *state, int64_t target) {
  for (int budget = BUSY_TICKS_MAX; budget > 0 && state->tick < target; budget--) {
    int64_t quiet = quiet_until(&file->spec, state, target);
    int leaps = quiet > state->tick;
    if (leaps) {
      leap(file, state, quiet);
    } else {
      step(file, state);
    }
    if (supply_is_due(state)) supply_on(file, state);
    if (state->tick >= state->faults.next_tick) trouble_step(file, state);
    if (leaps) return; /* no gaps: see samples.h */
  }
}

int advance_to(plant_file_t *file, const state_t *truth, int64_t to_ns) {
  int64_t target = to_ns / TICK_NS;
  int is_virtual = file->spec.given.clock == PLANT_CLOCK_VIRTUAL;
  while (truth->tick < target || (is_virtual && truth->now_ns < to_ns)) {
    int error = file_reserve(file, target / ROW_TICKS, truth->events + EVENTS_AHEAD, 0);
    if (error) return error;
    state_t *draft = file_begin_tick(file, target);
    if (!draft) return -EIO;
    run(file, draft, target);
    draft->now_ns = draft->tick < target ? draft->tick * TICK_NS : to_ns;
    file_publish(file);
    truth = draft;
  }
  return 0;
}

int advance_now(plant_file_t *file, const state_t *truth, int64_t *now_ns) {
  if (file->spec.given.clock == PLANT_CLOCK_VIRTUAL) {
    *now_ns = truth->now_ns;
    return 0;
  }
  int64_t monotonic_ns = file_monotonic_ns();
  if (monotonic_ns - truth->origin_ns < truth->tick * TICK_NS) { /* the clock went back */
    state_t *draft = file_begin(file);
    if (!draft) return -EIO;
    file_set_clock(draft, monotonic_ns);
    file_publish(file);
    truth = draft;
  }
  *now_ns = monotonic_ns - truth->origin_ns;
  return advance_to(file, truth, *now_ns);
}
