#include "plant/gpu.h"

#include <math.h>
#include <string.h>

#define CONTROL_TICKS 4 /* the slow controller acts every 20 ms */

/* What it draws asleep. */
static double idle_w(const spec_t *spec, const gpu_t *gpu) {
  return gpu->dark ? 0 : spec->given.model.deep_idle_w;
}

static uint32_t top_step(const spec_t *spec) {
  return spec->physics.steps - 1;
}

void gpu_init(const spec_t *spec, gpu_t *gpu) {
  const plant_model_t *model = &spec->given.model;
  memset(gpu, 0, sizeof *gpu);
  gpu->asleep = 1;
  gpu->persistence = 1; /* as the driver's persistence daemon leaves it */
  gpu->limit_mw = gpu->limit_acting_mw = model->limit_default_mw;
  gpu->wanted_step = top_step(spec);
  gpu->power_w = model->deep_idle_w;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) gpu->heat_k[i] = model->deep_idle_w * model->heat_k_per_w[i];
}

double gpu_energy_j(const spec_t *spec, const gpu_t *gpu, int64_t tick) {
  if (!gpu->asleep) return gpu->energy_j;
  return gpu->energy_j + idle_w(spec, gpu) * (TICK_S * (double)(tick - gpu->asleep_since));
}

static double heat_at(const spec_t *spec, const gpu_t *gpu, uint32_t stage, int64_t tick) {
  if (!gpu->asleep) return gpu->heat_k[stage];
  const plant_model_t *model = &spec->given.model;
  double rest = idle_w(spec, gpu) * model->heat_k_per_w[stage];
  return rest + (gpu->heat_k[stage] - rest) * exp(-TICK_S * (double)(tick - gpu->asleep_since) / model->heat_s[stage]);
}

double gpu_temperature_c(const spec_t *spec, const gpu_t *gpu, int64_t tick) {
  double celsius = spec->given.model.inlet_c;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) celsius += heat_at(spec, gpu, i, tick);
  return celsius;
}

void gpu_read_sensor(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t tick, sensor_t *sensor) {
  *sensor = gpu->sensor;
  if (!gpu->asleep) return;
  const plant_model_t *model = &spec->given.model;
  uint64_t number = sensor_number_at(model, board, tick * TICK_NS);
  if (number + 1 == gpu->sensor.next) return; /* published before it fell asleep */
  sensor->next = number;
  double since_s = (double)(sensor_time_ns(model, board, sensor->next) - gpu->asleep_since * TICK_NS) * 1e-9;
  double energy_j = gpu->energy_j - gpu->counted_from_j + idle_w(spec, gpu) * since_s;
  sensor_publish(model, board, idle_w(spec, gpu), energy_j, sensor);
}

void gpu_off(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  gpu_t fresh;
  gpu_init(spec, &fresh);
  fresh.energy_j = gpu_energy_j(spec, gpu, tick);
  fresh.row_energy_j = gpu->row_energy_j;
  fresh.counted_from_j = fresh.energy_j;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) fresh.heat_k[i] = heat_at(spec, gpu, i, tick);
  fresh.writes = gpu->writes; /* the next setting's delay is another one, also after a boot */
  fresh.persistence = 0;
  fresh.power_w = 0;
  fresh.dark = 1;
  fresh.asleep_since = tick;
  *gpu = fresh;
}

void gpu_on(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) gpu->heat_k[i] = heat_at(spec, gpu, i, tick);
  gpu->asleep_since = tick;
  gpu->dark = 0;
  gpu->power_w = spec->given.model.deep_idle_w;
}

static void cap_forget(const spec_t *spec, cap_t *cap) {
  *cap = (cap_t){.ceiling = top_step(spec), .clamp = top_step(spec)};
}

