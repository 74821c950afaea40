/* Power limits of GPUs and CPU packages: as driver and kernel hold them, and brought to where they should be.
 *
 * Wishes are applied in one order: lower, read back, then raise, and a raise only into watts that reading back has
 * shown to be free under the envelope.
 */
#ifndef EAGENT_GOVERN_H
#define EAGENT_GOVERN_H

#include <stdint.h>

#include "nvml.h"
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
  uint32_t held_mw;    /* the wish that was read back in force; 0: none */
  uint64_t foreign;    /* times that a held limit was found changed by somebody else, the last of them at foreign_ns */
  int64_t foreign_ns;
  int64_t short_ns; /* since when it has been below its wish; 0: it is not */
  int64_t raised_ns, retry_ns;
} limit_t;

typedef struct limits {
  const nvml_t *nvml;
  limit_t devices[LIMITS_MAX];
  uint32_t count;
  uint64_t writes, write_errors;
} limits_t;

/* NVML's code for a failure (-errno) of a CPU package. */
nvmlReturn_t limits_code(int error);

/* Read what device i's limit is, at the monotonic time now_ns. */
void limits_read(limits_t *limits, uint32_t i, int64_t now_ns);

/* Take one turn towards the wishes (0: leave the device alone) at the monotonic time now_ns. Under a lease raises are
 * paced. The sum of limits does not pass envelope_mw (0: no budget). Returns whether anything was to be done. */
int limits_govern(limits_t *limits, const uint32_t *wanted_mw, int leased, uint64_t envelope_mw, int64_t now_ns);

#endif
