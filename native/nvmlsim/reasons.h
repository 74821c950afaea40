/* For how long what has held the clocks down, by the numbers of NVML's fields. */
#ifndef EAGENT_NVMLSIM_REASONS_H
#define EAGENT_NVMLSIM_REASONS_H

#include <stdbool.h>
#include <stdint.h>

#include "plant/throttle.h"

/* false for a field that is no such time. */
bool reasons_held_ns(const plant_throttle_t *throttle, uint32_t field, uint64_t *held_ns);

#endif
