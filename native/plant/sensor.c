#include "plant/sensor.h"

#include <math.h>

#include "plant/random.h"

#define MOST_MJ 0x1p63 /* what a counter of 64 bits holds surely */

int64_t sensor_time_ns(const plant_model_t *model, const board_t *board, uint64_t number) {
  uint64_t bits = random_bits(board->seed, RANDOM_SENSOR_JITTER, board->gpu, number);
  double jitter = random_between(-model->sensor_jitter, model->sensor_jitter, bits);
  return board->sensor_phase_ns + (int64_t)llround(((double)(int64_t)number + jitter) * model->sensor_period_s * 1e9);
}

uint64_t sensor_number_at(const plant_model_t *model, const board_t *board, int64_t now_ns) {
  double periods = (double)(now_ns - board->sensor_phase_ns) / (model->sensor_period_s * 1e9);
  uint64_t number = periods > 0 ? (uint64_t)periods + 1 : 0;
  while (number > 0 && sensor_time_ns(model, board, number) > now_ns) number--;
  return number;
}

uint32_t sensor_reads_mw(const plant_model_t *model, const board_t *board, double truth_w, double noise) {
  double read_w = truth_w * board->sensor_gain + board->sensor_offset_w + model->sensor_noise_w * noise;
  return (uint32_t)fmin(fmax(0, read_w) * 1e3, UINT32_MAX);
}

/* The last bit alternates: two readings in a row never agree to the milliwatt, which some clients take for a stuck
 * sensor. */
static uint32_t alternate(uint32_t power_mw, uint64_t number) {
  return (power_mw & ~1u) | (uint32_t)(number & 1);
}

void sensor_publish(const plant_model_t *model, const board_t *board, const sensed_t *truth, sensor_t *sensor) {
  uint64_t number = sensor->next++;
  double noise = random_normal(random_bits(board->seed, RANDOM_SENSOR_NOISE, board->gpu, number));
  sensor->power_mw = alternate(sensor_reads_mw(model, board, truth->mean_w, noise), number);
  sensor->time_ns = sensor_time_ns(model, board, number);
  sensor->energy_mj = (uint64_t)fmin(fmax(0, truth->energy_j) * board->energy_gain * 1e3, MOST_MJ);
  if (model->average_window_s == 0) return;
  double quieter = sqrt(fmin(1, model->sensor_window_s / model->average_window_s)); /* noise of a mean of many */
  sensor->average_mw = alternate(sensor_reads_mw(model, board, truth->average_w, noise * quieter), number);
}

void sensor_remember(sensor_past_t *past, uint64_t number, int64_t time_ns, double energy_j) {
  past->time_ns[number & (SENSOR_PAST - 1)] = time_ns;
  past->energy_j[number & (SENSOR_PAST - 1)] = energy_j;
}

double sensor_average_w(const plant_model_t *model, const sensor_past_t *past, uint64_t number) {
  const int64_t window_ns = (int64_t)(model->average_window_s * 1e9);
  uint64_t last = number & (SENSOR_PAST - 1), late = last, early = late;
  for (uint64_t i = 1; i < SENSOR_PAST; i++) {
    late = early;
    early = (number - i) & (SENSOR_PAST - 1);
    if (past->time_ns[early] <= past->time_ns[last] - window_ns) break;
  }
  double span_ns = (double)(past->time_ns[late] - past->time_ns[early]);
  if (span_ns <= 0) return 0;
  double share = (double)(past->time_ns[last] - window_ns - past->time_ns[early]) / span_ns;
  double before_j = past->energy_j[early] + (past->energy_j[late] - past->energy_j[early]) * share;
  return (past->energy_j[last] - before_j) / model->average_window_s;
}
