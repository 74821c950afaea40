#include "plant/shown.h"

#include <errno.h>
#include <string.h>

#include "plant/session.h"

#define MILLISECOND_NS 1000000

/* Who moves `last` counts the publication, so no two do. A number 0 is of a time before the host was made. */
void plant_host_show(plant_host_t *host, uint32_t gpu, const plant_gpu_view_t *view) {
  plant_shown_t *shown = &host->file->driver.shown[gpu];
  uint64_t last = __atomic_load_n(&shown->last, __ATOMIC_RELAXED);
  do {
    if (view->sensor_number <= last) return;
  } while (
      !__atomic_compare_exchange_n(&shown->last, &last, view->sensor_number, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  const int64_t age_ns = view->sensor_age_ns > 0 ? view->sensor_age_ns : 0;
  const uint64_t age_ms = (uint64_t)age_ns / MILLISECOND_NS;
  const uint64_t place = age_ms < PLANT_SHOWN_AGES ? age_ms : PLANT_SHOWN_AGES - 1;
  __atomic_fetch_add(&shown->ages[place], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&shown->age_ns, age_ns, __ATOMIC_RELAXED);
}

int plant_host_shown(plant_host_t *host, uint32_t gpu, plant_shown_t *out, uint64_t *published) {
  if (gpu >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  sensor_t sensor;
  gpu_read_sensor(session.spec, &session.spec->boards[gpu], &session.state->gpus[gpu], session.now_ns, &sensor);
  *published = sensor.next;
  memcpy(out, &session.file->driver.shown[gpu], sizeof *out); /* as in plant_host_calls */
  return session_end(&session, 0);
}
