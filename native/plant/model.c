#include "plant/model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plant/random.h"
#include "plant/sensor.h"
#include "plant/supply.h"

static int is_share(double x) {
  return x >= 0.0 && x <= 1.0;
}
static int is_range(const double range[2], double low, double high) {
  return range[0] >= low && range[0] <= range[1] && range[1] <= high;
}

static int clocks_valid(const plant_model_t *m) {
  if (!(m->clock_step_mhz >= 0.5) || m->clock_min_mhz == 0 || m->clock_min_mhz >= m->clock_max_mhz) return 0;
  double steps = (m->clock_max_mhz - m->clock_min_mhz) / m->clock_step_mhz;
  return steps == floor(steps) && steps < CLOCK_STEPS_MAX && m->clock_idle_mhz >= m->clock_min_mhz &&
         m->clock_idle_mhz <= m->clock_max_mhz && m->clock_base_mhz >= m->clock_min_mhz &&
         m->clock_base_mhz <= m->clock_max_mhz;
}

static int power_valid(const plant_model_t *m) {
  return m->limit_min_mw > 0 && m->limit_min_mw <= m->limit_default_mw && m->limit_default_mw <= m->limit_max_mw &&
         m->limit_max_mw <= 10000000 && m->deep_idle_w >= 0 && m->base_w >= 0 && m->memory_w >= 0 &&
         m->compute_w >= 0 && m->leak_w_per_k >= 0 && is_share(m->volt_min) && m->volt_corner_mhz >= 0 &&
         m->volt_corner_mhz < m->clock_max_mhz && m->volt_exponent > 0 && m->rise_s >= 0 && m->rise_s <= 0.4;
}

static int control_valid(const plant_model_t *m) {
  return m->cap_target > 0 && m->cap_target <= 1 && m->cap_clamp >= 1 && m->cap_memory_s > TICK_S && m->cap_steps > 0 &&
         is_range(m->limit_delay_s, 0, 10) && is_range(m->clock_delay_s, 0, 10) && m->slow_c > m->inlet_c &&
         m->stop_c >= m->slow_c && m->stop_c <= 250;
}

/* The window must fit into the energies that a GPU remembers (gpu.h), the longer one, jitter and all, into the
 * publications (sensor.h), the period into the nap before deep idle. */
static int sensor_valid(const plant_model_t *m) {
  return m->sensor_period_s >= 0.01 && m->sensor_period_s <= 0.5 && m->sensor_window_s >= TICK_S &&
         m->sensor_window_s <= 0.12 && m->sensor_jitter >= 0 && m->sensor_jitter <= 0.1 &&
         is_range(m->sensor_gain, 0.5, 2) && is_range(m->sensor_offset_w, -50, 50) && m->sensor_noise_w >= 0 &&
         is_range(m->energy_gain, 0.9, 1.1) && m->average_window_s >= 0 && m->average_window_s <= 1 &&
         m->average_window_s <= (SENSOR_PAST - 2) * m->sensor_period_s &&
         (!m->plain_is_average || m->average_window_s > 0) && m->sample_period_s >= TICK_S && m->sample_period_s <= 0.5;
}

static int calls_valid(const plant_model_t *m) {
  const double reads_s[] = {m->call_power_s, m->call_clock_s, m->call_utilisation_s, m->call_memory_s, m->call_other_s};
  for (size_t i = 0; i < sizeof reads_s / sizeof reads_s[0]; i++) {
    if (!(reads_s[i] >= 0 && reads_s[i] <= 1)) return 0;
  }
  return is_range(m->call_set_s, 0, 1);
}

static int derive_heat(const plant_model_t *m, physics_t *physics) {
  double leak_loop = 0;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    if (!(m->heat_k_per_w[i] >= 0 && m->heat_s[i] >= TICK_S)) return -EINVAL;
    physics->heat_decay[i] = exp(-TICK_S / m->heat_s[i]);
    leak_loop += m->leak_w_per_k * m->heat_k_per_w[i];
  }
  return leak_loop < 0.9 ? 0 : -EINVAL; /* heat that makes more heat than it sheds would run away */
}

