/* What holds a GPU's clock below the one that it would run at, and for how long that has been so.
 *
 * The reasons are NVML's bits. A clock lock is none of them: who locks clocks gets what was asked for. Whatever adds a
 * reason adds it in throttle_reasons, and the times follow.
 */
#ifndef EAGENT_PLANT_THROTTLE_H
#define EAGENT_PLANT_THROTTLE_H

#include "plant/host.h"

enum plant_reason {
  PLANT_REASON_IDLE = 0x1,
  PLANT_REASON_APPLICATION_CLOCKS = 0x2,
  PLANT_REASON_POWER_CAP = 0x4,
  PLANT_REASON_HW_SLOWDOWN = 0x8,
  PLANT_REASON_SW_THERMAL = 0x20,
  PLANT_REASON_HW_THERMAL = 0x40,
};

/* Nanoseconds since the driver was loaded. */
typedef struct plant_throttle {
  int64_t power_ns;                     /* held by the power limit */
  int64_t sw_thermal_ns, hw_thermal_ns; /* by heat: slowed down; near shutdown */
  int64_t held_ns;                      /* by any of these, or by the application clocks */
  int64_t below_base_ns;                /* by power limit or heat, to less than the base clock */
} plant_throttle_t;

int plant_host_throttle(plant_host_t *host, uint32_t gpu, plant_throttle_t *throttle);

struct gpu; /* of gpu.h, which includes this */
struct spec;
/* Of what the last tick showed: bits of enum plant_reason. */
uint64_t throttle_reasons(const struct spec *spec, const struct gpu *gpu);
/* Of a GPU that is awake, in every tick in which its controllers act: what they chose stands until the next. */
void throttle_count(const struct spec *spec, struct gpu *gpu);

#endif
