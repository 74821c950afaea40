/* The software power cap: it estimates what the load draws and sets the clock that fits the limit.
 *
 * The board measures core and memory rails apart, so the controller knows what part of the power follows the clock, and
 * its idea of the load hardly depends on the clock it has chosen. It can therefore go straight to the clock that fits,
 * and needs no integrator over a one-second mean, which would swing.
 */
#ifndef EAGENT_PLANT_CAP_H
#define EAGENT_PLANT_CAP_H

#include "plant/model.h"

#define CONTROL_TICKS 4 /* it acts every 20 ms */

typedef struct cap {
  double drive_w; /* what follows the clock, as it would be at full drive, averaged over the controller's memory */
  double other_w; /* what does not, averaged likewise */
  double ceiling; /* clock step, fractional: the clock alternates between neighbours to hold the mean */
  double carry;
  double clamp; /* clock step that the fast clamp allows */
} cap_t;

/* What it measured in one tick. */
typedef struct cap_seen {
  double limit_w, power_w; /* its mean ... */
  double end_w;            /* ... and at its end */
  double memory;           /* activity, 0 to 1 */
  uint32_t step;           /* the clock */
} cap_seen_t;

void cap_forget(const spec_t *spec, cap_t *cap);
/* The clock step for the next 20 ms: between the ceiling's neighbours, so that their mean is the ceiling. */
uint32_t cap_choose(cap_t *cap);
void cap_control(const spec_t *spec, cap_t *cap, int64_t tick, const cap_seen_t *seen);
int cap_is_sane(const cap_t *cap);

#endif
