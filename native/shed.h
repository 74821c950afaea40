/* Keeps the time inside the driver that reading takes below its budget: by looking at fewer of the power sensors'
 * publications, and by nothing else. The driver has one lock for all its clients, and jobs need it too.
 */
#ifndef EAGENT_SHED_H
#define EAGENT_SHED_H

#include <stdint.h>

typedef struct shed {
  uint32_t stride;  /* of the publications one in so many is looked at; 1: each */
  int64_t since_ns; /* since when it is more than 1; 0: it is not */

  int64_t due_ns;                  /* the next account */
  uint64_t power_ns, other_ns;     /* spent since the last one */
  double power_share, other_share; /* of time, over the last 20 s or so; of power as if each were looked at */
  uint32_t accounts, calm;         /* those so far, and those in a row that would have done with less shedding */
} shed_t;

/* Once a second or so, at the monotonic time now_ns: choose the stride for what was spent. */
void shed_account(shed_t *shed, int64_t now_ns);

#endif
