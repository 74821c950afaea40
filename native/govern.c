#include "govern.h"

#include <errno.h>

static const int64_t RETRY_NS = 1000000000;          /* after a write that failed or did not hold */
static const int64_t RAISE_EVERY_NS = 1000000000;    /* per device: the hardware averages over a second */
static const uint32_t RAISE_LEAST_PERCENT = 3;       /* a smaller raise under a lease is not worth a call ... */
static const int64_t RAISE_PATIENCE_NS = 5000000000; /* ... until it has been wanted for this long */

nvmlReturn_t limits_code(int error) {
  switch (error) {
    case 0:
      return NVML_SUCCESS;
    case -EACCES:
    case -EPERM:
      return NVML_ERROR_NO_PERMISSION;
    case -ENOENT:
    case -ENODATA:
      return NVML_ERROR_NOT_SUPPORTED;
    default:
      return NVML_ERROR_UNKNOWN;
  }
}

static nvmlReturn_t get_limit(const nvml_t *nvml, limit_t *limit, unsigned int *mw) {
  if (!limit->zone) return nvml->limit_get(limit->handle, mw);
  return limits_code(zone_read_limit(limit->zone, mw, &limit->is_uneven));
}

static nvmlReturn_t set_limit(const nvml_t *nvml, limit_t *limit, uint32_t mw) {
  if (!limit->zone) return nvml->limit_set(limit->handle, mw);
  int error = zone_write_limit(limit->zone, mw);
  limit->write_error = -error;
  return limits_code(error);
}

static nvmlReturn_t get_enforced(const nvml_t *nvml, const limit_t *limit, unsigned int *mw) {
  return !limit->zone && nvml->limit_enforced ? nvml->limit_enforced(limit->handle, mw) : NVML_ERROR_NOT_SUPPORTED;
}

void limits_read(limits_t *limits, uint32_t i, int64_t now_ns) {
  limit_t *limit = &limits->devices[i];
  unsigned int mw = 0;
  limit->requested_code = get_limit(limits->nvml, limit, &mw);
  limit->requested_mw = limit->requested_code == NVML_SUCCESS ? mw : 0;
  if (limit->held_mw && limit->requested_mw && (limit->requested_mw != limit->held_mw || limit->is_uneven)) {
    limit->foreign++;
    limit->foreign_ns = now_ns;
    limit->held_mw = 0;
  }
  limit->enforced_code = get_enforced(limits->nvml, limit, &mw);
  limit->enforced_mw = limit->enforced_code == NVML_SUCCESS ? mw : 0;
  limit->fresh = 1;
}

/* Write one limit and read it back. Returns whether it is in force; else the next try is in RETRY_NS. */
static int write_limit(limits_t *limits, uint32_t i, uint32_t limit_mw, int64_t now_ns) {
  limit_t *limit = &limits->devices[i];
  limit->write_code = set_limit(limits->nvml, limit, limit_mw);
  if (limit->write_code == NVML_SUCCESS) limit->written_mw = limit_mw;
  limit->held_mw = 0; /* what is read next is ours, or a failure of ours */
  limits_read(limits, i, now_ns);
  limits->writes++;
  limit->disagrees = limit->write_code == NVML_SUCCESS && (limit->requested_mw != limit_mw || limit->is_uneven);
  if (limit->write_code == NVML_SUCCESS && !limit->disagrees) {
    limit->held_mw = limit_mw;
    return 1;
  }
  limits->write_errors++;
  limit->retry_ns = now_ns + RETRY_NS;
  return 0;
}

/* What a device may draw as far as we know. */
static uint32_t in_force_mw(const limit_t *limit) {
  return limit->requested_mw ? limit->requested_mw : limit->highest_mw;
}

static int fits(const limits_t *limits, uint32_t i, uint32_t wanted_mw, uint64_t envelope_mw) {
  uint64_t sum_mw = wanted_mw;
  for (uint32_t j = 0; j < limits->count; j++)
    if (j != i && limits->devices[j].capped) sum_mw += in_force_mw(&limits->devices[j]);
  return envelope_mw == 0 || sum_mw <= envelope_mw;
}

/* Under a lease raises are paced; what goes back to where it belongs goes at once and exactly. */
static int worth_raising(const limit_t *limit, uint32_t wanted_mw, int64_t now_ns) {
  return now_ns >= limit->raised_ns + RAISE_EVERY_NS &&
         ((uint64_t)wanted_mw * 100 >= (uint64_t)limit->requested_mw * (100 + RAISE_LEAST_PERCENT) ||
          now_ns >= limit->short_ns + RAISE_PATIENCE_NS);
}

static int is_short(const limit_t *limit, uint32_t wanted_mw) {
  return wanted_mw > limit->requested_mw || (wanted_mw == limit->requested_mw && limit->is_uneven);
}

/* Note how a limit stands to its wish; returns whether there is something to do. */
static int is_due(limit_t *limit, uint32_t wanted_mw, int64_t now_ns) {
  limit->held_mw = wanted_mw && wanted_mw == limit->requested_mw && !limit->is_uneven ? wanted_mw : 0;
  limit->short_ns = !is_short(limit, wanted_mw) ? 0 : limit->short_ns ? limit->short_ns : now_ns;
  return wanted_mw && !limit->held_mw;
}

int limits_govern(limits_t *limits, const uint32_t *wanted_mw, int leased, uint64_t envelope_mw, int64_t now_ns) {
  int due = 0;
  for (uint32_t i = 0; i < limits->count; i++) due |= is_due(&limits->devices[i], wanted_mw[i], now_ns);
  if (!due) return 0;

  for (uint32_t i = 0; i < limits->count; i++) {
    if (wanted_mw[i] == 0 || now_ns < limits->devices[i].retry_ns) continue;
    if (wanted_mw[i] < in_force_mw(&limits->devices[i])) write_limit(limits, i, wanted_mw[i], now_ns);
  }
  for (uint32_t i = 0; i < limits->count; i++) {
    limit_t *limit = &limits->devices[i];
    if (!is_short(limit, wanted_mw[i]) || limit->requested_mw == 0 || now_ns < limit->retry_ns) continue;
    if (leased && !worth_raising(limit, wanted_mw[i], now_ns)) continue;
    if (!fits(limits, i, wanted_mw[i], envelope_mw)) continue;
    if (write_limit(limits, i, wanted_mw[i], now_ns)) limit->raised_ns = now_ns;
  }
  return 1;
}
