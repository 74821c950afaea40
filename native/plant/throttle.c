#include "plant/throttle.h"

#include <errno.h>

#include "plant/session.h"

#define HELD_NS (CONTROL_TICKS * TICK_NS)

/* The application clocks, and nothing lower. */
static int application_holds(const plant_model_t *model, const gpu_t *gpu) {
  uint32_t limit_mhz = gpu->knobs.application_mhz, lock_mhz = gpu->lock_max_mhz;
  return limit_mhz && limit_mhz < model->clock_max_mhz && (lock_mhz == 0 || limit_mhz < lock_mhz) &&
         model_clock_mhz(model, gpu->step) == limit_mhz;
}

/* Clocks that fall with the temperature are the driver's doing, at the highest it is the board's. */
static uint64_t thermal_reasons(const spec_t *spec, const gpu_t *gpu) {
  int is_near_stop = heat_c(spec, &gpu->heat) >= spec->given.model.stop_c;
  return is_near_stop ? PLANT_REASON_HW_SLOWDOWN | PLANT_REASON_HW_THERMAL : PLANT_REASON_SW_THERMAL;
}

uint64_t throttle_reasons(const spec_t *spec, const gpu_t *gpu) {
  if (!gpu->resident) return PLANT_REASON_IDLE;
  uint64_t reasons = 0;
  if (gpu_is_capped(gpu)) reasons |= PLANT_REASON_POWER_CAP;
  if (gpu_is_slowed(gpu)) reasons |= thermal_reasons(spec, gpu);
  if (application_holds(&spec->given.model, gpu)) reasons |= PLANT_REASON_APPLICATION_CLOCKS;
  return reasons;
}

void throttle_count(const spec_t *spec, gpu_t *gpu) {
  const plant_model_t *model = &spec->given.model;
  plant_throttle_t *throttle = &gpu->throttle;
  const uint64_t thermal = PLANT_REASON_SW_THERMAL | PLANT_REASON_HW_THERMAL;
  uint64_t reasons = throttle_reasons(spec, gpu);
  if (reasons == 0 || reasons == PLANT_REASON_IDLE) return;
  throttle->held_ns += HELD_NS;
  if (reasons & PLANT_REASON_POWER_CAP) throttle->power_ns += HELD_NS;
  if (reasons & PLANT_REASON_SW_THERMAL) throttle->sw_thermal_ns += HELD_NS;
  if (reasons & PLANT_REASON_HW_THERMAL) throttle->hw_thermal_ns += HELD_NS;
  int is_forced = (reasons & (PLANT_REASON_POWER_CAP | thermal)) != 0;
  if (is_forced && model_clock_mhz(model, gpu->step) < model->clock_base_mhz) throttle->below_base_ns += HELD_NS;
}

int plant_host_throttle(plant_host_t *host, uint32_t index, plant_throttle_t *throttle) {
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  *throttle = session.state->gpus[index].throttle;
  return session_end(&session, 0);
}
