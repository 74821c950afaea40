#include "ceiling.h"

static const int64_t WRITE_EVERY_NS = 1000000000;

static nvmlReturn_t set_ceiling(const nvml_t *nvml, const ceiling_t *ceiling, uint32_t wanted_mhz) {
  if (!nvml->clock_lock || !nvml->clock_reset) return NVML_ERROR_FUNCTION_NOT_FOUND;
  if (wanted_mhz == CEILING_FREE) return nvml->clock_reset(ceiling->handle);
  return nvml->clock_lock(ceiling->handle, ceiling->lowest_mhz, wanted_mhz);
}

static void write_ceiling(ceilings_t *ceilings, uint32_t i, uint32_t wanted_mhz, urgency_t urgency, int64_t now_ns) {
  ceiling_t *ceiling = &ceilings->devices[i];
  gate_let_readings_pass(ceilings->gate);
  const int64_t begun_ns = purse_clock_ns(ceilings->purse, now_ns);
  ceiling->code = set_ceiling(ceilings->nvml, ceiling, wanted_mhz);
  purse_charge(ceilings->purse, begun_ns, urgency);
  ceiling->held_mhz = ceiling->code == NVML_SUCCESS ? wanted_mhz : 0;
  ceiling->written_ns = now_ns;
  ceilings->writes++;
  if (ceiling->code != NVML_SUCCESS) ceilings->write_errors++;
}

/* By how much a ceiling is to move, 0 where it is not or may not yet. No lock, and one that is not known, is the top.
 */
static uint32_t move_mhz(const ceiling_t *ceiling, uint32_t wanted_mhz, int64_t now_ns) {
  if (wanted_mhz == 0 || wanted_mhz == ceiling->held_mhz) return 0;
  if (ceiling->written_ns && now_ns < ceiling->written_ns + WRITE_EVERY_NS) return 0;
  const uint32_t held_mhz = ceiling->held_mhz ? ceiling->held_mhz : CEILING_FREE;
  if (wanted_mhz == held_mhz) return 1;
  return wanted_mhz > held_mhz ? wanted_mhz - held_mhz : held_mhz - wanted_mhz;
}

int ceilings_govern(ceilings_t *ceilings, const uint32_t *wanted_mhz, int leased, int64_t now_ns) {
  const uint64_t writes = ceilings->writes;
  for (uint32_t i = 0; i < ceilings->count; i++) {
    if (leased && wanted_mhz[i] != CEILING_FREE) continue; /* a new one can wait; work that it slows can't */
    if (move_mhz(&ceilings->devices[i], wanted_mhz[i], now_ns) == 0) continue;
    write_ceiling(ceilings, i, wanted_mhz[i], leased ? URGENCY_WORK : URGENCY_LIMIT, now_ns);
  }
  while (purse_is_open(ceilings->purse)) {
    uint32_t found = CEILINGS_MAX, most_mhz = 0;
    for (uint32_t i = 0; i < ceilings->count; i++) {
      const uint32_t move = move_mhz(&ceilings->devices[i], wanted_mhz[i], now_ns); /* none twice in a turn */
      if (move > most_mhz) {
        most_mhz = move;
        found = i;
      }
    }
    if (found == CEILINGS_MAX) break;
    write_ceiling(ceilings, found, wanted_mhz[found], URGENCY_NONE, now_ns);
  }
  return ceilings->writes != writes;
}
