#include "plant/gpu.h"

#include <math.h>
#include <string.h>

/* What it draws asleep. */
static double idle_w(const spec_t *spec, const gpu_t *gpu) {
  return gpu->dark ? 0 : spec->given.model.deep_idle_w;
}

static void draw_steadily(gpu_t *gpu, double power_w) {
  gpu->power_w = gpu->edge_w = gpu->goal_w = gpu->end_w = power_w;
}

void gpu_init(const spec_t *spec, gpu_t *gpu) {
  const plant_model_t *model = &spec->given.model;
  memset(gpu, 0, sizeof *gpu);
  gpu->asleep = 1;
  gpu->persistence = 1; /* as the driver's persistence daemon leaves it */
  gpu->limit_mw = gpu->limit_acting_mw = model->limit_default_mw;
  gpu->wanted_step = model_top_step(&spec->physics);
  draw_steadily(gpu, model->deep_idle_w);
  heat_settle(spec, &gpu->heat, model->deep_idle_w);
}

double gpu_energy_j(const spec_t *spec, const gpu_t *gpu, int64_t tick) {
  if (!gpu->asleep) return gpu->energy_j;
  return gpu->energy_j + idle_w(spec, gpu) * (TICK_S * (double)(tick - gpu->asleep_since));
}

static heat_t heat_at(const spec_t *spec, const gpu_t *gpu, int64_t tick) {
  heat_t heat = gpu->heat;
  if (gpu->asleep) heat_pass(spec, &heat, idle_w(spec, gpu), (double)(tick - gpu->asleep_since));
  return heat;
}

double gpu_temperature_c(const spec_t *spec, const gpu_t *gpu, int64_t tick) {
  heat_t heat = heat_at(spec, gpu, tick);
  return heat_c(spec, &heat);
}

static double energy_back_j(const gpu_t *gpu, int64_t time_ns) {
  int64_t tick = time_ns / TICK_NS; /* the window may begin before the host did: round down */
  if (time_ns < tick * TICK_NS) tick--;
  double share = (double)(time_ns - tick * TICK_NS) / TICK_NS;
  double low = gpu->energies_j[tick & (ENERGIES - 1)], high = gpu->energies_j[(tick + 1) & (ENERGIES - 1)];
  return low + (high - low) * share;
}

/* Publish what is due within the tick that begins. A publication is of SENSOR_LATENCY_NS before its moment: that is
 * known when its tick begins, so it can be seen from its moment on. */
static void publish_due(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t now_ns, sensor_t *sensor,
                        sensor_past_t *past) {
  const plant_model_t *model = &spec->given.model;
  uint64_t number = sensor->next;
  if (now_ns < sensor_earliest_ns(model, board, number)) return;
  int64_t due_ns = sensor_time_ns(model, board, number);
  if (due_ns > now_ns) return;
  double energy_j = energy_back_j(gpu, due_ns - SENSOR_LATENCY_NS);
  double before_j = energy_back_j(gpu, due_ns - SENSOR_LATENCY_NS - (int64_t)(model->sensor_window_s * 1e9));
  sensed_t truth = {.mean_w = (energy_j - before_j) / model->sensor_window_s,
                    .energy_j = energy_j - gpu->counted_from_j};
  if (model->average_window_s > 0) {
    sensor_remember(past, number, due_ns, energy_j);
    truth.average_w = sensor_average_w(model, past, number);
  }
  sensor_publish(model, board, &truth, sensor);
}

static void read_idle_sensor(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t now_ns,
                             sensor_t *sensor) {
  const plant_model_t *model = &spec->given.model;
  uint64_t number = sensor_number_at(model, board, now_ns);
  if (number + 1 == gpu->sensor.next) return; /* published before it fell asleep */
  sensor->next = number;
  int64_t read_ns = sensor_time_ns(model, board, sensor->next) - SENSOR_LATENCY_NS;
  double since_s = (double)(read_ns - gpu->asleep_since * TICK_NS) * 1e-9;
  double energy_j = gpu->energy_j - gpu->counted_from_j + idle_w(spec, gpu) * since_s;
  sensed_t truth = {.mean_w = idle_w(spec, gpu), .average_w = idle_w(spec, gpu), .energy_j = energy_j};
  sensor_publish(model, board, &truth, sensor);
}

