/* One GPU: from activity and clock to power, heat, energy and what its sensors show.
 *
 * A GPU without a process falls asleep once all that its sensors average over is idle. Asleep, its whole state is a
 * function of the tick at which it fell asleep, so nothing is stepped and nothing depends on when it is looked at.
 */
#ifndef EAGENT_PLANT_GPU_H
#define EAGENT_PLANT_GPU_H

#include "plant/cap.h"
#include "plant/heat.h"
#include "plant/knob.h"
#include "plant/sensor.h"
#include "plant/throttle.h"

#define ENERGIES    32u  /* ticks of cumulative energy that the sensor's window may reach back over; a power of two */
#define ROW_TICKS   20   /* a row of the power log, and a bucket of utilisation: 100 ms */
#define BUCKETS     10u  /* utilisation is over the last whole second */
#define SLEEP_TICKS 240u /* quiet ticks before sleep: longer than the buckets and the sensor look back */

/* What the load did during one tick, as shares of it. */
typedef struct activity {
  double compute, memory; /* u and m of the power model, averaged over the tick */
  double busy;            /* the share in which a kernel ran */
} activity_t;

typedef struct gpu {
  uint32_t asleep, resident; /* resident: a process holds a context */
  uint32_t dark;             /* without power: asleep, and draws nothing */
  uint32_t load;             /* 1 + index of the load that has this GPU, present or future; 0: none */
  uint32_t quiet_ticks;
  int64_t asleep_since; /* tick */

  uint32_t limit_mw, limit_acting_mw;
  uint32_t outside_mw; /* a limit set past the driver; 0: none */
  int64_t limit_from_tick;
  uint32_t lock_min_mhz, lock_max_mhz, wanted_step, step;
  int64_t lock_from_tick;
  uint32_t persistence, writes;

  double power_w;               /* mean of the last tick */
  double edge_w, goal_w, end_w; /* in it power went from edge to end, on its way to goal */
  double energy_j;              /* asleep: when it fell asleep */
  heat_t heat;                  /* asleep: likewise */
  double energies_j[ENERGIES];  /* at the end of the last ticks */
  double row_energy_j;          /* at the last row's end */
  double counted_from_j;        /* its energy when the driver's counter last began */
  cap_t cap;
  sensor_t sensor;
  sensor_past_t past;
  double busy_s, memory_s; /* in the present bucket */
  float busy[BUCKETS], memory[BUCKETS];
  double busy_share, memory_share; /* of the last whole second: the sums of these */
  plant_knobs_t knobs;
  plant_throttle_t throttle;
} gpu_t;

void gpu_init(const spec_t *spec, gpu_t *gpu);
/* Power goes, and with it all that the driver knew; it comes back. At a tick's beginning. */
void gpu_off(const spec_t *spec, gpu_t *gpu, int64_t tick);
void gpu_on(const spec_t *spec, gpu_t *gpu, int64_t tick);
/* A process comes: wake up, clocks up. */
void gpu_occupy(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick);
/* At a tick's beginning, and before a setting is changed: what was set and is due acts. */
void gpu_obey(const spec_t *spec, gpu_t *gpu, int64_t tick);
/* The first half of a tick: which clock it runs at. */
void gpu_begin(const spec_t *spec, gpu_t *gpu, int64_t tick);
/* The second half: what that cost. */
void gpu_finish(const spec_t *spec, const board_t *board, gpu_t *gpu, int64_t tick, const activity_t *activity);

/* At a tick's beginning; for a sleeping GPU any tick since it fell asleep. */
double gpu_energy_j(const spec_t *spec, const gpu_t *gpu, int64_t tick);
double gpu_temperature_c(const spec_t *spec, const gpu_t *gpu, int64_t tick);
/* The lower of the limit asked for and the one set past the driver. */
uint32_t gpu_enforced_mw(const gpu_t *gpu);
/* True watts `into_s` after the beginning of the last tick. */
double gpu_power_w(const spec_t *spec, const gpu_t *gpu, double into_s);
/* What the sensor shows at now_ns, within the tick that the GPU's state is at the beginning of. */
void gpu_read_sensor(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t now_ns, sensor_t *sensor);
/* Shares of the last whole second. */
void gpu_utilisation(const gpu_t *gpu, double *busy, double *memory);
/* Whether the power limit, or heat, holds the clock below what is wanted. */
int gpu_is_capped(const gpu_t *gpu);
int gpu_is_slowed(const gpu_t *gpu);

#endif
