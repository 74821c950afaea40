#include "plant/cores.h"

#include <math.h>
#include <string.h>

#define EPP_DEFAULT 128u /* balance_performance */
#define EPP_MAX     255u
#define ENERGY_J    1e15 /* more than any host draws in its life */

static const plant_cpu_model_t *kind(const spec_t *spec) {
  return &spec->given.cpu;
}

static uint32_t cpu_count(const spec_t *spec) {
  return kind(spec)->packages * kind(spec)->cores;
}

int cores_has_governor(const spec_t *spec, uint32_t governor) {
  return governor <=
         (kind(spec)->driver == PLANT_CPUFREQ_INTEL_PSTATE ? PLANT_GOVERNOR_POWERSAVE : PLANT_GOVERNOR_CONSERVATIVE);
}

uint32_t cores_epp(const core_t *core) {
  return core->governor == PLANT_GOVERNOR_PERFORMANCE ? 0 : core->epp;
}

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high) {
  return value < low ? low : value > high ? high : value;
}

/* As the kernel's cpufreq_verify_within_limits: where the requests cross, the upper one holds. */
void cores_range(const spec_t *spec, const core_t *core, uint32_t *min_khz, uint32_t *max_khz) {
  *max_khz = clamp(core->max_khz, kind(spec)->min_khz, kind(spec)->max_khz);
  *min_khz = clamp(core->min_khz, kind(spec)->min_khz, *max_khz);
}

double cores_busy(const spec_t *spec, uint32_t cpu, uint32_t resident) {
  const wiring_t *wiring = &spec->wiring;
  return wiring->gpu[cpu] && resident >> (wiring->gpu[cpu] - 1) & 1 ? wiring->busy[cpu] : 0;
}

/* What governor, EPP and limits let a core run at, before the power limit. */
static uint32_t wanted_khz(const spec_t *spec, const core_t *core, int busy) {
  const plant_cpu_model_t *model = kind(spec);
  uint32_t min_khz, max_khz;
  cores_range(spec, core, &min_khz, &max_khz);
  if (core->governor == PLANT_GOVERNOR_PERFORMANCE) return max_khz;
  if (!busy) return min_khz;
  if (core->governor != PLANT_GOVERNOR_POWERSAVE) return max_khz;
  if (model->driver == PLANT_CPUFREQ_ACPI) return min_khz;
  double over = fmax(0, (double)core->epp - EPP_DEFAULT) / (EPP_MAX - EPP_DEFAULT);
  double top_khz = model->max_khz - model->epp_drop * over * (model->max_khz - model->min_khz);
  return clamp((uint32_t)top_khz, min_khz, max_khz);
}

uint32_t cores_khz(const spec_t *spec, const cpus_t *cpus, uint32_t cpu, double busy) {
  uint32_t khz = wanted_khz(spec, &cpus->cores[cpu], busy > 0);
  uint32_t throttle_khz = cpus->packages[cpu / kind(spec)->cores].throttle_khz;
  return khz < throttle_khz ? khz : throttle_khz;
}

static double drive(const plant_cpu_model_t *model, uint32_t khz) {
  double above = fmax(0, (khz - model->volt_corner_khz) / (model->max_khz - model->volt_corner_khz));
  double volt = model->volt_min + (1 - model->volt_min) * pow(above, model->volt_exponent);
  return (double)khz / model->max_khz * volt * volt;
}

/* The package's watts if none of its cores may run faster than throttle_khz. */
static double package_w(const spec_t *spec, const cpus_t *cpus, uint32_t package, uint32_t resident,
                        uint32_t throttle_khz) {
  const plant_cpu_model_t *model = kind(spec);
  double power_w = model->idle_w;
  for (uint32_t cpu = package * model->cores; cpu < (package + 1) * model->cores; cpu++) {
    double busy = cores_busy(spec, cpu, resident);
    if (busy == 0) continue;
    uint32_t khz = wanted_khz(spec, &cpus->cores[cpu], 1);
    power_w += busy * model->core_w * drive(model, khz < throttle_khz ? khz : throttle_khz);
  }
  return power_w;
}

static double limit_w(const package_t *package) {
  if (!package->enabled) return INFINITY;
  uint64_t least_uw = package->limit_uw[0] < package->limit_uw[1] ? package->limit_uw[0] : package->limit_uw[1];
  return (double)least_uw * 1e-6;
}

/* The fastest clock that fits the limit; the slowest there is if none does. */
static uint32_t throttle(const spec_t *spec, const cpus_t *cpus, uint32_t package, uint32_t resident) {
  const plant_cpu_model_t *model = kind(spec);
  double most_w = limit_w(&cpus->packages[package]);
  uint32_t low = model->min_khz, high = model->max_khz;
  if (model->powercap == PLANT_POWERCAP_AMD || package_w(spec, cpus, package, resident, high) <= most_w) return high;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (package_w(spec, cpus, package, resident, middle) <= most_w) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

static int64_t since_change_ns(const cpus_t *cpus, int64_t time_ns) {
  return time_ns > cpus->since_ns ? time_ns - cpus->since_ns : 0;
}

void cores_energy_j(const cpus_t *cpus, uint32_t index, int64_t time_ns, double *package_j, double *dram_j) {
  const package_t *package = &cpus->packages[index];
  double span_s = (double)since_change_ns(cpus, time_ns) * 1e-9;
  *package_j = package->energy_j + package->power_w * span_s;
  *dram_j = package->dram_j + package->dram_w * span_s;
}

static int64_t resident_ns(const cpus_t *cpus, uint32_t gpu, int64_t time_ns) {
  return cpus->resident_ns[gpu] + (cpus->resident >> gpu & 1 ? since_change_ns(cpus, time_ns) : 0);
}

double cores_busy_s(const spec_t *spec, const cpus_t *cpus, uint32_t cpu, int64_t time_ns) {
  uint32_t gpu = spec->wiring.gpu[cpu];
  return gpu ? spec->wiring.busy[cpu] * (double)resident_ns(cpus, gpu - 1, time_ns) * 1e-9 : 0;
}

static void settle(const spec_t *spec, cpus_t *cpus, int64_t time_ns) {
  for (uint32_t i = 0; i < kind(spec)->packages; i++)
    cores_energy_j(cpus, i, time_ns, &cpus->packages[i].energy_j, &cpus->packages[i].dram_j);
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) cpus->resident_ns[gpu] = resident_ns(cpus, gpu, time_ns);
  cpus->since_ns += since_change_ns(cpus, time_ns);
}

