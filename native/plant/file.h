/* The mapped file of a host: what is in it, and how a change becomes visible whole or not at all. */
#ifndef EAGENT_PLANT_FILE_H
#define EAGENT_PLANT_FILE_H

#include <pthread.h>

#include "plant/cores.h"
#include "plant/fault.h"
#include "plant/load.h"
#include "plant/mig.h"
#include "plant/samples.h"
#include "plant/shown.h"
#include "plant/signal.h"
#include "plant/wall.h"

#define FILE_MAGIC   0x31544e414c504145ull /* "EAPLANT1" */
#define FILE_VERSION 9u
#define EVENTS_MAX   65536u
#define REQUESTS_MAX 262144u
#define ROWS_MAX     144000u /* of the power log: four hours */
#define EVENTS_AHEAD 256u    /* more than one change or one boot enters */

/* Off, booting or on: see supply.h. */
typedef struct supply {
  uint32_t power, boot;          /* as in plant_wall */
  uint64_t boot_bits[2];         /* the boot's id */
  int64_t since_ns;              /* in this state */
  int64_t time_ns[PLANT_POWERS]; /* in each, up to then */
  int64_t on_tick;               /* booting: when it will be on */
  int64_t settled_ns;            /* up to then it is counted what was drawn while on: ... */
  double on_j;                   /* ... this, ... */
  double gpus_j, packages_j;     /* ... when the parts had drawn so much */
  double row_j;                  /* drawn from the wall in any state, at the last row's end */
  int64_t booted_ns;             /* when it came to be on */
} supply_t;

/* All that changes. Two of it are in the file; one is the truth, the other the draft of the next. */
typedef struct state {
  int64_t now_ns;            /* virtual clock: where it was put; within `tick` */
  int64_t origin_ns;         /* wall clock: CLOCK_MONOTONIC at simulated time 0 */
  int64_t tick;              /* whole ticks integrated */
  uint32_t events, requests; /* entries of the tables below that exist */
  uint64_t events_lost;
  uint32_t offs, reserved; /* how often work has been lost by switching off */
  supply_t supply;
  gpu_t gpus[PLANT_GPUS_MAX];
  load_t loads[LOADS_MAX];
  engine_t engines[PLANT_GPUS_MAX];
  cpus_t cpus;
  faults_t faults; /* this and what follows changes in no tick but in one that a fault is for (file_begin_tick) */
  plant_mig_t migs[PLANT_GPUS_MAX];
  plant_signals_t signals;
} state_t;

/* The GPUs that a process is on, as a bit mask. */
static inline uint32_t state_resident(const state_t *state) {
  uint32_t bits = 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) bits |= (uint32_t)(state->gpus[gpu].resident != 0) << gpu;
  return bits;
}

/* What the driver's clients share beside the state. It outlives whoever dies while writing it: each number is whole. */
typedef struct driver {
  pthread_mutex_t lock;
  plant_calls_t calls;
  plant_shown_t shown[PLANT_GPUS_MAX];
  uint64_t draws[PLANT_FAULT_KINDS]; /* readings that a fault of the kind might have struck */
  int64_t unix_offset_ns;            /* what CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, see session.c */
} driver_t;

/* The tables only grow. What lies behind the counts of the true state (for the watts: behind its tick) is not there yet
 * and is written again before a count comes to cover it. The answers in `requests` are filled in while integrating;
 * those that a process wrote and died before it published are taken back by the next that takes the lock; so is the
 * mark of those that were lost, which counts the true state's `offs`. */
typedef struct plant_file {
  uint64_t magic;
  uint32_t version;
  uint32_t active; /* which state is the truth */
  uint64_t size;
  char boot_id[40]; /* of the boot in which the mutex was made: one from before a reboot may be held by nobody, for ever
                     */
  pthread_mutex_t mutex;
  driver_t driver;
  uint32_t roomy_rows, roomy_events, roomy_requests; /* what file_reserve has given room */
  uint32_t stale;                                    /* the two states may differ in more than file_begin_tick is for */
  uint64_t spec_sum;                                 /* of what follows, which never changes */
  spec_t spec;
  state_t states[2];
  plant_event_t events[EVENTS_MAX];
  plant_request_t requests[REQUESTS_MAX];
  float power_w[ROWS_MAX][PLANT_GPUS_MAX];
  float cpu_power_w[ROWS_MAX][PLANT_PACKAGES_MAX]; /* each with its DRAM */
  float wall_w[ROWS_MAX];
  samples_t samples[PLANT_GPUS_MAX];
} plant_file_t;

struct plant_host {
  plant_file_t *file;
  uint32_t boot;    /* the only boot that it speaks with; 0: with any */
  uint32_t reloads; /* in that boot: the driver's only life that it speaks with */
};

int file_create(const char *path, const spec_t *spec);
/* 0, or -errno as plant_host_open gives it. */
int file_open(const char *path, plant_file_t **file);
void file_close(plant_file_t *file);

/* 0, or -errno. A process that died with the lock leaves it to the next. */
int file_lock(plant_file_t *file);
void file_unlock(plant_file_t *file);

/* With the lock held: the truth, or NULL if the file is damaged. */
const state_t *file_state(const plant_file_t *file);
/* With the lock held: a copy of the truth to change, which nobody sees until it is published. NULL if the file is
 * damaged. */
state_t *file_begin(plant_file_t *file);
/* The same for what passes up to the tick `until`, within a boot and with no fault that strikes, in which no load
 * changes that does not run, no engine that does not serve and no core's setting, so that little need be copied; the
 * whole where that does not hold. NULL likewise. */
state_t *file_begin_tick(plant_file_t *file, int64_t until);
void file_publish(plant_file_t *file);

/* Enter a write into the log of a draft. */
void file_enter(plant_file_t *file, state_t *state, plant_event_t event);

/* With the lock held: see that the file system has room for so many entries of the tables. 0, or -EDQUOT. The file is
 * sparse, and who writes to a page that finds no room dies of SIGBUS, be it the simulation or a client of the driver.
 */
int file_reserve(plant_file_t *file, int64_t rows, uint64_t events, uint64_t requests);

int64_t file_monotonic_ns(void);
/* Let the wall clock go on from just beyond the latest time that anybody can have seen. */
void file_set_clock(state_t *state, int64_t monotonic_ns);

#endif
