#include "plant/cpu.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "plant/session.h"

const plant_cpu_model_t *plant_host_cpu_model(const plant_host_t *host) {
  return &host->file->spec.given.cpu;
}

static int has_cpu(const plant_host_t *host, uint32_t cpu) {
  const plant_cpu_model_t *model = plant_host_cpu_model(host);
  return cpu < model->packages * model->cores;
}

static int has_package(const plant_host_t *host, uint32_t package) {
  return package < plant_host_cpu_model(host)->packages;
}

/* How far it is known who was busy: a process may yet have come in a tick that is not integrated. */
static int64_t settled_ns(const state_t *state) {
  int64_t ticked_ns = state->tick * TICK_NS;
  return ticked_ns > state->cpus.since_ns ? ticked_ns : state->cpus.since_ns;
}

int plant_host_cpu_view(plant_host_t *host, uint32_t cpu, plant_cpu_view_t *view) {
  if (!has_cpu(host, cpu)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  const cpus_t *cpus = &session.state->cpus;
  const core_t *core = &cpus->cores[cpu];
  double busy = cores_busy(session.spec, cpu, state_resident(session.state));
  *view = (plant_cpu_view_t){
      .package = cpu / session.spec->given.cpu.cores,
      .governor = core->governor,
      .epp = cores_epp(core),
      .min_request_khz = core->min_khz,
      .max_request_khz = core->max_khz,
      .current_khz = cores_khz(session.spec, cpus, cpu, busy),
      .busy = busy,
      .busy_s = cores_busy_s(session.spec, cpus, cpu, settled_ns(session.state)),
  };
  view->idle_s = (double)(settled_ns(session.state) - cpus->booted_ns) * 1e-9 - view->busy_s;
  cores_range(session.spec, core, &view->min_khz, &view->max_khz);
  return session_end(&session, 0);
}

/* A counter of `range_uj` microjoules at most, which counts in units of 2^-14 J. */
static uint64_t counter_uj(double energy_j, uint64_t range_uj) {
  uint64_t counts = (uint64_t)fmin(fmax(0, energy_j) * 1e9 / PLANT_RAPL_ENERGY_PJ, 0x1p63);
  uint64_t most = range_uj * 1000 / PLANT_RAPL_ENERGY_PJ;
  return counts % (most + 1) * PLANT_RAPL_ENERGY_PJ / 1000;
}

int plant_host_rapl_view(plant_host_t *host, uint32_t index, plant_rapl_view_t *view) {
  if (!has_package(host, index)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  const package_t *package = &session.state->cpus.packages[index];
  uint64_t range_uj = session.spec->given.cpu.energy_range_uj;
  double package_j, dram_j;
  int64_t refreshed_ns = session.now_ns / PLANT_RAPL_REFRESH_NS * PLANT_RAPL_REFRESH_NS;
  cores_energy_j(&session.state->cpus, index, refreshed_ns, &package_j, &dram_j);
  memset(view, 0, sizeof *view);
  view->energy_uj = counter_uj(package_j - package->counted_from_j, range_uj);
  view->dram_uj = counter_uj(dram_j - package->dram_from_j, range_uj);
  memcpy(view->limit_uw, package->limit_uw, sizeof view->limit_uw);
  memcpy(view->window_us, package->window_us, sizeof view->window_us);
  view->enabled = package->enabled;
  return session_end(&session, 0);
}

/* Log the change and let it act. */
static int end_change(session_t *session, plant_event_t event) {
  session_log(session, event);
  cores_update(session->spec, &session->draft->cpus, state_resident(session->draft), session->now_ns);
  return session_end(session, 0);
}

static int takes(const spec_t *spec, const core_t *core, uint32_t what, uint32_t value) {
  switch (what) {
    case PLANT_WRITE_CPU_MIN:
    case PLANT_WRITE_CPU_MAX:
      return value <= INT_MAX ? 0 : -EINVAL;
    case PLANT_WRITE_CPU_GOVERNOR:
      return cores_has_governor(spec, value) ? 0 : -EINVAL;
    case PLANT_WRITE_CPU_EPP:
      if (spec->given.cpu.driver != PLANT_CPUFREQ_INTEL_PSTATE || value > 255) return -EINVAL;
      return value > 0 && core->governor == PLANT_GOVERNOR_PERFORMANCE ? -EBUSY : 0;
    default:
      return -EINVAL;
  }
}

static uint32_t *setting(core_t *core, uint32_t what) {
  switch (what) {
    case PLANT_WRITE_CPU_MIN:
      return &core->min_khz;
    case PLANT_WRITE_CPU_MAX:
      return &core->max_khz;
    case PLANT_WRITE_CPU_GOVERNOR:
      return &core->governor;
    default:
      return &core->epp;
  }
}

int plant_host_set_cpu(plant_host_t *host, uint32_t cpu, uint32_t what, uint32_t value, uint32_t pid) {
  if (!has_cpu(host, cpu)) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  core_t *core = &session.draft->cpus.cores[cpu];
  error = takes(session.spec, core, what, value);
  if (error) return session_end(&session, error);
  uint32_t *place = setting(core, what);
  plant_event_t event = {.kind = what, .gpu = cpu, .pid = pid, .old_value = *place, .new_value = value};
  *place = value;
  return end_change(&session, event);
}

int plant_host_set_rapl(plant_host_t *host, uint32_t index, uint32_t what, uint32_t constraint, uint64_t value,
                        uint32_t pid) {
  if (!has_package(host, index)) return -ERANGE;
  if (constraint >= PLANT_RAPL_LIMITS || plant_host_cpu_model(host)->powercap == PLANT_POWERCAP_AMD) return -ENODATA;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  package_t *package = &session.draft->cpus.packages[index];
  plant_event_t event = {.kind = what, .gpu = index, .pid = pid, .constraint = constraint};
  switch (what) {
    case PLANT_WRITE_RAPL_LIMIT:
      event.old_value = (uint32_t)package->limit_uw[constraint];
      package->limit_uw[constraint] = (value / PLANT_RAPL_UNIT_UW & PLANT_RAPL_UNITS_MAX) * PLANT_RAPL_UNIT_UW;
      event.new_value = (uint32_t)package->limit_uw[constraint];
      break;
    case PLANT_WRITE_RAPL_WINDOW:
      if (value > UINT32_MAX) return session_end(&session, -EINVAL);
      event.old_value = (uint32_t)package->window_us[constraint];
      event.new_value = (uint32_t)value;
      package->window_us[constraint] = value;
      break;
    case PLANT_WRITE_RAPL_ENABLED:
      event.old_value = package->enabled;
      event.new_value = package->enabled = value != 0;
      break;
    default:
      return session_end(&session, -EINVAL);
  }
  return end_change(&session, event);
}

int plant_host_cpu_energy_true(plant_host_t *host, uint32_t package, double *package_j, double *dram_j) {
  if (!has_package(host, package)) return -ERANGE;
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  cores_energy_j(&session.state->cpus, package, session.now_ns, package_j, dram_j);
  return session_end(&session, 0);
}

int plant_host_cpu_power_log(plant_host_t *host, uint32_t from, float (*out)[PLANT_PACKAGES_MAX], uint32_t room,
                             uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  int64_t rows = session.state->tick / ROW_TICKS;
  if (rows > ROWS_MAX) rows = ROWS_MAX;
  for (*count = 0; *count < room && from + *count < rows; (*count)++)
    memcpy(out[*count], session.file->cpu_power_w[from + *count], sizeof out[0]);
  return session_end(&session, 0);
}
