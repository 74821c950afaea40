/* The processors' state and physics.
 *
 * Between two changes (a knob is written, a process comes to a GPU or goes) nothing about a package changes: its energy
 * and its cores' busy time are straight lines, nothing is stepped, and nothing depends on when it is looked at. A power
 * limit acts at once, by holding the clock where the package draws no more; the averaging window is kept and shown but
 * not modelled.
 */
#ifndef EAGENT_PLANT_CORES_H
#define EAGENT_PLANT_CORES_H

#include "plant/model.h"

typedef struct core {
  uint32_t min_khz, max_khz; /* as requested */
  uint32_t governor, epp;
} core_t;

typedef struct package {
  double power_w, dram_w;  /* since the last change */
  double energy_j, dram_j; /* until then */
  double row_energy_j;     /* of both, at the last row's end */
  uint32_t throttle_khz;   /* what the power limit lets its cores run at */
  uint32_t enabled;
  double counted_from_j, dram_from_j; /* when the counters last began */
  uint64_t limit_uw[PLANT_RAPL_LIMITS], window_us[PLANT_RAPL_LIMITS];
} package_t;

typedef struct cpus {
  int64_t since_ns;                    /* the last change */
  int64_t booted_ns;                   /* when the host last came to be on */
  uint32_t resident, dark;             /* since then: the GPUs that a process is on, as a bit mask; without power */
  int64_t resident_ns[PLANT_GPUS_MAX]; /* until then: how long one was on each in this boot */
  package_t packages[PLANT_PACKAGES_MAX];
  core_t cores[PLANT_CPUS_MAX];
  double pace[PLANT_GPUS_MAX]; /* f/fmax of the core that feeds a GPU */
} cpus_t;

void cores_init(const spec_t *spec, cpus_t *cpus);
/* Power goes, and with it all settings and counters; it comes back. */
void cores_off(const spec_t *spec, cpus_t *cpus, int64_t time_ns);
void cores_on(const spec_t *spec, cpus_t *cpus, int64_t time_ns);
int cores_are_sane(const spec_t *spec, const cpus_t *cpus);
/* Something has changed at time_ns: what was until then is settled, the rest follows from the new state, in which a
 * process is on the GPUs in the bit mask `resident`. */
void cores_update(const spec_t *spec, cpus_t *cpus, uint32_t resident, int64_t time_ns);
/* At any time since the last change: joules of a package, and for how long a core was busy. */
void cores_energy_j(const cpus_t *cpus, uint32_t package, int64_t time_ns, double *package_j, double *dram_j);
double cores_busy_s(const spec_t *spec, const cpus_t *cpus, uint32_t cpu, int64_t time_ns);

int cores_has_governor(const spec_t *spec, uint32_t governor);
uint32_t cores_epp(const core_t *core);
void cores_range(const spec_t *spec, const core_t *core, uint32_t *min_khz, uint32_t *max_khz);
uint32_t cores_khz(const spec_t *spec, const cpus_t *cpus, uint32_t cpu, double busy);
double cores_busy(const spec_t *spec, uint32_t cpu, uint32_t resident);

#endif