static void derive_clocks(const plant_model_t *m, physics_t *physics) {
  physics->steps = (uint32_t)((m->clock_max_mhz - m->clock_min_mhz) / m->clock_step_mhz) + 1;
  for (uint32_t i = 0; i < physics->steps; i++) {
    double mhz = model_clock_mhz(m, i), max = m->clock_max_mhz;
    double above = fmax(0.0, (mhz - m->volt_corner_mhz) / (max - m->volt_corner_mhz));
    double volt = m->volt_min + (1 - m->volt_min) * pow(above, m->volt_exponent);
    physics->drive[i] = mhz / max * volt * volt;
    physics->stretch[i] = max / mhz;
    physics->famine[i] = fmax(1.0, m->feed_mhz / mhz);
  }
}

/* From 10 to 90 % a first-order lag takes ln 9 of its time constants. */
static void derive_lag(const plant_model_t *m, physics_t *physics) {
  if (m->rise_s == 0) return;
  physics->lag_s = m->rise_s / log(9);
  physics->lag_end = exp(-TICK_S / physics->lag_s);
  physics->lag_mean = physics->lag_s / TICK_S * (1 - physics->lag_end);
}

/* By the formula in lab.h, solved for drive: its shape is assumed. */
static void derive_base(const plant_model_t *m, physics_t *physics) {
  double follows_w = fmax(0, m->base_w - m->deep_idle_w) / (1 - physics->drive[0]); /* drive[0] < 1: f < fmax */
  physics->still_w = m->base_w - follows_w;
  for (uint32_t i = 0; i < physics->steps; i++) physics->base_w[i] = physics->still_w + follows_w * physics->drive[i];
}

void model_derive_board(const plant_model_t *m, uint64_t seed, uint32_t gpu, board_t *board) {
  uint64_t a = random_bits(seed, RANDOM_UUID, gpu, 0), b = random_bits(seed, RANDOM_UUID, gpu, 1);
  snprintf(board->uuid, sizeof board->uuid, "GPU-%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
           (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), (unsigned)(b >> 48),
           (unsigned long long)(b & 0xffffffffffffull));
  board->gpu = gpu;
  board->seed = seed;
  const double *gain = m->sensor_gain, *offset = m->sensor_offset_w, *energy = m->energy_gain;
  board->sensor_gain = random_between(gain[0], gain[1], random_bits(seed, RANDOM_SENSOR_GAIN, gpu, 0));
  board->sensor_offset_w = random_between(offset[0], offset[1], random_bits(seed, RANDOM_SENSOR_OFFSET, gpu, 0));
  board->energy_gain = random_between(energy[0], energy[1], random_bits(seed, RANDOM_ENERGY_GAIN, gpu, 0));
  /* In the past by more than the jitter: a host has a reading from its first moment. */
  double periods = random_between(m->sensor_jitter, 1, random_bits(seed, RANDOM_SENSOR_PHASE, gpu, 0));
  board->sensor_phase_ns = -(int64_t)(m->sensor_period_s * periods * 1e9);
}

static int cpu_valid(const plant_cpu_model_t *m) {
  if (m->packages == 0) return 1;
  return m->driver <= PLANT_CPUFREQ_INTEL_PSTATE && m->powercap <= PLANT_POWERCAP_AMD &&
         m->packages <= PLANT_PACKAGES_MAX && m->cores >= 1 && m->cores <= PLANT_CPUS_MAX / m->packages &&
         m->min_khz >= CPU_PACE_MIN * m->max_khz && m->min_khz < m->max_khz && m->max_khz <= 20000000 &&
         m->idle_w >= 0 && m->core_w >= 0 && m->dram_idle_w >= 0 && m->dram_w >= 0 &&
         m->idle_w + m->core_w * m->cores <= 1e5 && m->dram_idle_w + m->dram_w <= 1e5 && is_share(m->volt_min) &&
         m->volt_corner_khz >= 0 && m->volt_corner_khz < m->max_khz && m->volt_exponent > 0 && is_share(m->epp_drop) &&
         m->threads >= 0 && m->threads <= PLANT_CPUS_MAX && m->energy_range_uj >= 1000000 &&
         m->energy_range_uj <= 1ull << 48;
}

