/* What a fault that strikes does, at once. Nobody asked for it, so in the log it is nobody (pid 0) who resets settings;
 * the foreign writer has a pid of its own. */
#include <math.h>

#include "plant/trouble.h"

static int64_t now_ns(const state_t *state) {
  return state->tick * TICK_NS;
}

static void enter(plant_file_t *file, state_t *state, plant_event_t event) {
  event.time_ns = now_ns(state);
  file_enter(file, state, event);
}

static void set_limit(plant_file_t *file, state_t *state, uint32_t index, uint32_t limit_mw, uint32_t pid) {
  gpu_t *gpu = &state->gpus[index];
  plant_event_t event = {.kind = PLANT_WRITE_LIMIT, .gpu = index, .pid = pid};
  event.old_value = gpu->limit_mw;
  event.new_value = limit_mw;
  enter(file, state, event);
  gpu->limit_mw = limit_mw;
  gpu->limit_from_tick = state->tick;
}

static void set_lock(plant_file_t *file, state_t *state, uint32_t index, uint32_t min_mhz, uint32_t max_mhz,
                     uint32_t pid) {
  gpu_t *gpu = &state->gpus[index];
  plant_event_t event = {.kind = PLANT_WRITE_LOCK, .gpu = index, .pid = pid, .min_mhz = min_mhz, .max_mhz = max_mhz};
  enter(file, state, event);
  gpu->lock_min_mhz = min_mhz;
  gpu->lock_max_mhz = max_mhz;
  gpu->lock_from_tick = state->tick;
}

/* Memory lock, application clocks, and what calls are open to anyone. */
static void drop_knobs(plant_file_t *file, state_t *state, uint32_t index) {
  plant_knobs_t *knobs = &state->gpus[index].knobs;
  plant_event_t event = {.gpu = index};
  event.kind = PLANT_WRITE_MEMORY_LOCK;
  if (knobs->memory_max_mhz) enter(file, state, event);
  event.kind = PLANT_WRITE_APPLICATION;
  event.old_value = knobs->application_mhz;
  if (knobs->application_mhz) enter(file, state, event);
  event.kind = PLANT_WRITE_RESTRICTION;
  event.old_value = knobs->open;
  if (knobs->open) enter(file, state, event);
  *knobs = (plant_knobs_t){0};
}

/* All that the driver keeps for a board without a disk; the log tells what of it was changed. */
static void drop_settings(plant_file_t *file, state_t *state, uint32_t index) {
  gpu_t *gpu = &state->gpus[index];
  uint32_t default_mw = file->spec.given.model.limit_default_mw;
  if (gpu->limit_mw != default_mw) set_limit(file, state, index, default_mw, 0);
  if (gpu->lock_max_mhz) set_lock(file, state, index, 0, 0, 0);
  if (gpu->persistence)
    enter(file, state, (plant_event_t){.kind = PLANT_WRITE_PERSISTENCE, .gpu = index, .old_value = gpu->persistence});
  gpu->persistence = 0;
  drop_knobs(file, state, index);
}

static void reset_energy(const spec_t *spec, state_t *state, uint32_t index) {
  gpu_t *gpu = &state->gpus[index];
  gpu->counted_from_j = gpu_energy_j(spec, gpu, state->tick);
  gpu->sensor.energy_mj = 0;
}

static void reset_counters(const spec_t *spec, state_t *state, uint32_t index) {
  reset_energy(spec, state, index);
  state->gpus[index].throttle = (plant_throttle_t){0};
}

static void reset_gpu(plant_file_t *file, state_t *state, uint32_t index) {
  drop_settings(file, state, index);
  reset_counters(&file->spec, state, index);
  trouble_cure(state, PLANT_FAULT_RESET_REQUIRED, index);
}

static void reload_driver(plant_file_t *file, state_t *state) {
  for (uint32_t index = 0; index < file->spec.given.gpus; index++) {
    drop_settings(file, state, index);
    reset_counters(&file->spec, state, index);
  }
  trouble_cure(state, PLANT_FAULT_RESET_REQUIRED, PLANT_NO_GPU);
  state->faults.reloads++;
}

static void wrap_soon(const spec_t *spec, state_t *state, uint32_t index, double left_j) {
  package_t *package = &state->cpus.packages[index];
  double range_j = (double)spec->given.cpu.energy_range_uj * 1e-6, package_j, dram_j;
  cores_update(spec, &state->cpus, state_resident(state), now_ns(state)); /* no counter begins in what is not settled */
  cores_energy_j(&state->cpus, index, now_ns(state), &package_j, &dram_j);
  package->counted_from_j = package_j - (range_j - left_j);
  package->dram_from_j = dram_j - (range_j - left_j);
}

static void tell_xid(state_t *state, uint32_t index, double xid) {
  plant_signal_t signal = {.time_ns = now_ns(state), .type = PLANT_SIGNAL_XID, .data = (uint64_t)xid, .gpu = index};
  signal_raise(&state->signals, signal);
}

static void strike_gpu(plant_file_t *file, state_t *state, const plant_fault_t *fault, uint32_t index) {
  switch (fault->kind) {
    case PLANT_FAULT_ENERGY_RESET:
      reset_energy(&file->spec, state, index);
      break;
    case PLANT_FAULT_XID:
      tell_xid(state, index, fault->value[0]);
      break;
    case PLANT_FAULT_GPU_RESET:
      reset_gpu(file, state, index);
      break;
    case PLANT_FAULT_SETTINGS_DROPPED:
      drop_settings(file, state, index);
      break;
    case PLANT_FAULT_FOREIGN_LIMIT:
      set_limit(file, state, index, (uint32_t)lround(fault->value[0] * 1e3), PLANT_FOREIGN_PID);
      break;
    case PLANT_FAULT_FOREIGN_LOCK:
      set_lock(file, state, index, (uint32_t)(uint64_t)fault->value[0], (uint32_t)(uint64_t)fault->value[1],
               PLANT_FOREIGN_PID);
      break;
    default:
      break;
  }
}

void strike(plant_file_t *file, state_t *state, const plant_fault_t *fault) {
  const spec_t *spec = &file->spec;
  int is_all = fault->target == PLANT_FAULT_OF_HOST;
  if (state->supply.power != PLANT_POWER_ON) return;
  if (fault->kind == PLANT_FAULT_DRIVER_RELOAD) {
    reload_driver(file, state);
  } else if (fault->kind == PLANT_FAULT_RAPL_WRAP) {
    for (uint32_t i = 0; i < spec->given.cpu.packages; i++) {
      if (is_all || fault->index == i) wrap_soon(spec, state, i, fault->value[0]);
    }
  } else {
    for (uint32_t i = 0; i < spec->given.gpus; i++) {
      if (is_all || fault->index == i) strike_gpu(file, state, fault, i);
    }
    if (is_all && fault->kind == PLANT_FAULT_GPU_RESET) trouble_cure(state, PLANT_FAULT_RESET_REQUIRED, PLANT_NO_GPU);
  }
}
