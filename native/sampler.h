/* Reads every device when it is due, and publishes what it read.
 *
 * A busy GPU's power is read each period, its clocks and utilisation four times a second, the rest once a second. One
 * on which nothing has run for a while is read once a second in all: every read takes the driver's one lock, and its
 * energy counter counts on by itself.
 */
#ifndef EAGENT_SAMPLER_H
#define EAGENT_SAMPLER_H

#include "govern.h"
#include "ring.h"

typedef struct due {
  int64_t fast_ns, clocks_ns, slow_ns; /* when each group of readings is due */
  int no_fields;                       /* the driver lacks GetFieldValues or the instant field: read the plain one */
  uint32_t quiet;                      /* readings of utilisation in a row that were 0 */
} due_t;

typedef struct sampler {
  const nvml_t *nvml;
  ring_t *ring;
  limits_t *limits; /* of all devices, the GPUs first */
  uint32_t gpus;
  int64_t period_ns;
  int virtual_time; /* times are the caller's, never the clock's */
  due_t due[LIMITS_MAX];
} sampler_t;

/* Read what is due at the monotonic time now_ns. */
void sampler_read(sampler_t *sampler, int64_t now_ns);
/* Publish whatever was read of the limits since the last time. */
void sampler_publish_limits(sampler_t *sampler, int64_t now_ns);

int64_t sampler_clock_ns(void);

#endif