static void derive_wiring(const plant_description_t *given, wiring_t *wiring) {
  const plant_cpu_model_t *m = &given->cpu;
  uint32_t guests[PLANT_PACKAGES_MAX] = {0}, seen[PLANT_PACKAGES_MAX] = {0};
  if (m->packages == 0) return;
  for (uint32_t gpu = 0; gpu < given->gpus; gpu++) guests[gpu * m->packages / given->gpus]++;
  for (uint32_t gpu = 0; gpu < given->gpus; gpu++) {
    uint32_t package = gpu * m->packages / given->gpus;
    uint32_t room = m->cores / guests[package]; /* 0: more GPUs than cores, which then share the first ones' */
    uint32_t first = package * m->cores + (room ? room * seen[package] : 0);
    seen[package]++;
    wiring->first_cpu[gpu] = first;
    for (uint32_t i = 0; i < room && i < m->threads; i++) {
      wiring->gpu[first + i] = (uint8_t)(gpu + 1);
      wiring->busy[first + i] = fmin(1, m->threads - i);
    }
  }
}

int model_cpu_is_sane(const spec_t *spec) {
  const plant_cpu_model_t *m = &spec->given.cpu;
  if (!cpu_valid(m)) return 0;
  for (uint32_t cpu = 0; cpu < PLANT_CPUS_MAX; cpu++) {
    if (spec->wiring.gpu[cpu] > PLANT_GPUS_MAX) return 0;
  }
  for (uint32_t gpu = 0; m->packages && gpu < PLANT_GPUS_MAX; gpu++) {
    if (spec->wiring.first_cpu[gpu] >= m->packages * m->cores) return 0;
  }
  return 1;
}

int model_derive(const plant_description_t *given, spec_t *spec) {
  const plant_model_t *m = &given->model;
  if (given->gpus < 1 || given->gpus > PLANT_GPUS_MAX) return -EINVAL;
  if (!clocks_valid(m) || !power_valid(m) || !control_valid(m) || !sensor_valid(m) || !calls_valid(m)) return -EINVAL;
  if (!cpu_valid(&given->cpu) || !supply_is_valid(&given->supply)) return -EINVAL;
  memset(spec, 0, sizeof *spec);
  spec->given = *given;
  spec->physics.cap_memory = 1 - exp(-TICK_S / m->cap_memory_s);
  derive_clocks(m, &spec->physics);
  derive_base(m, &spec->physics);
  derive_lag(m, &spec->physics);
  derive_wiring(given, &spec->wiring);
  for (uint32_t gpu = 0; gpu < given->gpus; gpu++) model_derive_board(m, given->seed, gpu, &spec->boards[gpu]);
  return derive_heat(m, &spec->physics);
}

uint32_t model_step(const plant_model_t *m, const physics_t *physics, uint32_t mhz) {
  if (mhz <= m->clock_min_mhz) return 0;
  double step =
      floor((mhz + 1 - m->clock_min_mhz) / m->clock_step_mhz); /* its clock may be cut to whole MHz: see below */
  if (model_clock_mhz(m, (uint32_t)step) > mhz) step--;
  return step < physics->steps ? (uint32_t)step : physics->steps - 1;
}

double model_step_of_drive(const physics_t *physics, double drive) {
  uint32_t low = 0, high = physics->steps - 1;
  if (drive <= physics->drive[low]) return low;
  if (drive >= physics->drive[high]) return high;
  while (high - low > 1) {
    uint32_t middle = (low + high) / 2;
    if (physics->drive[middle] <= drive) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low + (drive - physics->drive[low]) / (physics->drive[high] - physics->drive[low]);
}
