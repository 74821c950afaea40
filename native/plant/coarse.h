/* Many hosts of one kind, a second to a day at a time: for months of a trace.
 *
 * The model and its numbers are the fine plant's (model.h). What is faster there than a step is taken as settled: a
 * power limit holds the mean of its target, a clock lock acts at once, heat follows its chain exactly, and too hot a
 * board is held at the temperature at which its clocks fall. Sensors are read as their mean over the step. Left out are
 * edges of load, bursts above a limit, the driver's delays, and the processors' knobs, which stay as boot leaves them.
 *
 * The columns hold a number for each GPU, host by host, or for each host. The caller writes into the first ones what it
 * likes; what does not make sense is refused before a step, not when it is written.
 */
#ifndef EAGENT_PLANT_COARSE_H
#define EAGENT_PLANT_COARSE_H

#include "plant/lab.h"

#define COARSE_HOSTS_MAX  1000000u
#define COARSE_STEP_MIN_S 1.0
#define COARSE_STEP_MAX_S 86400.0

typedef struct coarse {
  struct spec *spec;
  uint32_t hosts, gpus; /* of each host */
  double time_s;

  /* To be set, per GPU. */
  uint8_t *resident;        /* not 0: a process is there. Without one it sleeps, and no activity is asked for */
  double *compute, *memory; /* u and m of the power model while it works */
  double *compute_fraction; /* beta: the share of the work's time that scales with the clock */
  double *busy;             /* the share of the step in which it works; the rest, the process is quiet */
  double *burst_s; /* how long it works at a time (1 at first): a power limit bounds the mean of short bursts, and each
                      long one */
  double *limit_w, *ceiling_mhz; /* ceiling 0: none */

  /* What came of it, per GPU: means over the last step, of the clock and the rate over the time at work ... */
  double *clock_mhz, *power_w, *reading_w, *rate; /* clock and reading are NaN where no driver answers */
  double *temperature_c, *energy_j, *work_s;      /* ... and at its end; work as in seconds at full clock */
  double *heat_k[PLANT_HEAT_STAGES];
  double *gain, *offset_w; /* of its sensor */

  /* Per host: changed by the switch only. */
  uint8_t *power; /* enum plant_power, at the step's end */
  double *boot_left_s;
  double *wall_w, *wall_energy_j; /* mean over the last step; total */

  double *block;      /* that holds all columns of numbers */
  double *packages_w; /* what processors and memory draw, by the bit mask of the GPUs that are in use; NaN: not known */
} coarse_t;

/* All hosts are on, nothing runs, and they are as warm as that makes them. Host n's boards are those of a fine host
 * with the seed `seed` + n. 0, -EINVAL for numbers that describe no host, -ENOMEM. */
int coarse_create(const plant_description_t *description, uint32_t hosts, coarse_t **coarse);
void coarse_free(coarse_t *coarse);

/* Power goes at once, and with it work, limits and ceilings; it boots, for the supply's boot_s. Nothing if it is so
 * already. */
void coarse_switch_off(coarse_t *coarse, uint32_t host);
void coarse_switch_on(coarse_t *coarse, uint32_t host);

/* 0; -ERANGE for a step that is too short or too long; -EINVAL with the place in *gpu of the first number that makes no
 * sense. Nothing has happened then. */
int coarse_step(coarse_t *coarse, double span_s, uint32_t *gpu);

#endif
