#include "ceiling.h"

static const int64_t WRITE_EVERY_NS = 1000000000;

static nvmlReturn_t write_ceiling(const nvml_t *nvml, const ceiling_t *ceiling, uint32_t wanted_mhz) {
  if (!nvml->clock_lock || !nvml->clock_reset) return NVML_ERROR_FUNCTION_NOT_FOUND;
  if (wanted_mhz == CEILING_FREE) return nvml->clock_reset(ceiling->handle);
  return nvml->clock_lock(ceiling->handle, ceiling->lowest_mhz, wanted_mhz);
}

int ceilings_govern(ceilings_t *ceilings, const uint32_t *wanted_mhz, int64_t now_ns) {
  int written = 0;
  for (uint32_t i = 0; i < ceilings->count; i++) {
    ceiling_t *ceiling = &ceilings->devices[i];
    if (wanted_mhz[i] == 0 || wanted_mhz[i] == ceiling->held_mhz) continue;
    if (ceiling->written_ns && now_ns < ceiling->written_ns + WRITE_EVERY_NS) continue;
    ceiling->code = write_ceiling(ceilings->nvml, ceiling, wanted_mhz[i]);
    ceiling->held_mhz = ceiling->code == NVML_SUCCESS ? wanted_mhz[i] : 0;
    ceiling->written_ns = now_ns;
    ceilings->writes++;
    if (ceiling->code != NVML_SUCCESS) ceilings->write_errors++;
    written = 1;
  }
  return written;
}
