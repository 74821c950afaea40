/* Keeps the time inside the driver that reading takes below its budget. The driver has one lock for all its clients,
 * and jobs need it too. First fewer of the power sensors' publications are looked at; where a driver is so slow that
 * its other readings alone take too much, they are read more rarely, too.
 */
#ifndef EAGENT_SHED_H
#define EAGENT_SHED_H

#include <stdint.h>

/* One kind of reading. */
typedef struct load {
  uint32_t stride;   /* one in so many is read; 1: each */
  uint64_t spent_ns; /* since the last account */
  double share;      /* of time, over the last 20 s or so, as if each were read */
  uint32_t calm;     /* accounts in a row that would have done with a smaller stride */
} load_t;

typedef struct shed {
  load_t power, other;
  int64_t since_ns; /* since when one of the strides is more than 1; 0: it is not */
  int64_t due_ns;   /* the next account */
  uint32_t accounts;
} shed_t;

/* Once a second or so, at the monotonic time now_ns: choose the strides for what was spent. */
void shed_account(shed_t *shed, int64_t now_ns);

#endif
