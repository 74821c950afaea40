/* How fast the sum of limits may rise: raises come to at most so much in any second. */
#ifndef EAGENT_RAMP_H
#define EAGENT_RAMP_H

#include <stdint.h>

#define RAMP_RAISES 64u

typedef struct ramp {
  uint64_t most_mw; /* in any second; 0: as fast as it goes */
  struct {
    int64_t time_ns;
    uint32_t rise_mw;
  } past[RAMP_RAISES]; /* the raises of the last second, as a circle */
  uint32_t first, count;
} ramp_t;

/* How much of a raise by rise_mw may be made now; 0: none yet. A great raise is made in few steps, each at least half
 * of what a second allows, in whole watts. */
uint32_t ramp_allows_mw(ramp_t *ramp, uint32_t rise_mw, int64_t now_ns);
/* Count a raise that was tried by the time now_ns, whatever came of it. */
void ramp_count(ramp_t *ramp, uint32_t rise_mw, int64_t now_ns);

#endif
