/* What the driver tells those who wait for it: an error of a GPU, a change of its state. NVML calls them events.
 *
 * The last of them are kept, and a reader that comes too late has lost the older.
 */
#ifndef EAGENT_PLANT_SIGNAL_H
#define EAGENT_PLANT_SIGNAL_H

#include "plant/host.h"

#define PLANT_SIGNALS 64u /* that are kept */

/* NVML's bits. */
enum plant_signal_type {
  PLANT_SIGNAL_PSTATE = 0x4, /* data: the new state */
  PLANT_SIGNAL_XID = 0x8,    /* data: the XID */
  PLANT_SIGNAL_CLOCK = 0x10, /* data: the new SM clock, MHz */
  PLANT_SIGNAL_MIG = 0x100,  /* MIG has been turned on or off, or divided anew */
  PLANT_SIGNAL_UNAVAILABLE = 0x4000,
  PLANT_SIGNAL_RECOVERY = 0x8000, /* data: the action that is asked for */
};

typedef struct plant_signal {
  int64_t time_ns;
  uint64_t type, data;
  uint32_t gpu, reserved;
} plant_signal_t;

/* Part of the state: a whole one or none, whoever dies while writing. */
typedef struct plant_signals {
  uint64_t count; /* since the host was made */
  plant_signal_t last[PLANT_SIGNALS];
} plant_signals_t;

/* For changes of the plant's own state, within the change. */
void signal_raise(plant_signals_t *signals, plant_signal_t signal);

/* The lab's: let the driver tell this. -EINVAL for no type, or more than one, of those above; -ENODEV without a driver.
 */
int plant_host_signal(plant_host_t *host, uint32_t gpu, uint64_t type, uint64_t data);
/* The first signal whose number is *next or more, if there is one, and *next becomes the number after it: *found 1.
 * Else *found 0. */
int plant_host_next_signal(plant_host_t *host, uint64_t *next, plant_signal_t *signal, int *found);
/* The number that the next signal will have. */
int plant_host_signal_count(plant_host_t *host, uint64_t *count);

#endif
