/* The on-board power sensor: truth, averaged over a window, published now and then, through one board's gain and
 * offset.
 *
 * The n-th publication's time, gain and noise are functions of n, so a sleeping GPU's sensor needs no stepping.
 */
#ifndef EAGENT_PLANT_SENSOR_H
#define EAGENT_PLANT_SENSOR_H

#include "plant/model.h"

typedef struct sensor {
  uint64_t next;   /* the number of the next publication */
  int64_t time_ns; /* of the last one */
  uint64_t energy_mj;
  uint32_t power_mw, reserved;
} sensor_t;

int64_t sensor_time_ns(const plant_model_t *model, const board_t *board, uint64_t number);
/* The number of the last publication at or before now. */
uint64_t sensor_number_at(const plant_model_t *model, const board_t *board, int64_t now_ns);
/* Publish number `sensor->next`, given the mean over the window that ends there and the energy up to there. */
void sensor_publish(const plant_model_t *model, const board_t *board, double mean_w, double energy_j, sensor_t *sensor);

#endif
