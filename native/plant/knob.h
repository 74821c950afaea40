/* What a client of the driver may set beside power limit, clock lock and persistence mode: the lock of the memory
 * clock, the application clocks, and which calls are open to anyone. Forgotten with a boot.
 *
 * Setters return 0 or -errno as those of host.h do, and enter each change in the host's log.
 */
#ifndef EAGENT_PLANT_KNOB_H
#define EAGENT_PLANT_KNOB_H

#include "plant/host.h"

#define PLANT_OPEN_APPLICATION_CLOCKS 1u

typedef struct plant_knobs {
  uint32_t memory_min_mhz, memory_max_mhz; /* both 0: not locked. The memory has one clock, so a lock changes nothing */
  uint32_t application_mhz; /* no SM clock above it, as the application clocks have it; 0: they are as they came */
  uint32_t open;            /* PLANT_OPEN_*: calls that need no root */
} plant_knobs_t;

int plant_host_knobs(plant_host_t *host, uint32_t gpu, plant_knobs_t *knobs);
/* -ERANGE for a range that the memory's clock is not in; 0, 0 takes the lock off. */
int plant_host_lock_memory(plant_host_t *host, uint32_t gpu, uint32_t min_mhz, uint32_t max_mhz);
/* -ERANGE for an SM clock that is none of the GPU's; 0 for what they were at first. */
int plant_host_set_application_clock(plant_host_t *host, uint32_t gpu, uint32_t sm_mhz);
int plant_host_set_open(plant_host_t *host, uint32_t gpu, uint32_t open);

#endif