static void wake(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick) {
  gpu_read_sensor(spec, board, gpu, tick, &gpu->sensor);
  double energy_j = gpu_energy_j(spec, gpu, tick);
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) gpu->heat_k[i] = heat_at(spec, gpu, i, tick);
  for (uint32_t i = 0; i < ENERGIES; i++)
    gpu->energies_j[(tick - i) & (ENERGIES - 1)] = energy_j - idle_w(spec, gpu) * TICK_S * i;
  gpu->energy_j = energy_j;
  cap_forget(spec, &gpu->cap);
  gpu->busy_s = gpu->memory_s = 0;
  memset(gpu->busy, 0, sizeof gpu->busy);
  memset(gpu->memory, 0, sizeof gpu->memory);
  gpu->quiet_ticks = 0;
  gpu->asleep = 0;
}

void gpu_occupy(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick) {
  if (gpu->asleep) wake(spec, board, gpu, tick);
  gpu->resident = 1;
  gpu->step = top_step(spec);
}

/* The lower of what clock lock and application clocks allow. */
static uint32_t wanted_mhz(const plant_model_t *model, const gpu_t *gpu) {
  uint32_t lock_mhz = gpu->lock_max_mhz ? gpu->lock_max_mhz : model->clock_max_mhz;
  uint32_t application_mhz = gpu->knobs.application_mhz ? gpu->knobs.application_mhz : model->clock_max_mhz;
  return lock_mhz < application_mhz ? lock_mhz : application_mhz;
}

void gpu_begin(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  const plant_model_t *model = &spec->given.model;
  if (tick >= gpu->limit_from_tick) gpu->limit_acting_mw = gpu->limit_mw;
  if (tick >= gpu->lock_from_tick) {
    gpu->wanted_step = model_step(model, &spec->physics, wanted_mhz(model, gpu));
  }
  if (!gpu->resident) {
    gpu->step = model_step(model, &spec->physics, model->clock_idle_mhz);
    cap_forget(spec, &gpu->cap);
    return;
  }
  if (tick % CONTROL_TICKS == 0) { /* choose between the ceiling's neighbours so that their mean is the ceiling */
    double exact = gpu->cap.ceiling + gpu->cap.carry;
    gpu->step = (uint32_t)fmax(0, floor(exact));
    gpu->cap.carry = exact - gpu->step;
  }
  double allowed = fmin(gpu->wanted_step, gpu->cap.clamp);
  if (gpu->step > allowed) gpu->step = (uint32_t)allowed;
}

int gpu_is_capped(const gpu_t *gpu) {
  return gpu->resident && fmin(gpu->cap.ceiling, gpu->cap.clamp) < gpu->wanted_step;
}

/* The clock step at which the whole board draws power_w. */
static double fitting_step(const spec_t *spec, double power_w, double other_w, double drive_w) {
  double room_w = fmax(0, power_w - other_w);
  if (drive_w <= room_w) return top_step(spec);
  return model_step_of_drive(&spec->physics, room_w / drive_w);
}

/* The board measures core and memory rails apart, so the controller knows what part of the power follows the clock, and
 * its idea of the load hardly depends on the clock it has chosen. It can therefore go straight to the clock that fits,
 * and needs no integrator over a one-second mean, which would swing. */
static void cap_control(const spec_t *spec, gpu_t *gpu, int64_t tick, double memory) {
  const plant_model_t *model = &spec->given.model;
  cap_t *cap = &gpu->cap;
  double limit_w = gpu->limit_acting_mw * 1e-3;
  double other_w = spec->physics.still_w + model->memory_w * memory;
  double drive_w = fmax(0, gpu->power_w - other_w) / spec->physics.drive[gpu->step];
  cap->drive_w += (drive_w - cap->drive_w) * spec->physics.cap_memory;
  cap->other_w += (other_w - cap->other_w) * spec->physics.cap_memory;
  if (tick % CONTROL_TICKS == CONTROL_TICKS - 1) {
    double want = fitting_step(spec, limit_w * model->cap_target, cap->other_w, cap->drive_w);
    double move = fmax(-(double)model->cap_steps, fmin(want - cap->ceiling, model->cap_steps));
    cap->ceiling = fmin(cap->ceiling + move, top_step(spec));
  }
  if (gpu->power_w > limit_w * model->cap_clamp) {
    cap->clamp = floor(fitting_step(spec, limit_w * model->cap_clamp, other_w, drive_w));
    cap->ceiling = fmin(cap->ceiling, cap->clamp); /* go on from here: the way down from the top would take too long */
  } else if (cap->clamp < top_step(spec)) {
    cap->clamp += 1;
  }
}

