#include "plant/trouble.h"

#include <math.h>

#include "plant/random.h"

#define TIME_MAX_NS (1ll << 60)
#define VALUE_MAX   1e9 /* fits into an int, and in thousandths into a long */

static int is_time(int64_t time_ns) {
  return time_ns >= 0 && time_ns <= TIME_MAX_NS;
}

int trouble_is_value(double value) {
  return value >= 0 && value <= VALUE_MAX;
}

static int fault_is_sane(const plant_fault_t *given) {
  return given->kind < PLANT_FAULT_KINDS && given->target <= PLANT_FAULT_OF_PACKAGE && is_time(given->from_ns) &&
         is_time(given->until_ns) && is_time(given->every_ns) && trouble_is_value(given->value[0]) &&
         trouble_is_value(given->value[1]);
}

int trouble_is_sane(const faults_t *faults) {
  if (faults->count > PLANT_FAULTS_MAX) return 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    int64_t time_ns = faults->frozen[gpu].time_ns;
    if (time_ns < -TIME_MAX_NS || time_ns > TIME_MAX_NS) return 0; /* a sensor's first may be before time 0 */
  }
  for (uint32_t i = 0; i < faults->count; i++) {
    if (!fault_is_sane(&faults->table[i].given)) return 0;
  }
  return 1;
}

/* The first tick that does not begin before a time. */
static int64_t tick_of(int64_t time_ns) {
  return (time_ns + TICK_NS - 1) / TICK_NS;
}

static int is_of_gpu(const plant_fault_t *fault, uint32_t gpu) {
  return fault->target == PLANT_FAULT_OF_HOST || (fault->target == PLANT_FAULT_OF_GPU && fault->index == gpu);
}

const fault_t *trouble_of_gpu(const faults_t *faults, enum plant_fault_kind kind, uint32_t gpu) {
  for (uint32_t i = 0; i < faults->count; i++) {
    const fault_t *fault = &faults->table[i];
    if (fault->given.begun && fault->given.kind == kind && is_of_gpu(&fault->given, gpu)) return fault;
  }
  return NULL;
}

/* After a limit set past the driver has come or gone: the lowest of them. */
static void set_outside_limits(state_t *state) {
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    double lowest_mw = 0;
    for (uint32_t i = 0; i < state->faults.count; i++) {
      const plant_fault_t *fault = &state->faults.table[i].given;
      if (!fault->begun || fault->kind != PLANT_FAULT_OUTSIDE_LIMIT || !is_of_gpu(fault, gpu)) continue;
      double limit_mw = fault->value[0] * 1e3;
      if (lowest_mw == 0 || limit_mw < lowest_mw) lowest_mw = limit_mw;
    }
    state->gpus[gpu].outside_mw = lowest_mw > 0 && lowest_mw < UINT32_MAX ? (uint32_t)lround(lowest_mw) : 0;
  }
}

static void freeze(const spec_t *spec, state_t *state, const plant_fault_t *fault) {
  for (uint32_t gpu = 0; gpu < spec->given.gpus; gpu++) {
    if (!is_of_gpu(fault, gpu)) continue;
    sensor_t sensor;
    gpu_read_sensor(spec, &spec->boards[gpu], &state->gpus[gpu], state->tick * TICK_NS, &sensor);
    uint32_t given_mw = fault->value[0] > 0 && fault->value[0] < 1e6 ? (uint32_t)lround(fault->value[0] * 1e3) : 0;
    state->faults.frozen[gpu] = (frozen_t){
        .time_ns = sensor.time_ns, .energy_mj = sensor.energy_mj, .power_mw = given_mw ? given_mw : sensor.power_mw};
  }
}

void trouble_end(state_t *state, uint32_t place) {
  faults_t *faults = &state->faults;
  enum plant_fault_kind kind = faults->table[place].given.kind;
  for (uint32_t i = place + 1; i < faults->count; i++) faults->table[i - 1] = faults->table[i];
  faults->count--;
  if (kind == PLANT_FAULT_OUTSIDE_LIMIT) set_outside_limits(state);
}

void trouble_cure(state_t *state, enum plant_fault_kind kind, uint32_t gpu) {
  for (uint32_t i = state->faults.count; i-- > 0;) {
    const plant_fault_t *fault = &state->faults.table[i].given;
    int is_meant = gpu == PLANT_NO_GPU || (fault->target == PLANT_FAULT_OF_GPU && fault->index == gpu);
    if (fault->begun && fault->kind == kind && is_meant) trouble_end(state, i);
  }
}

