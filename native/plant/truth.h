/* The truth of a whole host at one instant, for who watches a simulation: no sensor's window, gain or noise is in it.
 */
#ifndef EAGENT_PLANT_TRUTH_H
#define EAGENT_PLANT_TRUTH_H

#include "plant/lab.h"

typedef struct plant_gpu_truth {
  double power_w; /* the mean of the last tick */
  double temperature_c;
  int64_t sensor_age_ns; /* since what its power sensor shows was published */
} plant_gpu_truth_t;

typedef struct plant_truth {
  int64_t time_ns;  /* since the host was made */
  int64_t since_ns; /* when the host came to be off, booting or on */
  uint32_t power;   /* enum plant_power */
  uint32_t events;  /* entries in the log of writes (plant_host_events) */
  double wall_w;
  plant_gpu_truth_t gpus[PLANT_GPUS_MAX];
  double package_w[PLANT_PACKAGES_MAX]; /* each with its DRAM */
} plant_truth_t;

/* Integrate up to now and look. 0 or -errno. */
int plant_host_truth(plant_host_t *host, plant_truth_t *out);

#endif
