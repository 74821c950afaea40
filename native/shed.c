#include "shed.h"

#include <math.h>

static const int64_t EVERY_NS = 1000000000;
static const double BUDGET = 0.0085;  /* of time: a minute's mean stays below 1 % with learning, which is short */
static const double FORGET = 1. / 20; /* of what was known, at each account */
static const double STRIDE_MOST = 32;
static const uint32_t CALM_LEAST = 10;

void shed_account(shed_t *shed, int64_t now_ns) {
  if (shed->stride == 0) *shed = (shed_t){.stride = 1, .due_ns = now_ns + EVERY_NS};
  if (now_ns < shed->due_ns) return;
  const double span_ns = (double)(now_ns - shed->due_ns + EVERY_NS);
  const double weight = fmax(FORGET, 1. / ++shed->accounts);
  shed->power_share += weight * ((double)shed->power_ns * shed->stride / span_ns - shed->power_share);
  shed->other_share += weight * ((double)shed->other_ns / span_ns - shed->other_share);
  shed->power_ns = shed->other_ns = 0;
  shed->due_ns = now_ns + EVERY_NS;

  const double room = BUDGET - shed->other_share;
  const double wanted = room > 0 ? fmin(STRIDE_MOST, fmax(1, ceil(shed->power_share / room))) : STRIDE_MOST;
  shed->calm = wanted < shed->stride ? shed->calm + 1 : 0;
  if (wanted > shed->stride || shed->calm >= CALM_LEAST) shed->stride = (uint32_t)wanted;
  if (shed->stride == 1) {
    shed->since_ns = 0;
  } else if (shed->since_ns == 0) {
    shed->since_ns = now_ns;
  }
}
