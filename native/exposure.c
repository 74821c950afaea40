#include "exposure.h"

void exposure_begin(exposure_t *exposure, uint32_t in_force_mw, int64_t since_ns) {
  exposure->in_force_mw = in_force_mw;
  exposure->since_ns = exposure->until_ns = since_ns;
  exposure->last_ns = exposure->last_uj = 0;
  exposure->times++;
}

/* What has been above until now: by the value before, which was in force until the one that ends it was written. */
static void add(exposure_t *exposure, uint32_t wanted_mw, int64_t now_ns) {
  const uint32_t above_mw = exposure->in_force_mw > wanted_mw ? exposure->in_force_mw - wanted_mw : 0;
  const uint64_t span_ns = (uint64_t)(now_ns - exposure->until_ns), uj = span_ns / 1000 * above_mw / 1000;
  exposure->until_ns = now_ns;
  exposure->exposed_ns += span_ns;
  exposure->last_ns += span_ns;
  exposure->exposed_uj += uj;
  exposure->last_uj += uj;
}

static int end(exposure_t *exposure, int64_t now_ns) {
  if (!exposure->since_ns) return 0;
  exposure->since_ns = 0;
  exposure->ended_ns = now_ns;
  return 1;
}

void exposure_end(exposure_t *exposure, int64_t now_ns) {
  end(exposure, now_ns);
  exposure->good_mw = 0;
}

/* A wish that has come down is not exposure: the limit is still where we had it, and goes there in its time. */
static int is_moved(const exposure_t *exposure, uint32_t present_mw) {
  return exposure->good_mw && (!present_mw || present_mw > exposure->good_mw);
}

int exposure_count(exposure_t *exposure, const exposed_limit_t *limit, int64_t now_ns) {
  const int is_held = limit->present_mw && limit->present_mw <= limit->wanted_mw;
  if (exposure->since_ns) add(exposure, limit->wanted_mw, now_ns);
  if (limit->wanted_mw == 0) exposure->good_mw = 0;
  if (is_held) {
    exposure->good_mw = limit->present_mw;
    exposure->good_ns = limit->read_ns;
  }
  if (is_held || limit->wanted_mw == 0) return end(exposure, now_ns);
  const int begins = !exposure->since_ns && is_moved(exposure, limit->present_mw);
  const uint32_t in_force_mw = limit->present_mw ? limit->present_mw : limit->highest_mw;
  if (begins) {
    exposure_begin(exposure, in_force_mw, exposure->good_ns);
    add(exposure, limit->wanted_mw, now_ns);
  }
  exposure->in_force_mw = in_force_mw;
  return begins;
}
