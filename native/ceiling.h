/* GPU clock ceilings: SM clocks locked to the range from the lowest to X, or not locked at all.
 *
 * A lock can't be read back from the driver. What is held is therefore what our last successful write said, and after a
 * restart it is unknown until something was written. Clocks are written rarely, at most once a second for each device:
 * more often delays collectives of the jobs that run there.
 */
#ifndef EAGENT_CEILING_H
#define EAGENT_CEILING_H

#include <stdint.h>

#include "gate.h"
#include "nvml.h"
#include "purse.h"

#define CEILINGS_MAX 64u
#define CEILING_FREE 0xffffffffu /* as a wish: no lock */

typedef struct ceiling {
  nvmlDevice_t handle;
  uint32_t lowest_mhz; /* 0: the device has no clocks to lock */
  uint32_t held_mhz;   /* a clock, CEILING_FREE, or 0: unknown */
  nvmlReturn_t code;   /* of the last write */
  int64_t written_ns;
} ceiling_t;

typedef struct ceilings {
  const nvml_t *nvml;
  ceiling_t devices[CEILINGS_MAX];
  uint32_t count;
  const gate_t *gate;
  purse_t *purse;
  uint64_t writes, write_errors;
} ceilings_t;

/* Take one turn towards the wishes (0: leave the device alone) at the monotonic time now_ns. Under a lease a new
 * ceiling waits for the purse, the greatest change first; taking one off does not. Returns whether anything was
 * written. */
int ceilings_govern(ceilings_t *ceilings, const uint32_t *wanted_mhz, int leased, int64_t now_ns);

#endif