static double energy_back_j(const gpu_t *gpu, int64_t time_ns) {
  int64_t tick = time_ns / TICK_NS; /* the window may begin before the host did: round down */
  if (time_ns < tick * TICK_NS) tick--;
  double share = (double)(time_ns - tick * TICK_NS) / TICK_NS;
  double low = gpu->energies_j[tick & (ENERGIES - 1)], high = gpu->energies_j[(tick + 1) & (ENERGIES - 1)];
  return low + (high - low) * share;
}

static void publish_due(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t now_ns) {
  const plant_model_t *model = &spec->given.model;
  int64_t due_ns = sensor_time_ns(model, board, gpu->sensor.next);
  if (due_ns > now_ns) return;
  double energy_j = energy_back_j(gpu, due_ns);
  double before_j = energy_back_j(gpu, due_ns - (int64_t)(model->sensor_window_s * 1e9));
  double mean_w = (energy_j - before_j) / model->sensor_window_s;
  sensor_publish(model, board, mean_w, energy_j - gpu->counted_from_j, &gpu->sensor);
}

static void count_use(gpu_t *gpu, int64_t tick, double busy, double memory) {
  gpu->busy_s += busy * TICK_S;
  gpu->memory_s += memory * TICK_S;
  if ((tick + 1) % ROW_TICKS) return;
  uint32_t bucket = (uint32_t)(tick / ROW_TICKS % BUCKETS);
  gpu->busy[bucket] = (float)gpu->busy_s;
  gpu->memory[bucket] = (float)gpu->memory_s;
  gpu->busy_s = gpu->memory_s = 0;
}

static double power_w(const spec_t *spec, const gpu_t *gpu, double compute, double memory) {
  const plant_model_t *model = &spec->given.model;
  if (!gpu->resident) return model->deep_idle_w;
  double leak_w = model->leak_w_per_k * (gpu_temperature_c(spec, gpu, 0) - model->leak_reference_c);
  return spec->physics.base_w[gpu->step] + model->memory_w * memory +
         model->compute_w * compute * spec->physics.drive[gpu->step] + leak_w;
}

void gpu_finish(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick, const activity_t *activity) {
  const plant_model_t *model = &spec->given.model;
  double memory = activity->memory / spec->physics.famine[gpu->step];
  gpu->power_w = power_w(spec, gpu, activity->compute, memory);
  gpu->energy_j += gpu->power_w * TICK_S;
  gpu->energies_j[(tick + 1) & (ENERGIES - 1)] = gpu->energy_j;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    double rest = gpu->power_w * model->heat_k_per_w[i];
    gpu->heat_k[i] = rest + (gpu->heat_k[i] - rest) * spec->physics.heat_decay[i];
  }
  if (gpu->resident) cap_control(spec, gpu, tick, memory);
  count_use(gpu, tick, activity->busy, memory);
  publish_due(spec, board, gpu, (tick + 1) * TICK_NS);
  gpu->quiet_ticks = gpu->resident ? 0 : gpu->quiet_ticks + 1;
  if (gpu->quiet_ticks >= SLEEP_TICKS) {
    gpu->asleep = 1;
    gpu->asleep_since = tick + 1;
  }
}

void gpu_utilisation(const gpu_t *gpu, double *busy, double *memory) {
  *busy = *memory = 0;
  if (gpu->asleep) return;
  for (uint32_t i = 0; i < BUCKETS; i++) {
    *busy += gpu->busy[i];
    *memory += gpu->memory[i];
  }
}
