#include "zone.h"

#include <errno.h>

static const double MOST_W = 10000; /* no package draws that: its counter has not counted so far */

int zone_read_energy(zone_t *zone, int64_t now_ns, uint64_t *energy_mj, uint64_t *mean_mw) {
  if (!zone->energy_path[0]) return -ENOENT;
  uint64_t counter_uj = 0;
  int error = attribute_read_whole(zone->energy_path, &counter_uj);
  if (error) return error;
  uint64_t more_uj = counter_uj - zone->counter_uj;
  int64_t span_ns = zone->read_ns ? now_ns - zone->read_ns : 0;
  if (counter_uj < zone->counter_uj) more_uj += zone->range_uj;
  /* It began anew, as after a suspend, or jumped. */
  if (zone->read_ns && (double)more_uj * 1e3 > MOST_W * (double)span_ns) more_uj = 0;
  *mean_mw = span_ns > 0 ? (uint64_t)((double)more_uj * 1e6 / (double)span_ns) : 0;
  zone->energy_uj += more_uj;
  zone->counter_uj = counter_uj;
  zone->read_ns = now_ns;
  *energy_mj = zone->energy_uj / 1000;
  return 0;
}

static uint64_t milliwatts(uint64_t uw) {
  return uw / 1000 + (uw % 1000 != 0);
}

int zone_read_limit(const zone_t *zone, uint32_t *limit_mw, int *is_uneven) {
  uint64_t enabled = 1, uw = 0, mw[ZONE_LIMITS];
  int error = zone->enabled_path[0] ? attribute_read_whole(zone->enabled_path, &enabled) : 0;
  if (error) return error;
  if (!enabled || !zone->limits) return -ENODATA;
  *limit_mw = 0;
  *is_uneven = 0;
  for (uint32_t i = 0; i < zone->limits; i++) {
    error = attribute_read_whole(zone->limit_path[i], &uw);
    if (error) return error;
    mw[i] = milliwatts(uw);
    if (mw[i] > UINT32_MAX) return -ERANGE;
    if (mw[i] > *limit_mw) *limit_mw = (uint32_t)mw[i];
  }
  for (uint32_t i = 0; i < zone->limits; i++)
    if (mw[i] < *limit_mw && mw[i] < milliwatts(zone->owner_uw[i])) *is_uneven = 1;
  return 0;
}

int zone_write_limit(const zone_t *zone, uint32_t limit_mw) {
  int error = 0;
  for (uint32_t i = 0; i < zone->limits; i++) {
    uint64_t uw = (uint64_t)limit_mw * 1000;
    if (uw > zone->owner_uw[i]) uw = zone->owner_uw[i];
    int failed = attribute_write_whole(zone->limit_path[i], uw);
    if (failed) error = failed;
  }
  return error;
}
