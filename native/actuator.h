/* Brings the knobs to where they were last told to be, and keeps them there.
 *
 * It has a thread of its own: a driver that takes milliseconds over a setter holds up no reading, and what is told is
 * begun at once, not at the next tick. The thread needs nobody: a lease ends on time when the process that asked for it
 * is stopped, and when our own Python is stuck. Nobody waits for it either: what is told and what came of it change
 * hands under a lock that is never held during a call of driver or kernel.
 */
#ifndef EAGENT_ACTUATOR_H
#define EAGENT_ACTUATOR_H

#include <pthread.h>

#include "exposure.h"
#include "setpoints.h"

/* What the last turn left, for whoever asks. */
typedef struct shown {
  limit_t limits[LIMITS_MAX];
  ceiling_t ceilings[CEILINGS_MAX];
  setting_shown_t settings[SETTINGS_MAX];
  driver_gpu_shown_t lives[LIMITS_MAX];
  exposure_t exposures[LIMITS_MAX];
  uint8_t fresh[LIMITS_MAX]; /* a limit has been read since this was cleared */
  uint32_t fresh_count;      /* of these; atomic */
  uint64_t generation;       /* what the turn went by ... */
  int64_t turned_ns;         /* ... and when it began */
} shown_t;

/* Counters since the start; atomic. */
typedef struct actuator_cost {
  uint64_t read_ns, write_ns; /* inside NVML */
  uint64_t cpu_ns;
  uint64_t writes, write_errors;
} actuator_cost_t;

typedef struct actuator {
  gate_t gate; /* the sampler's: its readings go first */

  /* Its thread's own. */
  limits_t limits;
  ceilings_t ceilings;
  purse_t purse; /* of the time for their writes */
  settings_t settings;
  zone_t zones[LIMITS_MAX];
  driver_t *driver;                         /* of the GPUs */
  uint32_t forgets[LIMITS_MAX], generation; /* what of its life has been acted on */
  exposure_t exposures[LIMITS_MAX];
  int64_t begun_ns;            /* when limits were last known to be held, before the first turn; 0: it has been */
  int64_t look_ns[LIMITS_MAX]; /* when each limit is read, whatever else happens: a foreign writer shows in a second */
  uint32_t gpus;               /* of the devices the GPUs come first, then the packages */
  setpoints_t setpoints;       /* its copy of what was told */
  int is_leased;               /* whether the last turn went by a lease */
  int64_t stirred_ns;          /* when something was last told or written */

  /* Behind the lock. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  setpoints_t told;
  shown_t shown;
  int stopping;

  int64_t *beat_ns; /* where its last sign of life is told, atomic; NULL: to nobody */
  uint64_t changes; /* atomic: who saw what is shown and told after so many has missed nothing */
  actuator_cost_t cost;
} actuator_t;

void actuator_init(actuator_t *actuator, driver_t *driver);
void actuator_destroy(actuator_t *actuator);

/* Between these two `told` may be changed. What is told is begun at once. Thread-safe. */
setpoints_t *actuator_tell(actuator_t *actuator);
void actuator_told(actuator_t *actuator);

/* Take over what was told, without acting on it: before the first turn. */
void actuator_listen(actuator_t *actuator);
/* Take one turn at the monotonic time now_ns. Returns when the next one should come, if nothing is told before. */
int64_t actuator_turn(actuator_t *actuator, int64_t now_ns);
/* Show what is known now. A turn does it by itself. */
void actuator_show(actuator_t *actuator);
/* Copy the limits that were read since the last call, and say which they are. Returns how many. Thread-safe. */
uint32_t actuator_collect(actuator_t *actuator, limit_t out[LIMITS_MAX], uint8_t fresh[LIMITS_MAX]);

/* Take turns until actuator_stop: the body of its thread. */
void actuator_run(actuator_t *actuator);
void actuator_stop(actuator_t *actuator);

#endif
