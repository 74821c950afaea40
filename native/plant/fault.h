/* What can be made to go wrong on a simulated host while it runs.
 *
 * The table of faults is part of the host's state and keeps simulated time, so a fault begins, strikes and ends at its
 * time whoever looks, on a virtual clock too. Some faults last: from their beginning until their end, or until they are
 * cleared, they change what clients are told. The others strike: once, or again and again.
 */
#ifndef EAGENT_PLANT_FAULT_H
#define EAGENT_PLANT_FAULT_H

#include "plant/calls.h"

#define PLANT_FAULTS_MAX  32u
#define PLANT_FOREIGN_PID 4194305u /* who the foreign writer says it is: beyond what Linux gives to any process */

/* `value` is described beside each. Those in a range of shares are 0 to 1. */
enum plant_fault_kind {
  /* They last. */
  PLANT_FAULT_NOT_SUPPORTED = 0,  /* [0]: the share of sensor readings that are refused so */
  PLANT_FAULT_ZERO_POWER = 1,     /* [0]: the share of readings in which power is 0 */
  PLANT_FAULT_STUCK_POWER = 2,    /* [0]: watts, 0: those of its beginning; [1]: what is stuck, PLANT_STUCK_* */
  PLANT_FAULT_GPU_LOST = 3,       /* until the host is powered on anew */
  PLANT_FAULT_RESET_REQUIRED = 4, /* until the GPU is reset, the driver reloaded or the host powered on anew */
  PLANT_FAULT_NO_PERMISSION = 5,  /* for setters */
  PLANT_FAULT_SLOW_CALLS = 6,     /* [0]: seconds that each call holds the driver's lock */
  PLANT_FAULT_HUNG_CALLS = 7,     /* calls never end, and hold the lock */
  PLANT_FAULT_OUTSIDE_LIMIT = 8,  /* [0]: watts, a limit set past the driver: the lower of both is held */
  PLANT_FAULT_SYSFS_READ = 9,     /* [0]: the errno of reading the kernel's files of a CPU or a package */
  PLANT_FAULT_SYSFS_WRITE = 10,   /* [0]: likewise of writing them */
  /* They strike. */
  PLANT_FAULT_ENERGY_RESET = 11,     /* the driver's energy counter begins anew */
  PLANT_FAULT_RAPL_WRAP = 12,        /* [0]: joules after which the counters of a package begin anew */
  PLANT_FAULT_XID = 13,              /* [0]: its number */
  PLANT_FAULT_DRIVER_RELOAD = 14,    /* settings and counters to their defaults; handles opened before are void */
  PLANT_FAULT_GPU_RESET = 15,        /* a board's settings and counters to their defaults */
  PLANT_FAULT_SETTINGS_DROPPED = 16, /* a board's settings to their defaults: as without persistence mode, when the
                                        last client has gone */
  PLANT_FAULT_FOREIGN_LIMIT = 17,    /* [0]: watts, set by somebody else */
  PLANT_FAULT_FOREIGN_LOCK = 18,     /* [0], [1]: lowest and highest MHz, likewise */
};
#define PLANT_FAULT_KINDS   19u
#define PLANT_FAULT_STRIKES PLANT_FAULT_ENERGY_RESET /* this kind and all after it */

#define PLANT_STUCK_POWER  1u /* all power readings */
#define PLANT_STUCK_TIME   2u /* their time stamp */
#define PLANT_STUCK_ENERGY 4u /* the energy counter */
#define PLANT_STUCK_CLOCK  8u /* asking for a clock fails, of an unknown error */

/* Of sensors and settings a GPU is struck, or all; of the kernel's files a CPU, a package, or all. */
enum plant_fault_target {
  PLANT_FAULT_OF_HOST = 0,
  PLANT_FAULT_OF_GPU = 1,
  PLANT_FAULT_OF_CPU = 2,
  PLANT_FAULT_OF_PACKAGE = 3,
};

typedef struct plant_fault {
  uint32_t id; /* given by the plant: 1, 2, ... */
  uint32_t kind, target, index;
  int64_t from_ns, until_ns; /* simulated time; from: 0 is now, until: 0 is for ever */
  int64_t every_ns;          /* of those that strike: again after this; 0: once */
  double value[2];
  uint32_t begun, reserved; /* out */
} plant_fault_t;

/* Part of the state. */
typedef struct fault {
  plant_fault_t given;
  int64_t next_tick; /* when it begins, strikes or ends */
} fault_t;

typedef struct frozen { /* what a sensor showed when it got stuck */
  int64_t time_ns;
  uint64_t energy_mj;
  uint32_t power_mw, reserved;
} frozen_t;

typedef struct faults {
  uint32_t count, last_id;
  uint32_t reloads, reserved; /* how often the driver has been loaded anew */
  int64_t next_tick;          /* the first of the table's */
  frozen_t frozen[PLANT_GPUS_MAX];
  fault_t table[PLANT_FAULTS_MAX];
} faults_t;

/* The lab's. -EINVAL: a kind, target or time that makes no sense; -EDOM: a value that the kind does not take; -ERANGE:
 * no such GPU, CPU or package; -ENOSPC: the table is full; -ENODEV: the host is not on, and the fault strikes now. */
int plant_host_inject(plant_host_t *host, const plant_fault_t *fault, uint32_t *id);
/* By its number; 0: all. -ENOENT: there is none of that number. */
int plant_host_clear_fault(plant_host_t *host, uint32_t id);
/* Those that last or have yet to come, in the order in which they were given. */
int plant_host_faults(plant_host_t *host, plant_fault_t out[PLANT_FAULTS_MAX], uint32_t *count);

/* What a call of the driver meets; `gpu` may be PLANT_NO_GPU. First: for how long it is held up, and whether until the
 * fault is cleared. Then what it is answered: 0, or -errno: ENOTSUP, ENODEV (lost), EUCLEAN (needs a reset), EPERM, EIO
 * (nobody knows why). Each returns 0 for a host that is not on: who looks at it learns that. */
int plant_host_delay(plant_host_t *host, uint32_t gpu, double *slow_s, int *hangs);
int plant_host_answer(plant_host_t *host, uint32_t gpu, enum plant_call kind);

/* The errno that a file of a CPU or a package (`target`) gives, 0 for none. Returns 0 or -errno. */
int plant_host_file_trouble(plant_host_t *host, int writes, uint32_t target, uint32_t index, int *error);

#endif
