/* The driver as its clients share it: one lock for all of them, and what their calls have cost.
 *
 * The lock is another than that of the state: a call that hangs stops other calls, and neither physics nor lab.
 */
#ifndef EAGENT_PLANT_CALLS_H
#define EAGENT_PLANT_CALLS_H

#include "plant/host.h"

#define PLANT_NO_GPU 0xffffffffu

enum plant_call {
  PLANT_CALL_POWER = 0,
  PLANT_CALL_CLOCK = 1,
  PLANT_CALL_UTILISATION = 2,
  PLANT_CALL_MEMORY = 3,
  PLANT_CALL_TEMPERATURE = 4,
  PLANT_CALL_OTHER = 5, /* reads no sensor */
  PLANT_CALL_SET = 6,
};
#define PLANT_CALLS   7u
#define PLANT_WEIGHED 17u /* no multiple of what clients ask in turn */

typedef struct plant_calls {
  uint64_t count[PLANT_CALLS];
  int64_t held_ns[PLANT_CALLS];   /* with the driver's lock */
  int64_t waited_ns[PLANT_CALLS]; /* for it; nothing on a virtual clock */
  int64_t worked_ns[PLANT_CALLS]; /* of a processor's time, within; likewise. The clock for it takes longer than a short
                                     call, so one call in PLANT_WEIGHED stands for all of them */
} plant_calls_t;

/* 0 or -errno. A process that died with the lock leaves it to the next. */
int plant_host_enter_driver(plant_host_t *host);
void plant_host_leave_driver(plant_host_t *host);

/* With the driver's lock. How long the next call of this kind holds it, as the model says; and that one has. */
int64_t plant_host_call_ns(plant_host_t *host, enum plant_call kind);
void plant_host_charge(plant_host_t *host, enum plant_call kind, int64_t held_ns, int64_t waited_ns);
/* Whether the next call of this kind is one whose work is to be charged, which needs no lock. */
int plant_host_weighs(plant_host_t *host, enum plant_call kind);
void plant_host_charge_work(plant_host_t *host, enum plant_call kind, int64_t worked_ns);
/* Whether calls take time: on a virtual clock they are only charged for it. */
int plant_host_calls_take_time(const plant_host_t *host);

/* The lab's: since the host was made. */
int plant_host_calls(plant_host_t *host, plant_calls_t *out);

#endif
