#include "govern.h"

static const int64_t RETRY_NS = 1000000000;       /* after a write that failed or did not hold */
static const int64_t RAISE_EVERY_NS = 1000000000; /* per device: the hardware averages over a second */
static const uint32_t RAISE_LEAST_PERCENT = 3;    /* a smaller raise under a lease is not worth a driver call */

void limits_read(limits_t *limits, uint32_t i) {
  limit_t *limit = &limits->devices[i];
  const uint32_t before_mw = limit->requested_mw;
  unsigned int mw = 0;
  limit->requested_code = limits->nvml->limit_get(limit->handle, &mw);
  limit->requested_mw = limit->requested_code == NVML_SUCCESS ? mw : 0;
  if (limit->requested_mw && before_mw && before_mw == limit->written_mw && limit->requested_mw != before_mw)
    limit->foreign++;
  limit->enforced_code =
      limits->nvml->limit_enforced ? limits->nvml->limit_enforced(limit->handle, &mw) : NVML_ERROR_NOT_SUPPORTED;
  limit->enforced_mw = limit->enforced_code == NVML_SUCCESS ? mw : 0;
  limit->fresh = 1;
}

/* Write one limit and read it back. Returns whether it is in force; else the next try is in RETRY_NS. */
static int write_limit(limits_t *limits, uint32_t i, uint32_t limit_mw, int64_t now_ns) {
  limit_t *limit = &limits->devices[i];
  limit->write_code = limits->nvml->limit_set(limit->handle, limit_mw);
  if (limit->write_code == NVML_SUCCESS) {
    limit->written_mw = limit_mw;
    limit->requested_mw = 0; /* what is read next is compared with what we wrote, not with what was there before */
  }
  limits_read(limits, i);
  limits->writes++;
  limit->disagrees = limit->write_code == NVML_SUCCESS && limit->requested_mw != limit_mw;
  if (limit->write_code == NVML_SUCCESS && !limit->disagrees) return 1;
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
    if (j != i) sum_mw += in_force_mw(&limits->devices[j]);
  return envelope_mw == 0 || sum_mw <= envelope_mw;
}

/* Under a lease raises are paced; what goes back to where it belongs goes at once and exactly. */
static int worth_raising(const limit_t *limit, uint32_t wanted_mw, int64_t now_ns) {
  return now_ns >= limit->raised_ns + RAISE_EVERY_NS &&
         (uint64_t)wanted_mw * 100 >= (uint64_t)limit->requested_mw * (100 + RAISE_LEAST_PERCENT);
}

int limits_govern(limits_t *limits, const uint32_t *wanted_mw, int leased, uint64_t envelope_mw, int64_t now_ns) {
  int due = 0;
  for (uint32_t i = 0; i < limits->count; i++) due |= wanted_mw[i] && wanted_mw[i] != limits->devices[i].requested_mw;
  if (!due) return 0;

  for (uint32_t i = 0; i < limits->count; i++) {
    if (wanted_mw[i] == 0 || now_ns < limits->devices[i].retry_ns) continue;
    if (wanted_mw[i] < in_force_mw(&limits->devices[i])) write_limit(limits, i, wanted_mw[i], now_ns);
  }
  for (uint32_t i = 0; i < limits->count; i++) {
    limit_t *limit = &limits->devices[i];
    if (wanted_mw[i] <= limit->requested_mw || limit->requested_mw == 0 || now_ns < limit->retry_ns) continue;
    if (leased && !worth_raising(limit, wanted_mw[i], now_ns)) continue;
    if (!fits(limits, i, wanted_mw[i], envelope_mw)) continue;
    if (write_limit(limits, i, wanted_mw[i], now_ns)) limit->raised_ns = now_ns;
  }
  return 1;
}