void cores_update(const spec_t *spec, cpus_t *cpus, uint32_t resident, int64_t time_ns) {
  const plant_cpu_model_t *model = kind(spec);
  settle(spec, cpus, time_ns);
  cpus->resident = resident;
  for (uint32_t i = 0; i < model->packages; i++) {
    package_t *package = &cpus->packages[i];
    double busy = 0;
    for (uint32_t cpu = i * model->cores; cpu < (i + 1) * model->cores; cpu++) busy += cores_busy(spec, cpu, resident);
    package->throttle_khz = throttle(spec, cpus, i, resident);
    package->power_w = cpus->dark ? 0 : package_w(spec, cpus, i, resident, package->throttle_khz);
    package->dram_w = cpus->dark ? 0 : model->dram_idle_w + model->dram_w * busy / model->cores;
  }
  for (uint32_t gpu = 0; gpu < spec->given.gpus && model->packages; gpu++)
    cpus->pace[gpu] = (double)cores_khz(spec, cpus, spec->wiring.first_cpu[gpu], 1) / model->max_khz;
}

/* What boot gives. */
static void set_defaults(const spec_t *spec, cpus_t *cpus) {
  const plant_cpu_model_t *model = kind(spec);
  uint32_t governor = model->driver == PLANT_CPUFREQ_ACPI ? PLANT_GOVERNOR_SCHEDUTIL : PLANT_GOVERNOR_POWERSAVE;
  for (uint32_t cpu = 0; cpu < cpu_count(spec); cpu++)
    cpus->cores[cpu] = (core_t){model->min_khz, model->max_khz, governor, EPP_DEFAULT};
  for (uint32_t i = 0; i < model->packages; i++) {
    package_t *package = &cpus->packages[i];
    package->enabled = model->powercap != PLANT_POWERCAP_AMD;
    memcpy(package->limit_uw, model->limit_uw, sizeof package->limit_uw);
    memcpy(package->window_us, model->window_us, sizeof package->window_us);
  }
}

void cores_init(const spec_t *spec, cpus_t *cpus) {
  memset(cpus, 0, sizeof *cpus);
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) cpus->pace[gpu] = 1;
  set_defaults(spec, cpus);
  cores_update(spec, cpus, 0, 0);
}

void cores_off(const spec_t *spec, cpus_t *cpus, int64_t time_ns) {
  cores_update(spec, cpus, 0, time_ns); /* settles what was drawn until now */
  set_defaults(spec, cpus);
  cpus->dark = 1;
  cores_update(spec, cpus, 0, time_ns);
  memset(cpus->resident_ns, 0, sizeof cpus->resident_ns);
  for (uint32_t i = 0; i < kind(spec)->packages; i++) {
    cpus->packages[i].counted_from_j = cpus->packages[i].energy_j;
    cpus->packages[i].dram_from_j = cpus->packages[i].dram_j;
  }
}

void cores_on(const spec_t *spec, cpus_t *cpus, int64_t time_ns) {
  cpus->dark = 0;
  cores_update(spec, cpus, 0, time_ns);
  cpus->booted_ns = cpus->since_ns;
}

static int is_energy(double joules) {
  return joules >= 0 && joules <= ENERGY_J;
}

/* A counter may be made to have begun before the host did. */
static int is_start(double joules) {
  return joules >= -ENERGY_J && joules <= ENERGY_J;
}

static int package_is_sane(const spec_t *spec, const package_t *package) {
  return is_energy(package->energy_j) && is_energy(package->dram_j) && is_energy(package->power_w) &&
         is_energy(package->dram_w) && is_start(package->counted_from_j) && is_start(package->dram_from_j) &&
         package->counted_from_j <= package->energy_j && package->dram_from_j <= package->dram_j &&
         package->throttle_khz >= kind(spec)->min_khz;
}

int cores_are_sane(const spec_t *spec, const cpus_t *cpus) {
  for (uint32_t i = 0; i < kind(spec)->packages; i++) {
    if (!package_is_sane(spec, &cpus->packages[i])) return 0;
  }
  uint32_t governor = 0, epp = 0; /* the greatest */
  for (uint32_t cpu = 0; cpu < cpu_count(spec); cpu++) {
    if (cpus->cores[cpu].governor > governor) governor = cpus->cores[cpu].governor;
    if (cpus->cores[cpu].epp > epp) epp = cpus->cores[cpu].epp;
  }
  if (!cores_has_governor(spec, governor) || epp > EPP_MAX) return 0;
  if (cpus->booted_ns < 0 || cpus->booted_ns > cpus->since_ns) return 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!(cpus->pace[gpu] >= CPU_PACE_MIN && cpus->pace[gpu] <= 1)) return 0;
    if (cpus->resident_ns[gpu] < 0 || cpus->resident_ns[gpu] > cpus->since_ns) return 0; /* and since_ns >= 0 */
  }
  return 1;
}
