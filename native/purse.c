#include "purse.h"

#include "clock.h"

static const int64_t SECOND_NS = 1000000000;
static const int64_t FILL_PER_MILLE = 8;
static const int64_t FULL_NS = 110000000;
static const int64_t DEBT_MOST_NS = 480000000; /* a minute's filling: one call that hung must not end all raises */
static const int64_t DEBT_OF_LIMIT_NS = 40000000;
static const int64_t WRITE_NS = 3500000; /* published: 1 to 6 ms */
static const int64_t USUAL_OF = 4;       /* how many writes the idea of the usual cost goes by */

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
  return a > b ? a : b;
}

void purse_fill(purse_t *purse, int64_t now_ns) {
  const int64_t span_ns = purse->filled_ns ? most(0, now_ns - purse->filled_ns) : 0;
  purse->spent_ns = most(0, purse->spent_ns - least(span_ns, 3600 * SECOND_NS) * FILL_PER_MILLE / 1000);
  purse->filled_ns = now_ns;
}

int purse_is_open(const purse_t *purse) {
  return FULL_NS - purse->spent_ns >= least(purse->usual_ns, FULL_NS); /* a slow driver's write, too, once it is full */
}

int purse_is_rich(const purse_t *purse) {
  return purse->spent_ns <= FULL_NS / 2 && purse_is_open(purse);
}

int64_t purse_clock_ns(const purse_t *purse, int64_t now_ns) {
  return purse->virtual_time ? now_ns : clock_now_ns();
}

void purse_charge(purse_t *purse, int64_t begun_ns, urgency_t urgency) {
  const int64_t cost_ns = purse->virtual_time ? WRITE_NS : most(0, purse_clock_ns(purse, 0) - begun_ns);
  const int64_t debt_most_ns = urgency == URGENCY_LIMIT ? DEBT_OF_LIMIT_NS : DEBT_MOST_NS;
  purse->spent_ns = most(purse->spent_ns, least(purse->spent_ns + cost_ns, FULL_NS + debt_most_ns));
  purse->usual_ns += purse->usual_ns ? (cost_ns - purse->usual_ns) / USUAL_OF : cost_ns;
}
