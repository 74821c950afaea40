#include "plant/readings.h"

#include "plant/session.h"

void readings_take(const session_t *session, plant_readings_t *readings) {
  readings->is_there = session->state->supply.power == PLANT_POWER_ON;
  if (!readings->is_there) return;
  for (uint32_t gpu = 0; gpu < session->spec->given.gpus; gpu++) {
    plant_gpu_view_t view;
    readings_view(session, gpu, &view);
    readings->sensor_time_us[gpu] = view.sensor_time_us;
    readings->energy_mj[gpu] = view.energy_mj;
    readings->event_reasons[gpu] = view.event_reasons;
    readings->power_plain_mw[gpu] = view.power_plain_mw;
    readings->sm_clock_mhz[gpu] = view.sm_clock_mhz;
    readings->temperature_c[gpu] = view.temperature_c;
    readings->gpu_utilisation_pct[gpu] = view.gpu_utilisation_pct;
    readings->memory_utilisation_pct[gpu] = view.memory_utilisation_pct;
  }
}

int plant_host_readings(plant_host_t *host, plant_readings_t *readings) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  readings_take(&session, readings);
  return session_end(&session, 0);
}
