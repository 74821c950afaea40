/* Reads every device when it is due, and publishes what it read.
 *
 * A busy GPU's power is read once for each of its sensor's publications, its clocks and utilisation four times a
 * second, the rest once a second. One that no process holds and on which nothing has run for a while is read once a
 * second in all: every read takes the driver's one lock, and its energy counter counts on by itself. Where the driver
 * is so slow that this would take more of its time than reading may, fewer publications are read.
 */
#ifndef EAGENT_SAMPLER_H
#define EAGENT_SAMPLER_H

#include "govern.h"
#include "reads.h"
#include "shed.h"

typedef struct due {
  int64_t quiet_ns, activity_ns, slow_ns; /* when each group of readings is due; power of a busy GPU is its channel's */
} due_t;

typedef struct sampler {
  reader_t reader;
  driver_t *driver;       /* whose handles these are */
  uint32_t generation;    /* of them */
  uint32_t gpus, devices; /* the GPUs come first, then the packages */
  zone_t *zones;          /* of all devices; a GPU's is empty */
  int64_t free_ns;        /* between two looks at a power sensor whose times can't be learnt */
  gpu_reads_t gpu[LIMITS_MAX];
  due_t due[LIMITS_MAX];
  shed_t shed;
  int64_t call_ns; /* what one look at power takes in the driver, over the last hundred or so */
} sampler_t;

/* Read what is due at the monotonic time now_ns. Returns when the next turn must come. */
int64_t sampler_turn(sampler_t *sampler, int64_t now_ns);
/* Publish what was read of device i's limit. */
void sampler_publish_limit(sampler_t *sampler, uint32_t i, const limit_t *limit, int64_t now_ns);

#endif
