/* What follows from a GPU model and a seed; computed once, when the host is made, and kept in its file. */
#ifndef EAGENT_PLANT_MODEL_H
#define EAGENT_PLANT_MODEL_H

#include "plant/lab.h"

#define TICK_NS         5000000ll
#define TICK_S          0.005
#define CLOCK_STEPS_MAX 256u
#define CPU_PACE_MIN    0.01 /* the slowest CPU clock, as a share of the fastest */

typedef struct physics {
  uint32_t steps;                  /* clock steps; the last is the fastest */
  double drive[CLOCK_STEPS_MAX];   /* (f/fmax) * v(f)^2: what a clock step multiplies compute power with */
  double stretch[CLOCK_STEPS_MAX]; /* fmax/f: how much longer work takes that scales with the clock ... */
  double famine[CLOCK_STEPS_MAX];  /* ... and how much longer the rest takes: 1 but at clocks that starve the memory */
  double base_w[CLOCK_STEPS_MAX];  /* what a process costs on which nothing runs: base(f) of lab.h ... */
  double still_w;                  /* ... and what of it the clock does not change: base(f) = still + rest * drive(f) */
  double heat_decay[PLANT_HEAT_STAGES]; /* exp(-tick/tau) */
  double lag_s;                         /* power follows a load's edge with this time constant; 0: at once */
  double lag_mean, lag_end;             /* what of an edge's change is still to come: over the next tick, at its end */
  double cap_memory;                    /* how much of the controller's estimate a tick replaces */
} physics_t;

/* How one board differs from the next. */
typedef struct board {
  uint32_t gpu; /* its number, which with the seed names its random streams */
  uint64_t seed;
  char uuid[48];
  int64_t sensor_phase_ns;
  double sensor_gain, sensor_offset_w, energy_gain;
} board_t;

/* Which cores serve which GPU: GPUs are dealt out to the packages in order, and a package's cores to its GPUs. */
typedef struct wiring {
  uint8_t gpu[PLANT_CPUS_MAX];        /* 1 + the GPU that this core serves; 0: none */
  double busy[PLANT_CPUS_MAX];        /* the share of time that it is busy while a process is on that GPU */
  uint32_t first_cpu[PLANT_GPUS_MAX]; /* the core whose clock sets the pace of a GPU's processor work */
} wiring_t;

/* All that never changes about a host. */
typedef struct spec {
  plant_description_t given;
  physics_t physics;
  board_t boards[PLANT_GPUS_MAX];
  wiring_t wiring;
} spec_t;

/* 0, or -EINVAL for numbers that describe no GPU or no processor. */
int model_derive(const plant_description_t *given, spec_t *spec);
/* A GPU's board, as the host's seed deals it. */
void model_derive_board(const plant_model_t *model, uint64_t seed, uint32_t gpu, board_t *board);
/* Of a file that anybody may have written: whether what indexes the tables of cores stays within them. */
int model_cpu_is_sane(const spec_t *spec);

/* As fmin and fmax, but without the call that those are, which minds what is no number: for what each tick does. */
static inline double least(double a, double b) {
  return a < b ? a : b;
}
static inline double most(double a, double b) {
  return a > b ? a : b;
}

static inline uint32_t model_clock_mhz(const plant_model_t *model, uint32_t step) {
  return model->clock_min_mhz + (uint32_t)(step * model->clock_step_mhz);
}

static inline uint32_t model_top_step(const physics_t *physics) {
  return physics->steps - 1;
}

/* The fastest clock step that is not above mhz. */
uint32_t model_step(const plant_model_t *model, const physics_t *physics, uint32_t mhz);
/* The (fractional) clock step at which compute power is multiplied by `drive`. */
double model_step_of_drive(const physics_t *physics, double drive);

/* How fast work goes at a clock step, as a share of full speed, if a share beta of its time scales with the clock: the
 * inverse of T/T0 = 1 + beta * (fmax/f - 1), as measured on an A100. */
static inline double model_rate(const physics_t *physics, uint32_t step, double beta) {
  return 1.0 / (beta * physics->stretch[step] + (1.0 - beta) * physics->famine[step]);
}

#endif
