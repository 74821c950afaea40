/* The on-board power sensor: truth, averaged over a window, published now and then, through one board's gain and
 * offset. Some boards publish a longer average beside it.
 *
 * The n-th publication's time, gain and noise are functions of n, so a sleeping GPU's sensor needs no stepping.
 */
#ifndef EAGENT_PLANT_SENSOR_H
#define EAGENT_PLANT_SENSOR_H

#include "plant/model.h"

/* What is published is as of this long before (assumed: no client can measure it). */
#define SENSOR_LATENCY_NS TICK_NS
#define SENSOR_PAST       16u /* publications that the longer average may reach back over; a power of two */

typedef struct sensor {
  uint64_t next;   /* the number of the next publication */
  int64_t time_ns; /* of the last one */
  uint64_t energy_mj;
  uint32_t power_mw, average_mw;
} sensor_t;

/* The truth that a publication is of. */
typedef struct sensed {
  double mean_w, average_w; /* over the sensor's window, over the longer one */
  double energy_j;          /* since the driver's counter began */
} sensed_t;

/* True energy at the last publications, by their number. */
typedef struct sensor_past {
  int64_t time_ns[SENSOR_PAST];
  double energy_j[SENSOR_PAST];
} sensor_past_t;

/* A number below 0, wrapped, is one before the host was made. */
int64_t sensor_time_ns(const plant_model_t *model, const board_t *board, uint64_t number);
/* Not before: cheap, for the many times that nothing is due. */
static inline int64_t sensor_earliest_ns(const plant_model_t *model, const board_t *board, uint64_t number) {
  return board->sensor_phase_ns + (int64_t)(((double)number - model->sensor_jitter) * model->sensor_period_s * 1e9) - 1;
}
/* The number of the last publication at or before now. */
uint64_t sensor_number_at(const plant_model_t *model, const board_t *board, int64_t now_ns);
/* Publish number `sensor->next`. */
void sensor_publish(const plant_model_t *model, const board_t *board, const sensed_t *truth, sensor_t *sensor);
/* What the sensor makes of true watts, in mW; `noise` is nearly normal, of deviation 1. */
uint32_t sensor_reads_mw(const plant_model_t *model, const board_t *board, double truth_w, double noise);

void sensor_remember(sensor_past_t *past, uint64_t number, int64_t time_ns, double energy_j);
/* Mean watts over the longer window that ends with publication `number`, which is remembered. */
double sensor_average_w(const plant_model_t *model, const sensor_past_t *past, uint64_t number);

#endif
