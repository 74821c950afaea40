#include "plant/supply.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "plant/trouble.h"

#define LONGEST_BOOT_S 86400.0
#define MOST_W         1e6
#define TIME_MAX_NS    (1ll << 60)

/* The air that leaves: fans must move the more of it, the nearer the inlet comes. */
#define COOLS_NOTHING_C 50.0
#define USUAL_INLET_C   25.0

static int is_power(double watts) {
  return watts >= 0 && watts <= MOST_W;
}

int supply_is_valid(const plant_supply_t *given) {
  return is_power(given->standby_w) && is_power(given->boot_w) && is_power(given->rest_w) && is_power(given->fan_w) &&
         is_power(given->loss_w) && given->fan_min >= 0 && given->fan_min <= 1 && given->fan_full_w > 0 &&
         given->fan_full_w <= MOST_W && given->loss_share >= 0 && given->loss_share <= 1 && given->inlet_c >= -40 &&
         given->inlet_c < COOLS_NOTHING_C && given->boot_s >= 0 && given->boot_s <= LONGEST_BOOT_S;
}

/* Chance from outside of the simulation: no two boots of any hosts have one id, and nothing simulated hangs on it. */
static int begin_life(supply_t *supply) {
  if (getrandom(supply->boot_bits, sizeof supply->boot_bits, 0) != sizeof supply->boot_bits) return -EIO;
  supply->boot++;
  return 0;
}

int supply_init(supply_t *supply) {
  *supply = (supply_t){.power = PLANT_POWER_ON};
  return begin_life(supply);
}

static int is_time(int64_t time_ns) {
  return time_ns >= 0 && time_ns <= TIME_MAX_NS;
}

int supply_is_sane(const supply_t *supply) {
  if (supply->power >= PLANT_POWERS || !is_time(supply->since_ns) || !is_time(supply->booted_ns)) return 0;
  if (!is_time(supply->settled_ns) || !isfinite(supply->on_j) || !isfinite(supply->row_j)) return 0;
  if (!is_time(supply->on_tick)) return 0;
  for (uint32_t i = 0; i < PLANT_POWERS; i++) {
    if (!is_time(supply->time_ns[i])) return 0;
  }
  return 1;
}

static int64_t since_ns(const supply_t *supply, int64_t now_ns) {
  return now_ns > supply->since_ns ? now_ns - supply->since_ns : 0;
}

int64_t supply_time_ns(const supply_t *supply, uint32_t power, int64_t now_ns) {
  return supply->time_ns[power] + (supply->power == power ? since_ns(supply, now_ns) : 0);
}

static void go_over(state_t *state, enum plant_power power, int64_t now_ns) {
  supply_t *supply = &state->supply;
  supply->time_ns[supply->power] = supply_time_ns(supply, supply->power, now_ns);
  supply->since_ns = now_ns > supply->since_ns ? now_ns : supply->since_ns;
  supply->power = power;
}

/* What the driver forgets is in the log as nobody's write, so that who reads the log knows what was in force: a limit
 * of 0 while there is no power, then the default. */
static void enter_limits(plant_file_t *file, state_t *state, const uint32_t old_mw[PLANT_GPUS_MAX], uint32_t new_mw,
                         int64_t now_ns) {
  for (uint32_t i = 0; i < file->spec.given.gpus; i++) {
    plant_event_t event = {.time_ns = now_ns, .kind = PLANT_WRITE_LIMIT, .gpu = i};
    event.old_value = old_mw ? old_mw[i] : 0;
    event.new_value = new_mw;
    file_enter(file, state, event);
  }
}

/* Every load ends, with the requests that it has not answered: those in its engines, and those that would yet come. The
 * mark counts once the state is published in which this switching off has happened (plant_file in file.h). */
static void lose_work(plant_file_t *file, state_t *state) {
  requests_t requests = {file->requests, state->requests};
  state->offs++;
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    load_t *load = &state->loads[i];
    if (load->progress.running && load->progress.kind == PLANT_LOAD_SERVING)
      serving_lose(load, state->engines, requests, state->offs);
    load->progress.running = 0;
  }
  memset(state->engines, 0, sizeof state->engines);
}

void supply_off(plant_file_t *file, state_t *state, int64_t now_ns) {
  const spec_t *spec = &file->spec;
  uint32_t limits_mw[PLANT_GPUS_MAX];
  supply_settle(spec, state, now_ns);
  if (state->supply.power == PLANT_POWER_ON) {
    for (uint32_t i = 0; i < spec->given.gpus; i++) {
      gpu_t *gpu = &state->gpus[i];
      limits_mw[i] = gpu->limit_mw;
      if (gpu->lock_max_mhz)
        file_enter(file, state, (plant_event_t){.time_ns = now_ns, .kind = PLANT_WRITE_LOCK, .gpu = i});
      if (gpu->knobs.memory_max_mhz)
        file_enter(file, state, (plant_event_t){.time_ns = now_ns, .kind = PLANT_WRITE_MEMORY_LOCK, .gpu = i});
      gpu_off(spec, gpu, state->tick);
    }
    enter_limits(file, state, limits_mw, 0, now_ns);
    cores_off(spec, &state->cpus, now_ns);
    lose_work(file, state);
  }
  go_over(state, PLANT_POWER_OFF, now_ns);
}

int supply_boot(const spec_t *spec, state_t *state, int64_t now_ns) {
  int error = begin_life(&state->supply);
  if (error) return error;
  int64_t ticks = (int64_t)ceil(spec->given.supply.boot_s / TICK_S);
  state->supply.on_tick = state->tick + (ticks > 1 ? ticks : 1);
  go_over(state, PLANT_POWER_BOOTING, now_ns);
  return 0;
}

