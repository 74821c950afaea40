#include "plant/sense.h"

#include <errno.h>
#include <math.h>

#include "plant/sensor.h"

typedef struct record {
  const double *power_w;
  uint32_t steps;
  double step_s;
} record_t;

static double mean_w(const record_t *record, double from_s, double to_s) {
  double energy_j = 0;
  uint32_t first = (uint32_t)(from_s / record->step_s);
  for (uint32_t i = first; i < record->steps && i * record->step_s < to_s; i++) {
    double begin_s = fmax(from_s, i * record->step_s), end_s = fmin(to_s, (i + 1) * record->step_s);
    energy_j += record->power_w[i] * fmax(0, end_s - begin_s);
  }
  return energy_j / (to_s - from_s);
}

int plant_sense(const plant_model_t *model, const plant_board_t *given, const double *power_w, uint32_t steps,
                double step_s, plant_reading_t *out, uint32_t room, uint32_t *count) {
  plant_description_t description = {
      .gpus = 1, .model = *model, .supply = {.fan_full_w = 1, .inlet_c = model->inlet_c}};
  spec_t spec;
  int error = model_derive(&description, &spec);
  if (error || !(step_s > 0) || !isfinite(given->gain) || !isfinite(given->phase_s)) return -EINVAL;
  const record_t record = {power_w, steps, step_s};
  const board_t board = {.seed = given->seed,
                         .sensor_phase_ns = (int64_t)(given->phase_s * 1e9),
                         .sensor_gain = given->gain,
                         .sensor_offset_w = given->offset_w,
                         .energy_gain = 1};
  const double back_s = fmax(model->sensor_window_s, model->average_window_s) + SENSOR_LATENCY_NS * 1e-9;
  sensor_t sensor = {0};
  for (*count = 0; *count < room;) {
    double time_s = (double)sensor_time_ns(model, &board, sensor.next) * 1e-9;
    if (time_s > steps * step_s) break;
    if (time_s < back_s) {
      sensor.next++;
      continue;
    }
    const double read_s = time_s - SENSOR_LATENCY_NS * 1e-9;
    sensed_t truth = {.mean_w = mean_w(&record, read_s - model->sensor_window_s, read_s)};
    if (model->average_window_s > 0) truth.average_w = mean_w(&record, read_s - model->average_window_s, read_s);
    sensor_publish(model, &board, &truth, &sensor);
    out[(*count)++] = (plant_reading_t){time_s, sensor.power_mw * 1e-3, sensor.average_mw * 1e-3};
  }
  return 0;
}
