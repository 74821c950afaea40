/* A recorded truth through a board's sensor: how the sensor's model is held against measurements. */
#ifndef EAGENT_PLANT_SENSE_H
#define EAGENT_PLANT_SENSE_H

#include "plant/lab.h"

/* How one board differs from the next. */
typedef struct plant_board {
  double gain, offset_w;
  double phase_s; /* the first publication's time, jitter apart */
  uint64_t seed;  /* of jitter and noise */
} plant_board_t;

typedef struct plant_reading {
  double time_s, instant_w, average_w; /* average: 0 where the model has none */
} plant_reading_t;

/* True mean watts of steps of step_s, from time 0. Publications whose windows lie within them go to `out`. 0 or
 * -EINVAL. */
int plant_sense(const plant_model_t *model, const plant_board_t *board, const double *power_w, uint32_t steps,
                double step_s, plant_reading_t *out, uint32_t room, uint32_t *count);

#endif