void gpu_read_sensor(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t now_ns, sensor_t *sensor) {
  *sensor = gpu->sensor;
  if (gpu->asleep) {
    read_idle_sensor(spec, board, gpu, now_ns, sensor);
    return;
  }
  sensor_past_t past = gpu->past;
  publish_due(spec, board, gpu, now_ns, sensor, &past);
}

void gpu_off(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  gpu_t fresh;
  gpu_init(spec, &fresh);
  fresh.energy_j = gpu_energy_j(spec, gpu, tick);
  fresh.row_energy_j = gpu->row_energy_j;
  fresh.counted_from_j = fresh.energy_j;
  fresh.heat = heat_at(spec, gpu, tick);
  fresh.writes = gpu->writes; /* the next setting's delay is another one, also after a boot */
  fresh.persistence = 0;
  fresh.outside_mw = gpu->outside_mw;
  draw_steadily(&fresh, 0);
  fresh.dark = 1;
  fresh.asleep_since = tick;
  *gpu = fresh;
}

void gpu_on(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  gpu->heat = heat_at(spec, gpu, tick);
  gpu->asleep_since = tick;
  gpu->dark = 0;
  draw_steadily(gpu, spec->given.model.deep_idle_w);
}

uint32_t gpu_enforced_mw(const gpu_t *gpu) {
  return gpu->outside_mw && gpu->outside_mw < gpu->limit_mw ? gpu->outside_mw : gpu->limit_mw;
}

/* What the sensor's longer average reaches back over. */
static void remember_idle(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick, double energy_j) {
  const plant_model_t *model = &spec->given.model;
  for (uint64_t i = 1; i <= SENSOR_PAST; i++) { /* also before the host was made: numbers below 0 */
    uint64_t number = gpu->sensor.next - i;
    int64_t time_ns = sensor_time_ns(model, board, number);
    double back_s = (double)(tick * TICK_NS - time_ns) * 1e-9;
    sensor_remember(&gpu->past, number, time_ns, energy_j - idle_w(spec, gpu) * back_s);
  }
}

static void wake(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick) {
  gpu_read_sensor(spec, board, gpu, tick * TICK_NS, &gpu->sensor);
  double energy_j = gpu_energy_j(spec, gpu, tick);
  remember_idle(spec, board, gpu, tick, energy_j);
  gpu->heat = heat_at(spec, gpu, tick);
  for (uint32_t i = 0; i < ENERGIES; i++)
    gpu->energies_j[(tick - i) & (ENERGIES - 1)] = energy_j - idle_w(spec, gpu) * TICK_S * i;
  gpu->energy_j = energy_j;
  draw_steadily(gpu, idle_w(spec, gpu));
  cap_forget(spec, &gpu->cap);
  gpu->busy_s = gpu->memory_s = gpu->busy_share = gpu->memory_share = 0;
  memset(gpu->busy, 0, sizeof gpu->busy);
  memset(gpu->memory, 0, sizeof gpu->memory);
  gpu->quiet_ticks = 0;
  gpu->asleep = 0;
}

void gpu_occupy(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick) {
  if (gpu->asleep) wake(spec, board, gpu, tick);
  gpu->resident = 1;
  gpu->step = model_top_step(&spec->physics);
  gpu->heat.ceiling = gpu->step; /* what it was when the last process went says nothing of the heat that is left */
}

/* By the lower of clock lock and application clocks. */
static uint32_t wanted_step(const spec_t *spec, const gpu_t *gpu) {
  uint32_t mhz = gpu->lock_max_mhz, application_mhz = gpu->knobs.application_mhz;
  if (application_mhz && (mhz == 0 || application_mhz < mhz)) mhz = application_mhz;
  return mhz ? model_step(&spec->given.model, &spec->physics, mhz) : model_top_step(&spec->physics);
}

void gpu_obey(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  if (tick >= gpu->limit_from_tick) gpu->limit_acting_mw = gpu->limit_mw;
  if (gpu->outside_mw && gpu->outside_mw < gpu->limit_acting_mw) gpu->limit_acting_mw = gpu->outside_mw;
  if (tick >= gpu->lock_from_tick) gpu->wanted_step = wanted_step(spec, gpu);
}