int supply_is_due(const state_t *state) {
  return state->supply.power == PLANT_POWER_BOOTING && state->tick >= state->supply.on_tick;
}

void supply_on(plant_file_t *file, state_t *state) {
  int64_t now_ns = state->tick * TICK_NS;
  for (uint32_t i = 0; i < file->spec.given.gpus; i++) gpu_on(&file->spec, &state->gpus[i], state->tick);
  cores_on(&file->spec, &state->cpus, now_ns);
  trouble_cure(state, PLANT_FAULT_GPU_LOST, PLANT_NO_GPU);
  trouble_cure(state, PLANT_FAULT_RESET_REQUIRED, PLANT_NO_GPU);
  mig_boot(state);
  supply_settle(&file->spec, state, now_ns);
  go_over(state, PLANT_POWER_ON, now_ns);
  state->supply.booted_ns = state->supply.since_ns;
  enter_limits(file, state, NULL, file->spec.given.model.limit_default_mw, now_ns);
  file_enter(
      file, state,
      (plant_event_t){
          .time_ns = now_ns, .kind = PLANT_WRITE_POWER, .old_value = PLANT_POWER_BOOTING, .new_value = PLANT_POWER_ON});
}

static double gpus_j(const spec_t *spec, const state_t *state) {
  double energy_j = 0;
  for (uint32_t i = 0; i < spec->given.gpus; i++) energy_j += gpu_energy_j(spec, &state->gpus[i], state->tick);
  return energy_j;
}

static double packages_j(const spec_t *spec, const state_t *state, int64_t now_ns) {
  double energy_j = 0, package_j, dram_j;
  for (uint32_t i = 0; i < spec->given.cpu.packages; i++) {
    cores_energy_j(&state->cpus, i, now_ns, &package_j, &dram_j);
    energy_j += package_j + dram_j;
  }
  return energy_j;
}

static double gpus_w(const spec_t *spec, const state_t *state) {
  double power_w = 0;
  for (uint32_t i = 0; i < spec->given.gpus; i++) power_w += state->gpus[i].power_w;
  return power_w;
}

static double packages_w(const spec_t *spec, const state_t *state) {
  double power_w = 0;
  for (uint32_t i = 0; i < spec->given.cpu.packages; i++)
    power_w += state->cpus.packages[i].power_w + state->cpus.packages[i].dram_w;
  return power_w;
}

/* The fans keep pace with the heat at once. */
double supply_wall_w(const plant_supply_t *given, double parts_w) {
  double air = parts_w / given->fan_full_w * (COOLS_NOTHING_C - USUAL_INLET_C) / (COOLS_NOTHING_C - given->inlet_c);
  double speed = given->fan_min + (1 - given->fan_min) * fmin(1, fmax(0, air));
  double delivered_w = parts_w + given->rest_w + given->fan_w * speed * speed * speed;
  return delivered_w * (1 + given->loss_share) + given->loss_w;
}

/* What was drawn while on since it was last settled. GPUs are known to the last tick, packages to now. */
static double unsettled_j(const spec_t *spec, const state_t *state, int64_t now_ns) {
  const supply_t *supply = &state->supply;
  double span_s = (double)(now_ns - supply->settled_ns) * 1e-9;
  double ticked_s = (double)(state->tick * TICK_NS - supply->settled_ns) * 1e-9;
  if (span_s <= 0) return 0;
  double power_w = (packages_j(spec, state, now_ns) - supply->packages_j) / span_s;
  power_w += ticked_s > 0 ? (gpus_j(spec, state) - supply->gpus_j) / ticked_s : gpus_w(spec, state);
  return supply_wall_w(&spec->given.supply, power_w) * span_s;
}

void supply_settle(const spec_t *spec, state_t *state, int64_t now_ns) {
  supply_t *supply = &state->supply;
  if (supply->power == PLANT_POWER_ON) supply->on_j += unsettled_j(spec, state, now_ns);
  if (now_ns > supply->settled_ns) supply->settled_ns = now_ns;
  supply->gpus_j = gpus_j(spec, state);
  supply->packages_j = packages_j(spec, state, now_ns);
}

double supply_energy_j(const spec_t *spec, const state_t *state, uint32_t power, int64_t now_ns) {
  const supply_t *supply = &state->supply;
  double seconds = (double)supply_time_ns(supply, power, now_ns) * 1e-9;
  if (power == PLANT_POWER_OFF) return spec->given.supply.standby_w * seconds;
  if (power == PLANT_POWER_BOOTING) return spec->given.supply.boot_w * seconds;
  return supply->on_j + (supply->power == PLANT_POWER_ON ? unsettled_j(spec, state, now_ns) : 0);
}

double supply_total_j(const spec_t *spec, const state_t *state, int64_t now_ns) {
  double energy_j = 0;
  for (uint32_t power = 0; power < PLANT_POWERS; power++) energy_j += supply_energy_j(spec, state, power, now_ns);
  return energy_j;
}

double supply_power_w(const spec_t *spec, const state_t *state) {
  const plant_supply_t *given = &spec->given.supply;
  if (state->supply.power == PLANT_POWER_OFF) return given->standby_w;
  if (state->supply.power == PLANT_POWER_BOOTING) return given->boot_w;
  return supply_wall_w(given, gpus_w(spec, state) + packages_w(spec, state));
}
