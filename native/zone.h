/* A CPU package's energy counter and power limits: one RAPL zone of the kernel's powercap.
 *
 * A zone has a limit for the long term and one for the short term, each with a window of its own. What it may draw for
 * a second is taken to be the greater of them, and they are lowered together, neither above what its owner had set.
 */
#ifndef EAGENT_ZONE_H
#define EAGENT_ZONE_H

#include "attribute.h"

#define ZONE_LIMITS 2u

typedef struct zone {
  char energy_path[ATTRIBUTE_PATH]; /* empty: it has none */
  char enabled_path[ATTRIBUTE_PATH];
  char limit_path[ZONE_LIMITS][ATTRIBUTE_PATH];
  uint32_t limits;                /* how many of them there are */
  uint64_t owner_uw[ZONE_LIMITS]; /* as its owner had set them */
  uint64_t range_uj;              /* the greatest value of the counter, which then begins again at 0 */
  uint64_t counter_uj, energy_uj; /* as last read; without its wraps */
  int64_t read_ns;                /* when; 0: never */
} zone_t;

/* Read the counter at the monotonic time now_ns: joules counted on, and the mean watts since the last time (0 the first
 * time). 0 or -errno. */
int zone_read_energy(zone_t *zone, int64_t now_ns, uint64_t *energy_mj, uint64_t *mean_mw);

/* The greatest of its limits, rounded up, and whether another one is below where writing that would have put it. 0 or
 * -errno; -ENODATA where limits have no force because they are switched off. */
int zone_read_limit(const zone_t *zone, uint32_t *limit_mw, int *is_uneven);
/* Hold all of its limits at this, or at the owner's value where that is lower. 0 or -errno. */
int zone_write_limit(const zone_t *zone, uint32_t limit_mw);

#endif
