#include "scale.h"

__extension__ typedef unsigned __int128 wide_t; /* a limit times a sum of limits */

static uint32_t above_safe_mw(uint32_t limit_mw, uint32_t safe_mw) {
  return limit_mw > safe_mw ? limit_mw - safe_mw : 0;
}

void scale_limits(uint32_t *limit_mw, const uint32_t *safe_mw, uint32_t count, uint64_t envelope_mw) {
  uint64_t low_mw = 0, above_mw = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t above = above_safe_mw(limit_mw[i], safe_mw[i]);
    low_mw += limit_mw[i] - above;
    above_mw += above;
  }
  if (low_mw + above_mw <= envelope_mw) return;
  const uint64_t room_mw = envelope_mw > low_mw ? envelope_mw - low_mw : 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t above = above_safe_mw(limit_mw[i], safe_mw[i]);
    if (above) limit_mw[i] = safe_mw[i] + (uint32_t)((wide_t)above * room_mw / above_mw);
  }
}
