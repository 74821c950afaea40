#include "ramp.h"

static const int64_t SECOND_NS = 1000000000;

static void forget(ramp_t *ramp, int64_t now_ns) {
  while (ramp->count && now_ns - ramp->past[ramp->first].time_ns >= SECOND_NS) {
    ramp->first = (ramp->first + 1) % RAMP_RAISES;
    ramp->count--;
  }
}

uint32_t ramp_allows_mw(ramp_t *ramp, uint32_t rise_mw, int64_t now_ns) {
  if (!ramp->most_mw) return rise_mw;
  forget(ramp, now_ns);
  uint64_t risen_mw = 0;
  for (uint32_t k = 0; k < ramp->count; k++) risen_mw += ramp->past[(ramp->first + k) % RAMP_RAISES].rise_mw;
  if (ramp->count == RAMP_RAISES || risen_mw >= ramp->most_mw) return 0;
  const uint64_t left_mw = ramp->most_mw - risen_mw;
  if (rise_mw <= left_mw) return rise_mw;
  return left_mw * 2 >= ramp->most_mw ? (uint32_t)(left_mw - left_mw % 1000) : 0;
}

void ramp_count(ramp_t *ramp, uint32_t rise_mw, int64_t now_ns) {
  if (!ramp->most_mw || ramp->count == RAMP_RAISES) return;
  const uint32_t place = (ramp->first + ramp->count++) % RAMP_RAISES;
  ramp->past[place].time_ns = now_ns;
  ramp->past[place].rise_mw = rise_mw;
}
