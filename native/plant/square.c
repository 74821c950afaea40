/* The square wave: busy for a part of each period, quiet for the rest. The probe with which sensors are measured. */
#include <math.h>

#include "plant/load.h"

static int is_share(double x) {
  return x >= 0 && x <= 1;
}

int square_is_valid(const plant_square_t *square) {
  return square->period_s >= 1e-3 && square->period_s <= 1e6 && is_share(square->duty) && is_share(square->compute) &&
         is_share(square->memory) && is_share(square->compute_fraction);
}

/* Busy seconds in [0, until_s) of the wave. */
static double busy_until(const plant_square_t *square, double until_s) {
  double periods = floor(until_s / square->period_s);
  double busy_s = square->duty * square->period_s;
  return periods * busy_s + least(until_s - periods * square->period_s, busy_s);
}

void square_step(const shift_t *shift, load_t *load) {
  const plant_square_t *square = &load->with.square;
  double begin_s = TICK_S * (double)(shift->tick - load->start_tick);
  double busy_s = most(0, busy_until(square, begin_s + TICK_S) - busy_until(square, begin_s));
  double share = least(1, busy_s / TICK_S);
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    load->progress.units[gpu] += busy_s * model_rate(shift->physics, shift->gpus[gpu].step, square->compute_fraction);
    shift->out[gpu] = (activity_t){square->compute * share, square->memory * share, share};
  }
}
