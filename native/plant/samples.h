/* The driver's sample buffer: what a GPU drew and did, more often than its sensor publishes it.
 *
 * A sample's number follows from its time, and its place from its number, so writing one twice does no harm. Nor do
 * those of a process that dies before it publishes: they are too few to come round to the places that are shown. While
 * a GPU sleeps none is written: they are all alike, and those that are still shown when it wakes are written then.
 */
#ifndef EAGENT_PLANT_SAMPLES_H
#define EAGENT_PLANT_SAMPLES_H

#include "plant/gpu.h"

#define SAMPLES_PLACES 4096u /* a power of two: more than are shown and written between two publications together */

typedef struct sample {
  uint32_t power_mw;
  uint16_t clock_mhz;
  uint8_t busy_pct, memory_pct;
} sample_t;

/* Of each GPU. */
typedef struct samples {
  sample_t places[SAMPLES_PLACES];
} samples_t;

/* At the end of an awake GPU's tick, which did `activity`. */
void samples_take(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t tick, const activity_t *activity,
                  samples_t *samples);
/* At the beginning of the tick in which a sleeping GPU wakes. */
void samples_wake(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t tick, samples_t *samples);

#endif
