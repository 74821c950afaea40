/* The processors of a simulated host, as its kernel shows them (cpufreq and powercap) and as they really are.
 *
 * They have no work of their own: what keeps them busy is feeding GPUs and polling for their answers. A process on a
 * GPU keeps some cores busy as long as it lives, whatever their clock: it works, or it spins. A load may need them to
 * make progress (host_s of plant_gang and plant_serving); then it waits for them the longer the slower they run.
 */
#ifndef EAGENT_PLANT_CPU_H
#define EAGENT_PLANT_CPU_H

#include "plant/host.h"

#define PLANT_PACKAGES_MAX    4u
#define PLANT_CPUS_MAX        256u /* cores of all packages; each is one logical CPU and one cpufreq policy */
#define PLANT_RAPL_LIMITS     2u   /* constraints of a package: long term, short term */
#define PLANT_RAPL_UNIT_UW    125000u
#define PLANT_RAPL_UNITS_MAX  0x7fffu /* what the register's field holds: more is cut off, as in hardware */
#define PLANT_RAPL_ENERGY_PJ  61035u  /* thousandths of a microjoule per count: 2^-14 J, as the kernel rounds it */
#define PLANT_RAPL_REFRESH_NS 1000000ll

enum plant_cpufreq { PLANT_CPUFREQ_ACPI = 0, PLANT_CPUFREQ_INTEL_PSTATE = 1 };
enum plant_powercap { PLANT_POWERCAP_MSR = 0, PLANT_POWERCAP_MMIO = 1, PLANT_POWERCAP_AMD = 2 /* reads only */ };
enum plant_governor {
  PLANT_GOVERNOR_PERFORMANCE = 0,
  PLANT_GOVERNOR_POWERSAVE = 1,
  PLANT_GOVERNOR_SCHEDUTIL = 2, /* this and the next two: ACPI only. A busy core is busy all the time: all three ... */
  PLANT_GOVERNOR_ONDEMAND = 3,  /* ... give it the highest clock allowed */
  PLANT_GOVERNOR_CONSERVATIVE = 4,
};

/* One kind of processor. Where each number comes from stands beside it in eagent/sim/models/cpu. */
typedef struct plant_cpu_model {
  char name[64];
  uint32_t driver, powercap;
  uint32_t packages; /* 0: the host has no processors to speak of */
  uint32_t cores;    /* of one package */
  uint32_t min_khz, max_khz;

  /* package: P = idle + core * sum over busy cores of (f/fmax) * v(f)^2; its DRAM: P = idle + dram * busy share */
  double idle_w, core_w, dram_idle_w, dram_w;
  double volt_min, volt_corner_khz, volt_exponent; /* v(f) as in plant_model */
  double epp_drop; /* intel_pstate, powersave: at EPP 255 a busy core stays this share of the range below its top;
                      nothing at 128 and below */

  double threads; /* cores that a process on a GPU keeps busy */
  uint64_t limit_uw[PLANT_RAPL_LIMITS], window_us[PLANT_RAPL_LIMITS], limit_max_uw[PLANT_RAPL_LIMITS];
  uint64_t energy_range_uj; /* the greatest value of an energy counter, which then begins again at 0 */
} plant_cpu_model_t;

typedef struct plant_cpu_view {
  uint32_t package;
  uint32_t governor, epp;                    /* epp: 0 (performance) to 255 (power); as in force */
  uint32_t min_khz, max_khz;                 /* as in force: the requests, brought into the hardware's range */
  uint32_t min_request_khz, max_request_khz; /* as written */
  uint32_t current_khz;
  double busy;           /* now, as a share of time */
  double busy_s, idle_s; /* since the host came up, up to the last 5 ms; neither falls while it is up */
} plant_cpu_view_t;

typedef struct plant_rapl_view {
  uint64_t energy_uj, dram_uj; /* the counters: refreshed each millisecond; DRAM is not part of its package */
  uint64_t limit_uw[PLANT_RAPL_LIMITS], window_us[PLANT_RAPL_LIMITS];
  uint32_t enabled;
} plant_rapl_view_t;

const plant_cpu_model_t *plant_host_cpu_model(const plant_host_t *host);
/* 0, -ERANGE for a CPU or package that is not there, or -ENODEV while the host is not on. */
int plant_host_cpu_view(plant_host_t *host, uint32_t cpu, plant_cpu_view_t *view);
int plant_host_rapl_view(plant_host_t *host, uint32_t package, plant_rapl_view_t *view);

/* Setters: `what` is of enum plant_write. Each is entered in the host's log with `pid`, or the caller's for 0. They
 * answer as the kernel does: -EINVAL for a value that it does not take, -EBUSY for another EPP than 0 under the
 * governor `performance`, -ENODATA for a limit where there are none; -ERANGE as above. A frequency outside of the
 * hardware's range is no error. */
int plant_host_set_cpu(plant_host_t *host, uint32_t cpu, uint32_t what, uint32_t value, uint32_t pid);
int plant_host_set_rapl(plant_host_t *host, uint32_t package, uint32_t what, uint32_t constraint, uint64_t value,
                        uint32_t pid);

/* The truth: joules of package and DRAM since creation; mean watts of each package with its DRAM per 100 ms. */
int plant_host_cpu_energy_true(plant_host_t *host, uint32_t package, double *package_j, double *dram_j);
int plant_host_cpu_power_log(plant_host_t *host, uint32_t from, float (*out)[PLANT_PACKAGES_MAX], uint32_t room,
                             uint32_t *count);

#endif
