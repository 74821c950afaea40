#include "plant/knob.h"

#include <errno.h>

#include "plant/session.h"

int plant_host_knobs(plant_host_t *host, uint32_t index, plant_knobs_t *knobs) {
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  *knobs = session.state->gpus[index].knobs;
  return session_end(&session, 0);
}

int plant_host_lock_memory(plant_host_t *host, uint32_t index, uint32_t min_mhz, uint32_t max_mhz) {
  const plant_model_t *model = &host->file->spec.given.model;
  int is_reset = min_mhz == 0 && max_mhz == 0;
  int holds_clock = min_mhz <= model->memory_clock_mhz && model->memory_clock_mhz <= max_mhz;
  if (index >= plant_host_gpu_count(host) || !(is_reset || holds_clock)) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  plant_knobs_t *knobs = &session.draft->gpus[index].knobs;
  session_log(&session,
              (plant_event_t){.kind = PLANT_WRITE_MEMORY_LOCK, .gpu = index, .min_mhz = min_mhz, .max_mhz = max_mhz});
  knobs->memory_min_mhz = min_mhz;
  knobs->memory_max_mhz = max_mhz;
  return session_end(&session, 0);
}

int plant_host_set_application_clock(plant_host_t *host, uint32_t index, uint32_t sm_mhz) {
  const spec_t *spec = &host->file->spec;
  const plant_model_t *model = &spec->given.model;
  int is_clock = sm_mhz == 0 || model_clock_mhz(model, model_step(model, &spec->physics, sm_mhz)) == sm_mhz;
  if (index >= plant_host_gpu_count(host) || !is_clock) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  plant_knobs_t *knobs = &session.draft->gpus[index].knobs;
  session_log(
      &session,
      (plant_event_t){
          .kind = PLANT_WRITE_APPLICATION, .gpu = index, .old_value = knobs->application_mhz, .new_value = sm_mhz});
  knobs->application_mhz = sm_mhz;
  return session_end(&session, 0);
}

int plant_host_set_open(plant_host_t *host, uint32_t index, uint32_t open) {
  if (index >= plant_host_gpu_count(host) || open > PLANT_OPEN_APPLICATION_CLOCKS) return -ERANGE;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  plant_knobs_t *knobs = &session.draft->gpus[index].knobs;
  session_log(
      &session,
      (plant_event_t){.kind = PLANT_WRITE_RESTRICTION, .gpu = index, .old_value = knobs->open, .new_value = open});
  knobs->open = open;
  return session_end(&session, 0);
}
