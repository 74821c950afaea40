/* The hot loop: a sampler, an actuator, and the ring between them and everybody else.
 *
 * In real time each has a thread, and neither ever needs Python's lock, so no Python code, ours or a signal's, can make
 * them late. In virtual time one step does the work of both.
 */
#ifndef EAGENT_HOTLOOP_H
#define EAGENT_HOTLOOP_H

#include "actuator.h"
#include "sampler.h"

typedef struct hotloop {
  nvml_t nvml;
  driver_t driver;
  ring_t ring;
  actuator_t actuator;
  sampler_t sampler;
  uint64_t actuator_read_ns; /* of its counter, what the stats have already */
  int stopping;              /* atomic */
} hotloop_t;

/* Put the parts together around `nvml`, which is open, with its first `gpus` devices and their handles. `ring` is made
 * by the caller. */
void hotloop_init(hotloop_t *loop, uint32_t gpus, const nvmlDevice_t *handles, int64_t free_ns, int virtual_time);
/* The next device, a package. Before the first step. */
void hotloop_add_package(hotloop_t *loop, const zone_t *zone);

/* One turn of both halves at the monotonic time now_ns: lowering must not wait for reads. Returns when the next turn of
 * the sampler is due. */
int64_t hotloop_step(hotloop_t *loop, int64_t now_ns);

/* The bodies of the two threads, until hotloop_stop. */
void hotloop_sample(hotloop_t *loop);
void hotloop_actuate(hotloop_t *loop);
void hotloop_stop(hotloop_t *loop);
void hotloop_destroy(hotloop_t *loop);

#endif
