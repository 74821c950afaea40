/* A board's heat: a Foster chain over the inlet air, and the clocks that fall when it is too hot. */
#ifndef EAGENT_PLANT_HEAT_H
#define EAGENT_PLANT_HEAT_H

#include "plant/model.h"

typedef struct heat {
  double stage_k[PLANT_HEAT_STAGES]; /* above the inlet */
  double ceiling;                    /* clock step that it leaves */
} heat_t;

/* As warm as power_w for ever makes it. */
void heat_settle(const spec_t *spec, heat_t *heat, double power_w);
/* After `ticks` more at power_w. */
void heat_pass(const spec_t *spec, heat_t *heat, double power_w, double ticks);
void heat_tick(const spec_t *spec, heat_t *heat, double power_w);
double heat_c(const spec_t *spec, const heat_t *heat);
/* Every 20 ms: a clock step down while it is hotter than slow_c, up again while not; to the lowest at stop_c. */
void heat_control(const spec_t *spec, heat_t *heat, uint32_t step);
int heat_is_sane(const heat_t *heat);

#endif