static void begin(plant_file_t *file, state_t *state, fault_t *fault) {
  fault->given.begun = 1;
  if (fault->given.kind == PLANT_FAULT_STUCK_POWER) freeze(&file->spec, state, &fault->given);
  if (fault->given.kind == PLANT_FAULT_OUTSIDE_LIMIT) set_outside_limits(state);
}

/* What is due of one fault. Returns whether it is over. A strike may cure other faults, and so move this one: what is
 * to be remembered of it is written before. */
static int step_one(plant_file_t *file, state_t *state, fault_t *fault) {
  plant_fault_t *given = &fault->given;
  int64_t end_tick = given->until_ns ? tick_of(given->until_ns) : NEVER;
  if (state->tick >= end_tick) return 1;
  if (given->kind < PLANT_FAULT_STRIKES) {
    begin(file, state, fault);
    fault->next_tick = end_tick;
    return 0;
  }
  plant_fault_t striking = *given;
  int is_over = given->every_ns == 0 || state->tick + tick_of(given->every_ns) >= end_tick;
  given->begun = 1;
  fault->next_tick = state->tick + tick_of(given->every_ns);
  strike(file, state, &striking);
  return is_over;
}

static fault_t *find(faults_t *faults, uint32_t id) {
  for (uint32_t i = 0; i < faults->count; i++) {
    if (faults->table[i].given.id == id) return &faults->table[i];
  }
  return NULL;
}

void trouble_step(plant_file_t *file, state_t *state) {
  faults_t *faults = &state->faults;
  uint32_t due[PLANT_FAULTS_MAX], count = 0;
  for (uint32_t i = 0; i < faults->count; i++) {
    if (faults->table[i].next_tick <= state->tick) due[count++] = faults->table[i].given.id;
  }
  for (uint32_t i = 0; i < count; i++) {
    fault_t *fault = find(faults, due[i]);
    if (!fault || !step_one(file, state, fault)) continue;
    fault = find(faults, due[i]);
    if (fault) trouble_end(state, (uint32_t)(fault - faults->table));
  }
  faults->next_tick = NEVER;
  for (uint32_t i = 0; i < faults->count; i++) {
    if (faults->table[i].next_tick < faults->next_tick) faults->next_tick = faults->table[i].next_tick;
  }
}

int trouble_hits(plant_file_t *file, const fault_t *fault) {
  double share = fault->given.value[0];
  if (share >= 1) return 1;
  uint32_t kind = fault->given.kind;
  uint64_t number = __atomic_fetch_add(&file->driver.draws[kind], 1, __ATOMIC_RELAXED);
  return random_between(0, 1, random_bits(file->spec.given.seed, RANDOM_FAULT, kind, number)) < share;
}

static void hold(const frozen_t *frozen, uint64_t stuck, sensor_t *sensor) {
  if (stuck & PLANT_STUCK_POWER) sensor->power_mw = sensor->average_mw = frozen->power_mw;
  if (stuck & PLANT_STUCK_TIME) sensor->time_ns = frozen->time_ns;
  if (stuck & PLANT_STUCK_ENERGY) sensor->energy_mj = frozen->energy_mj;
}

void trouble_sense(plant_file_t *file, const state_t *state, uint32_t gpu, sensor_t *sensor) {
  const faults_t *faults = &state->faults;
  if (faults->count == 0) return;
  const fault_t *stuck = trouble_of_gpu(faults, PLANT_FAULT_STUCK_POWER, gpu);
  if (stuck) hold(&faults->frozen[gpu], (uint64_t)stuck->given.value[1], sensor);
  const fault_t *zero = trouble_of_gpu(faults, PLANT_FAULT_ZERO_POWER, gpu);
  if (zero && trouble_hits(file, zero)) sensor->power_mw = sensor->average_mw = 0;
}

uint32_t trouble_sample_mw(const state_t *state, uint32_t gpu, int64_t time_ns, uint32_t power_mw) {
  const fault_t *stuck = trouble_of_gpu(&state->faults, PLANT_FAULT_STUCK_POWER, gpu);
  int is_stuck = stuck && (uint64_t)stuck->given.value[1] & PLANT_STUCK_POWER && time_ns >= stuck->given.from_ns;
  return is_stuck ? state->faults.frozen[gpu].power_mw : power_mw;
}
