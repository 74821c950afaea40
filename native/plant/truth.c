#include "plant/truth.h"

#include <string.h>

#include "plant/session.h"
#include "plant/supply.h"

static void look_at_gpu(const session_t *session, uint32_t index, plant_gpu_truth_t *out) {
  const gpu_t *gpu = &session->state->gpus[index];
  sensor_t sensor;
  gpu_read_sensor(session->spec, &session->spec->boards[index], gpu, session->now_ns, &sensor);
  out->power_w = gpu->power_w;
  out->temperature_c = gpu_temperature_c(session->spec, gpu, session->state->tick);
  out->sensor_age_ns = session->now_ns - sensor.time_ns;
}

int plant_host_truth(plant_host_t *host, plant_truth_t *out) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  const state_t *state = session.state;
  memset(out, 0, sizeof *out);
  out->time_ns = session.now_ns;
  out->since_ns = state->supply.since_ns;
  out->power = state->supply.power;
  out->events = state->events;
  out->wall_w = supply_power_w(session.spec, state);
  for (uint32_t i = 0; i < session.spec->given.gpus; i++) look_at_gpu(&session, i, &out->gpus[i]);
  for (uint32_t i = 0; i < session.spec->given.cpu.packages; i++)
    out->package_w[i] = state->cpus.packages[i].power_w + state->cpus.packages[i].dram_w;
  return session_end(&session, 0);
}