void gpu_begin(const spec_t *spec, gpu_t *gpu, int64_t tick) {
  const plant_model_t *model = &spec->given.model;
  gpu_obey(spec, gpu, tick);
  if (!gpu->resident) {
    gpu->step = model_step(model, &spec->physics, model->clock_idle_mhz);
    cap_forget(spec, &gpu->cap);
    return;
  }
  if (tick % CONTROL_TICKS == 0) {
    heat_control(spec, &gpu->heat, gpu->step);
    gpu->step = cap_choose(&gpu->cap);
  }
  double allowed = least(gpu->wanted_step, least(gpu->cap.clamp, gpu->heat.ceiling));
  if (gpu->step > allowed) gpu->step = (uint32_t)allowed;
}

int gpu_is_capped(const gpu_t *gpu) {
  return gpu->resident && least(gpu->cap.ceiling, gpu->cap.clamp) < gpu->wanted_step;
}

int gpu_is_slowed(const gpu_t *gpu) {
  return gpu->resident && gpu->heat.ceiling < gpu->wanted_step;
}

static void count_use(gpu_t *gpu, int64_t tick, double busy, double memory) {
  gpu->busy_s += busy * TICK_S;
  gpu->memory_s += memory * TICK_S;
  if ((tick + 1) % ROW_TICKS) return;
  uint32_t bucket = (uint32_t)(tick / ROW_TICKS % BUCKETS);
  gpu->busy[bucket] = (float)gpu->busy_s;
  gpu->memory[bucket] = (float)gpu->memory_s;
  gpu->busy_s = gpu->memory_s = 0;
  gpu->busy_share = gpu->memory_share = 0;
  for (uint32_t i = 0; i < BUCKETS; i++) {
    gpu->busy_share += gpu->busy[i];
    gpu->memory_share += gpu->memory[i];
  }
}

/* What it would draw if the load went on like this. */
static double goal_w(const spec_t *spec, const gpu_t *gpu, double compute, double memory) {
  const plant_model_t *model = &spec->given.model;
  if (!gpu->resident) return model->deep_idle_w;
  double leak_w = model->leak_w_per_k * (heat_c(spec, &gpu->heat) - model->leak_reference_c);
  return spec->physics.base_w[gpu->step] + model->memory_w * memory +
         model->compute_w * compute * spec->physics.drive[gpu->step] + leak_w;
}

/* Regulators and clocks take their time: power nears its goal as a first-order lag. */
static void draw(const spec_t *spec, gpu_t *gpu, double goal) {
  gpu->edge_w = gpu->end_w;
  gpu->goal_w = goal;
  gpu->power_w = goal + (gpu->edge_w - goal) * spec->physics.lag_mean;
  gpu->end_w = goal + (gpu->edge_w - goal) * spec->physics.lag_end;
  gpu->energy_j += gpu->power_w * TICK_S;
}

double gpu_power_w(const spec_t *spec, const gpu_t *gpu, double into_s) {
  if (gpu->asleep) return idle_w(spec, gpu);
  if (spec->physics.lag_s == 0) return gpu->goal_w;
  return gpu->goal_w + (gpu->edge_w - gpu->goal_w) * exp(-into_s / spec->physics.lag_s);
}

void gpu_finish(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick, const activity_t *activity) {
  double memory = activity->memory / spec->physics.famine[gpu->step];
  publish_due(spec, board, gpu, (tick + 1) * TICK_NS, &gpu->sensor, &gpu->past);
  draw(spec, gpu, goal_w(spec, gpu, activity->compute, memory));
  gpu->energies_j[(tick + 1) & (ENERGIES - 1)] = gpu->energy_j;
  heat_tick(spec, &gpu->heat, gpu->power_w);
  if (gpu->resident) {
    cap_seen_t seen = {gpu->limit_acting_mw * 1e-3, gpu->power_w, gpu->end_w, memory, gpu->step};
    cap_control(spec, &gpu->cap, tick, &seen);
  }
  count_use(gpu, tick, activity->busy, memory);
  gpu->quiet_ticks = gpu->resident ? 0 : gpu->quiet_ticks + 1;
  if (gpu->quiet_ticks >= SLEEP_TICKS) {
    gpu->asleep = 1;
    gpu->asleep_since = tick + 1;
  }
}

void gpu_utilisation(const gpu_t *gpu, double *busy, double *memory) {
  *busy = gpu->asleep ? 0 : gpu->busy_share;
  *memory = gpu->asleep ? 0 : gpu->memory_share;
}
