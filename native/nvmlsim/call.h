/* One call of the driver: it holds the driver's one lock, across all processes of the host, for as long as such a call
 * takes, and meets the faults that there are.
 */
#ifndef EAGENT_NVMLSIM_CALL_H
#define EAGENT_NVMLSIM_CALL_H

#include "plant/fault.h"

typedef struct call {
  plant_host_t *host;
  enum plant_call kind;
  int64_t begun_ns, waited_ns; /* when it got the lock, and how long after it asked */
  int64_t takes_ns;            /* how long it holds the lock, at least */
  int64_t cpu_ns;              /* its thread's processor time when it got the lock; -1: it is not weighed */
} call_t;

/* Wait for the lock, and as long as faults hold the call up; `gpu` may be PLANT_NO_GPU. 0, or -errno for what a fault
 * answers. Either way the call has begun, and must be ended. */
int call_begin(call_t *call, plant_host_t *host, uint32_t gpu, enum plant_call kind);
/* Wait until it has taken its time, and let go of the lock. */
void call_end(call_t *call);

#endif
