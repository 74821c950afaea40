/* How long, and by how much, a limit in force was above the one that we held: after the driver has dropped it, after
 * somebody else has raised it, and while it can't be read.
 *
 * It begins when the limit was last read where we had it, since nobody knows when it moved, so it is told at its most;
 * it ends with the read-back. What can't be read counts at the greatest that the device takes.
 */
#ifndef EAGENT_EXPOSURE_H
#define EAGENT_EXPOSURE_H

#include <stdint.h>

typedef struct exposure {
  uint32_t good_mw;     /* as last read where it was to be; 0: nothing is held */
  int64_t good_ns;      /* when that was */
  int64_t since_ns;     /* 0: it is not exposed now */
  int64_t until_ns;     /* so far it is counted ... */
  uint32_t in_force_mw; /* ... and what has been in force since */

  /* All of them together, and the present or else the last one. */
  uint64_t exposed_ns, exposed_uj;
  uint64_t last_ns, last_uj;
  int64_t ended_ns; /* 0: there was none yet */
  uint32_t times;
} exposure_t;

/* How a limit stands. In milliwatts. */
typedef struct exposed_limit {
  uint32_t wanted_mw;  /* where it is to be; 0: it is left alone */
  uint32_t present_mw; /* as last read, at read_ns; 0: it could not be */
  uint32_t highest_mw; /* what it then counts for */
  int64_t read_ns;
} exposed_limit_t;

/* Count up to the monotonic time now_ns. Returns whether one has begun or ended. */
int exposure_count(exposure_t *exposure, const exposed_limit_t *limit, int64_t now_ns);
/* Nothing is held any more that the limit could be above. */
void exposure_end(exposure_t *exposure, int64_t now_ns);
/* It is above where it is to be since then, though nobody has seen it held before. */
void exposure_begin(exposure_t *exposure, uint32_t in_force_mw, int64_t since_ns);

#endif
