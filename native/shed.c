#include "shed.h"

#include <math.h>

static const int64_t EVERY_NS = 1000000000;
static const double BUDGET = 0.0095;  /* of time: of 1 % learning, which is short, may take the rest */
static const double OTHER_MOST = 0.5; /* of the budget, where power takes the rest */
static const double FORGET = 1. / 20; /* of what was known, at each account */
static const double STRIDE_MOST = 32;
static const double SPENT_MOST = 0.03; /* of time, that one account believes: a call that hung says nothing of others */
static const uint32_t CALM_LEAST = 10;

static void learn(load_t *load, double span_ns, double weight) {
  const double spent = fmin(SPENT_MOST, (double)load->spent_ns / span_ns);
  load->share += weight * (spent * load->stride - load->share);
  load->spent_ns = 0;
}

static void choose(load_t *load, double room) {
  const double wanted = room > 0 ? fmin(STRIDE_MOST, fmax(1, ceil(load->share / room))) : STRIDE_MOST;
  load->calm = wanted < load->stride ? load->calm + 1 : 0;
  if (wanted > load->stride || load->calm >= CALM_LEAST) load->stride = (uint32_t)wanted;
}

void shed_account(shed_t *shed, int64_t now_ns) {
  if (shed->due_ns == 0) *shed = (shed_t){.power.stride = 1, .other.stride = 1, .due_ns = now_ns + EVERY_NS};
  if (now_ns < shed->due_ns) return;
  const double span_ns = (double)(now_ns - shed->due_ns + EVERY_NS);
  const double weight = fmax(FORGET, 1. / ++shed->accounts);
  shed->due_ns = now_ns + EVERY_NS;
  learn(&shed->power, span_ns, weight);
  learn(&shed->other, span_ns, weight);
  choose(&shed->other, fmax(BUDGET * OTHER_MOST, BUDGET - shed->power.share));
  choose(&shed->power, BUDGET - shed->other.share / shed->other.stride);
  const int sheds = shed->power.stride > 1 || shed->other.stride > 1;
  shed->since_ns = !sheds ? 0 : shed->since_ns ? shed->since_ns : now_ns;
}
