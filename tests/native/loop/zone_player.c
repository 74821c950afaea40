/* A package's counter in a file, read by the product's own zone.c. */
#include <string.h>

#include "zone.h"

static zone_t zone;

void begin(const char *path, uint64_t range_uj) {
  memset(&zone, 0, sizeof zone);
  strncpy(zone.energy_path, path, sizeof zone.energy_path - 1);
  zone.range_uj = range_uj;
}

int read_at(int64_t now_ns, uint64_t *energy_mj, uint64_t *mean_mw) {
  return zone_read_energy(&zone, now_ns, energy_mj, mean_mw);
}
