#include "plant/sensor.h"

#include <math.h>

#include "plant/random.h"

int64_t sensor_time_ns(const plant_model_t *model, const board_t *board, uint64_t number) {
  uint64_t bits = random_bits(board->seed, RANDOM_SENSOR_JITTER, board->gpu, number);
  double jitter = random_between(-model->sensor_jitter, model->sensor_jitter, bits);
  return board->sensor_phase_ns + (int64_t)llround(((double)number + jitter) * model->sensor_period_s * 1e9);
}

uint64_t sensor_number_at(const plant_model_t *model, const board_t *board, int64_t now_ns) {
  double periods = (double)(now_ns - board->sensor_phase_ns) / (model->sensor_period_s * 1e9);
  uint64_t number = periods > 0 ? (uint64_t)periods + 1 : 0;
  while (number > 0 && sensor_time_ns(model, board, number) > now_ns) number--;
  return number;
}

void sensor_publish(const plant_model_t *model, const board_t *board, double mean_w, double energy_j,
                    sensor_t *sensor) {
  uint64_t number = sensor->next++;
  double noise_w =
      model->sensor_noise_w * random_normal(random_bits(board->seed, RANDOM_SENSOR_NOISE, board->gpu, number));
  double read_w = fmax(0, mean_w * board->sensor_gain + board->sensor_offset_w + noise_w);
  /* The last bit alternates: two readings in a row never agree to the milliwatt, which some clients take for a stuck
   * sensor. */
  sensor->power_mw = ((uint32_t)(read_w * 1e3) & ~1u) | (uint32_t)(number & 1);
  sensor->time_ns = sensor_time_ns(model, board, number);
  sensor->energy_mj = energy_j > 0 ? (uint64_t)(energy_j * board->energy_gain * 1e3) : 0;
}
