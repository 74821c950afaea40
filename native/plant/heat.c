#include "plant/heat.h"

#include <math.h>

#define HOTTEST_K 1e6 /* more than any load makes of any board that lives */

void heat_settle(const spec_t *spec, heat_t *heat, double power_w) {
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) heat->stage_k[i] = power_w * spec->given.model.heat_k_per_w[i];
  heat->ceiling = model_top_step(&spec->physics);
}

void heat_pass(const spec_t *spec, heat_t *heat, double power_w, double ticks) {
  const plant_model_t *model = &spec->given.model;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    double rest_k = power_w * model->heat_k_per_w[i];
    heat->stage_k[i] = rest_k + (heat->stage_k[i] - rest_k) * exp(-TICK_S * ticks / model->heat_s[i]);
  }
}

void heat_tick(const spec_t *spec, heat_t *heat, double power_w) {
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    double rest_k = power_w * spec->given.model.heat_k_per_w[i];
    heat->stage_k[i] = rest_k + (heat->stage_k[i] - rest_k) * spec->physics.heat_decay[i];
  }
}

double heat_c(const spec_t *spec, const heat_t *heat) {
  double celsius = spec->given.supply.inlet_c;
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) celsius += heat->stage_k[i];
  return celsius;
}

void heat_control(const spec_t *spec, heat_t *heat, uint32_t step) {
  const plant_model_t *model = &spec->given.model;
  double celsius = heat_c(spec, heat), top = model_top_step(&spec->physics);
  if (celsius >= model->stop_c) {
    heat->ceiling = 0;
  } else if (celsius > model->slow_c) {
    heat->ceiling = most(0, least(heat->ceiling, step) - 1);
  } else if (heat->ceiling < top) {
    heat->ceiling += 1;
  }
}

int heat_is_sane(const heat_t *heat) {
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    if (!(fabs(heat->stage_k[i]) <= HOTTEST_K)) return 0;
  }
  return heat->ceiling >= 0 && heat->ceiling <= CLOCK_STEPS_MAX;
}
