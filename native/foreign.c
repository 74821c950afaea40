#include "foreign.h"

void foreign_meet(foreign_t *foreign, foreign_policy_t policy, uint32_t value_mw, int is_uneven, uint32_t before_mw,
                  int64_t now_ns) {
  if (foreign->fate != FOREIGN_STANDS) foreign->before_mw = before_mw;
  foreign->count++;
  foreign->at_ns = now_ns;
  foreign->value_mw = value_mw;
  foreign->is_uneven = is_uneven;
  foreign->wish_mw = 0;
  foreign->fate = policy == FOREIGN_OVERRULE ? FOREIGN_OVERRULED : FOREIGN_STANDS;
}

int foreign_look(foreign_t *foreign, foreign_policy_t policy, uint32_t value_mw, int is_uneven, int64_t now_ns) {
  if (value_mw == foreign->value_mw && is_uneven == foreign->is_uneven) return 0;
  if (value_mw != foreign->before_mw || is_uneven) {
    foreign_meet(foreign, policy, value_mw, is_uneven, 0, now_ns);
    return 0;
  }
  foreign_end(foreign, FOREIGN_MOVED_BACK);
  return 1;
}

int foreign_stands(foreign_t *foreign, foreign_policy_t policy, uint32_t wish_mw) {
  if (foreign->fate != FOREIGN_STANDS) return 0;
  if (policy != FOREIGN_REPORT) return 1;
  if (foreign->wish_mw == 0) foreign->wish_mw = wish_mw;
  if (foreign->wish_mw != wish_mw) foreign_end(foreign, FOREIGN_TAKEN_BACK);
  return foreign->fate == FOREIGN_STANDS;
}

void foreign_end(foreign_t *foreign, foreign_fate_t fate) {
  if (foreign->fate == FOREIGN_STANDS) foreign->fate = fate;
}

void foreign_fit(uint32_t *standing_mw, const uint32_t *floor_mw, uint32_t count, uint64_t envelope_mw) {
  for (;;) {
    uint64_t sum_mw = 0;
    uint32_t farthest = count, most_mw = 0;
    for (uint32_t i = 0; i < count; i++) {
      sum_mw += standing_mw[i] ? standing_mw[i] : floor_mw[i];
      if (standing_mw[i] > floor_mw[i] && standing_mw[i] - floor_mw[i] > most_mw) {
        farthest = i;
        most_mw = standing_mw[i] - floor_mw[i];
      }
    }
    if (sum_mw <= envelope_mw || farthest == count) return;
    standing_mw[farthest] = 0;
  }
}
