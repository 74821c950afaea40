/* The product's own govern.c, ceiling.c and what they go by, over a driver that a test plays: it takes no time, keeps a
 * log of what was written in what order, and fails where it is told to.
 */
#include <stdlib.h>
#include <string.h>

#include "ceiling.h"
#include "govern.h"

#define LOG_MAX 65536u

typedef struct entry {
  int64_t time_ns;
  uint32_t device;
  uint32_t kind; /* 0: a limit in mW, 1: a clock in MHz, 0 there: no lock */
  uint32_t value;
} entry_t;

typedef struct bench {
  nvml_t nvml;
  purse_t purse;
  limits_t limits;
  ceilings_t ceilings;
  int64_t now_ns;
  entry_t log[LOG_MAX];
  uint32_t logged;
} bench_t;

/* Only one is played on at a time: NVML's handles say nothing of whose they are. */
static bench_t *played;
static uint32_t limit_mw[LIMITS_MAX], refused[LIMITS_MAX], deaf[LIMITS_MAX];

static uint32_t index_of(nvmlDevice_t handle) {
  return (uint32_t)((uintptr_t)handle - 1);
}

static void log_write(uint32_t device, uint32_t kind, uint32_t value) {
  if (played->logged < LOG_MAX) played->log[played->logged++] = (entry_t){played->now_ns, device, kind, value};
}

static nvmlReturn_t limit_get(nvmlDevice_t handle, unsigned int *mw) {
  if (deaf[index_of(handle)]) return NVML_ERROR_UNKNOWN;
  *mw = limit_mw[index_of(handle)];
  return NVML_SUCCESS;
}

static nvmlReturn_t limit_set(nvmlDevice_t handle, unsigned int mw) {
  if (refused[index_of(handle)]) return NVML_ERROR_UNKNOWN;
  limit_mw[index_of(handle)] = mw;
  log_write(index_of(handle), 0, mw);
  return NVML_SUCCESS;
}

static nvmlReturn_t clock_lock(nvmlDevice_t handle, unsigned int low_mhz, unsigned int high_mhz) {
  (void)low_mhz;
  log_write(index_of(handle), 1, high_mhz);
  return NVML_SUCCESS;
}

static nvmlReturn_t clock_reset(nvmlDevice_t handle) {
  log_write(index_of(handle), 1, 0);
  return NVML_SUCCESS;
}

bench_t *bench_make(uint32_t count, const uint32_t *present_mw, uint64_t ramp_mw_per_s) {
  bench_t *bench = calloc(1, sizeof *bench);
  if (!bench) return NULL;
  bench->nvml.limit_get = limit_get;
  bench->nvml.limit_set = limit_set;
  bench->nvml.clock_lock = clock_lock;
  bench->nvml.clock_reset = clock_reset;
  bench->purse.virtual_time = 1;
  bench->limits.nvml = bench->ceilings.nvml = &bench->nvml;
  bench->limits.purse = bench->ceilings.purse = &bench->purse;
  bench->limits.ramp.most_mw = ramp_mw_per_s;
  bench->limits.count = bench->ceilings.count = count;
  memset(refused, 0, sizeof refused);
  memset(deaf, 0, sizeof deaf);
  played = bench;
  for (uint32_t i = 0; i < count; i++) {
    limit_mw[i] = present_mw[i];
    bench->limits.devices[i].handle = bench->ceilings.devices[i].handle = (nvmlDevice_t)(uintptr_t)(i + 1);
    bench->limits.devices[i].highest_mw = 700000;
    bench->limits.devices[i].capped = 1;
    limits_read(&bench->limits, i, 0);
  }
  return bench;
}

void bench_free(bench_t *bench) {
  free(bench);
}

void bench_refuse(uint32_t i, uint32_t refuses) {
  refused[i] = refuses;
}

void bench_deafen(uint32_t i, uint32_t is_deaf) {
  deaf[i] = is_deaf;
}

/* Somebody else writes; the loop sees it at its next look. */
void bench_intrude(bench_t *bench, uint32_t i, uint32_t mw) {
  limit_mw[i] = mw;
  limits_read(&bench->limits, i, bench->now_ns);
}

uint32_t bench_limit(uint32_t i) {
  return limit_mw[i];
}

uint64_t bench_foreign(const bench_t *bench, uint32_t i) {
  return bench->limits.devices[i].foreign.count;
}

uint32_t bench_fate(const bench_t *bench, uint32_t i) {
  return (uint32_t)bench->limits.devices[i].foreign.fate;
}

void bench_policy(bench_t *bench, uint32_t policy) {
  bench->limits.on_foreign = (foreign_policy_t)policy;
}

void bench_take_back(bench_t *bench, uint32_t i) {
  limits_take_back(&bench->limits, i);
}

uint32_t bench_written(const bench_t *bench, uint32_t i) {
  return bench->limits.devices[i].written_mw;
}

void bench_move(bench_t *bench, uint32_t i, uint32_t presence) {
  bench->limits.devices[i].presence = (uint8_t)presence;
}

uint32_t bench_held(const bench_t *bench, uint32_t i) {
  return bench->limits.devices[i].held_mw;
}

int bench_step(bench_t *bench, const uint32_t *lease_mw, const uint32_t *safe_mw, uint64_t envelope_mw,
               const uint32_t *clocks_mhz, int leased, int64_t now_ns) {
  bench->now_ns = now_ns;
  purse_fill(&bench->purse, now_ns);
  int wrote = limits_govern(&bench->limits, leased ? lease_mw : NULL, safe_mw, envelope_mw, now_ns);
  return ceilings_govern(&bench->ceilings, clocks_mhz, leased, now_ns) || wrote;
}

uint32_t bench_log(const bench_t *bench, const entry_t **log) {
  *log = bench->log;
  return bench->logged;
}
