/* Power limits: as the driver holds them, and brought to where they should be.
 *
 * Setpoints are two vectors. The lease holds until a time; after it, and before one came, the fallback holds. A device
 * with 0 in the vector in force is left alone. Whatever holds is applied in one order: lower, read back, then raise,
 * and a raise only into watts that reading back has shown to be free under the envelope.
 */
#ifndef EAGENT_GOVERN_H
#define EAGENT_GOVERN_H

#include <stdint.h>

#include "nvml.h"

#define LIMITS_MAX 64u

typedef struct setpoints {
  uint32_t lease_mw[LIMITS_MAX];
  uint32_t fallback_mw[LIMITS_MAX];
  int64_t lease_until_ns;
  uint64_t envelope_mw; /* the sum of limits must not pass it; 0: no budget */
} setpoints_t;

typedef struct limit {
  nvmlDevice_t handle;
  uint32_t highest_mw; /* the greatest that the device takes: what it counts for while it can't be read */
  uint32_t requested_mw, enforced_mw; /* as read back; 0: the last read failed */
  nvmlReturn_t requested_code, enforced_code, write_code;
  uint32_t written_mw; /* our last write; 0: none yet */
  int disagrees;       /* the read-back was not what we wrote */
  int fresh;           /* read since the caller last cleared this */
  uint64_t foreign;    /* times that a limit which we had read back as ours was found changed */
  int64_t raised_ns, retry_ns;
} limit_t;

typedef struct limits {
  const nvml_t *nvml;
  limit_t devices[LIMITS_MAX];
  uint32_t count;
  uint64_t writes, write_errors;
} limits_t;

/* Read what device i's limit is. */
void limits_read(limits_t *limits, uint32_t i);

/* Take one turn towards the setpoints at the monotonic time now_ns. Returns whether anything was to be done. */
int limits_govern(limits_t *limits, const setpoints_t *setpoints, int64_t now_ns);

#endif
