/* Power limits of GPUs and CPU packages: as driver and kernel hold them, and brought to where they should be.
 *
 * Wishes are applied in one order: lower, read back, then raise, and a raise only into watts that reading back has
 * shown to be free under the envelope. Under a lease what can wait is paid for from a purse, the greatest change first.
 * No lowering waits while the limits in force are above the envelope, and no raise goes faster than the ramp.
 */
#ifndef EAGENT_GOVERN_H
#define EAGENT_GOVERN_H

#include <stdint.h>

#include "driver.h"
#include "foreign.h"
#include "gate.h"
#include "nvml.h"
#include "purse.h"
#include "ramp.h"
#include "written.h"
#include "zone.h"

#define LIMITS_MAX 64u

typedef struct limit {
  nvmlDevice_t handle;
  zone_t *zone;        /* a CPU package's; NULL: a GPU */
  int write_error;     /* a package's last write as an errno; codes are NVML's for both kinds */
  uint32_t highest_mw; /* the greatest that the device takes: what it counts for while it can't be read */
  uint32_t requested_mw, enforced_mw; /* as read back; 0: the last read failed */
  nvmlReturn_t requested_code, enforced_code, write_code;
  uint32_t written_mw; /* our last write; 0: none yet */
  int is_uneven;       /* a package's: one of its limits is lower than the other one's wish would have it */
  int disagrees;       /* the read-back was not what we wrote */
  int fresh;           /* read since the caller last cleared this */
  int capped;          /* whether it can be set at all; else the caller has taken it out of the envelope */
  uint8_t presence;    /* PRESENCE_*: who is not here is out of the envelope, too */
  uint32_t held_mw;    /* the wish that was read back in force; 0: none */
  uint32_t settled_mw; /* where we have put it, by the last read-back; 0: nowhere, or somebody else has moved it */
  foreign_t foreign;   /* while it stands, the limit is left alone */
  uint32_t wanted_mw;  /* where it is to be, by the last turn; 0: left alone */
  int64_t read_ns;     /* when it was last read, or tried to be */
  int64_t short_ns, long_ns; /* since when it has been below its wish, and above; 0: it is not */
  int64_t raised_ns, retry_ns;
  written_t written; /* for who comes after us */
} limit_t;

typedef struct limits {
  const nvml_t *nvml;
  driver_t *driver; /* what tells a limit that the driver has forgotten; NULL: nothing does */
  uint64_t spared;  /* a bit each: not written now, whatever is wished */
  limit_t devices[LIMITS_MAX];
  uint32_t count;
  const gate_t *gate;
  purse_t *purse;
  ramp_t ramp;
  foreign_policy_t on_foreign;
  uint64_t writes, write_errors;
} limits_t;

/* NVML's code for a failure (-errno) of a CPU package. */
nvmlReturn_t limits_code(int error);

/* Whether the two tell a person the same. */
int limit_tells_same(const limit_t *one, const limit_t *other);

/* Read what device i's limit is, at the monotonic time now_ns. */
void limits_read(limits_t *limits, uint32_t i, int64_t now_ns);

/* Go on, at the monotonic time now_ns, from what the loop before this one wrote last to device i's limit, which is this
 * (0, 0: nothing, it was at `prior_mw`): any other value is somebody else's, or what the driver fell back to. One of
 * ours is no longer what somebody else had set, if that stood. */
void limits_resume(limits_t *limits, uint32_t i, uint32_t wish_mw, uint32_t done_mw, uint32_t prior_mw, int64_t now_ns);

/* Nothing is known of device i's limit any more: it is not read. */
void limits_lose_sight(limits_t *limits, uint32_t i);
/* Whether a device is among those whose limits share the envelope. */
int limit_counts(const limit_t *limit);
/* The sum of the limits in force, of those that are in the envelope; what can't be read counts at its greatest. */
uint64_t limits_sum_mw(const limits_t *limits);

/* Take device i's limit back from whoever else has set it: the next turn brings it where it is wished. */
void limits_take_back(limits_t *limits, uint32_t i);

/* Take one turn towards the leased limits (NULL: no lease runs) or the safe ones, at the monotonic time now_ns.
 *
 * A device whose leased limit is 0 goes to its safe one, and is left alone where that is 0, too. A lease that does not
 * fit the envelope (0: no budget) is scaled towards the safe limits, and so it is to make room for what somebody else
 * has set and is let stand. Returns whether anything was written. */
int limits_govern(limits_t *limits, const uint32_t *lease_mw, const uint32_t *safe_mw, uint64_t envelope_mw,
                  int64_t now_ns);

#endif
