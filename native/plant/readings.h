/* What changes about a host's GPUs and its driver shows, of all GPUs at once: for who looks often. */
#ifndef EAGENT_PLANT_READINGS_H
#define EAGENT_PLANT_READINGS_H

#include "plant/host.h"

struct session;

/* By GPU; each as in plant_gpu_view. */
typedef struct plant_readings {
  uint64_t sensor_time_us[PLANT_GPUS_MAX], energy_mj[PLANT_GPUS_MAX], event_reasons[PLANT_GPUS_MAX];
  uint32_t power_plain_mw[PLANT_GPUS_MAX], sm_clock_mhz[PLANT_GPUS_MAX], temperature_c[PLANT_GPUS_MAX];
  uint32_t gpu_utilisation_pct[PLANT_GPUS_MAX], memory_utilisation_pct[PLANT_GPUS_MAX];
  uint32_t is_there, reserved; /* 0: the host is not on, and nothing above was read */
} plant_readings_t;

/* 0 or -errno. */
int plant_host_readings(plant_host_t *host, plant_readings_t *readings);
/* Within a session that looks: all of it, and what of a view goes on changing. */
void readings_take(const struct session *session, plant_readings_t *readings);
void readings_view(const struct session *session, uint32_t gpu, plant_gpu_view_t *view);

#endif
