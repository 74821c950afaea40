/* A synchronous job: every GPU does its share of a step, then waits for the slowest at a barrier, spinning. Meanwhile
 * each GPU's processor prepares the next step; if that takes longer, the GPUs stand still until it is done. */
#include <math.h>

#include "plant/load.h"
#include "plant/random.h"

static int is_share(double x) {
  return x >= 0 && x <= 1;
}

int gang_is_valid(const plant_gang_t *gang) {
  return gang->step_s >= 1e-3 && gang->step_s <= 1e4 && gang->imbalance >= 0 && gang->imbalance <= 0.5 &&
         is_share(gang->compute) && is_share(gang->memory) && is_share(gang->compute_fraction) &&
         is_share(gang->spin_compute) && is_share(gang->spin_memory) && gang->host_s >= 0 && gang->host_s <= 1e4;
}

void gang_begin(uint64_t seed, load_t *load) {
  const plant_gang_t *gang = &load->with.gang;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    uint64_t bits = random_bits(seed, RANDOM_IMBALANCE, gpu, 0);
    load->share_s[gpu] = gang->step_s * random_between(1 - gang->imbalance, 1 + gang->imbalance, bits);
    load->left_s[gpu] = load->share_s[gpu];
    load->host_left_s[gpu] = gang->host_s;
  }
}

/* How long until the last of them is at the barrier, at the present clocks. */
static double slowest(const load_t *load, const double *rate) {
  double wait_s = 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (load_has(load, gpu)) wait_s = most(wait_s, load->left_s[gpu] / rate[gpu]);
  }
  return wait_s;
}

/* How long until the last of their processors has the next step ready. */
static double slowest_host(const load_t *load, const double *pace) {
  double wait_s = 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (load_has(load, gpu)) wait_s = most(wait_s, load->host_left_s[gpu] / pace[gpu]);
  }
  return wait_s;
}

/* Time goes on within a step. Returns the part of it in which all GPUs stood still. */
static double work(load_t *load, const double *rate, const double *pace, double span_s, double *worked_s) {
  double still_s = most(0, span_s - slowest(load, rate));
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    double mine_s = least(load->left_s[gpu] / rate[gpu], span_s);
    worked_s[gpu] += mine_s;
    load->left_s[gpu] = most(0, load->left_s[gpu] - mine_s * rate[gpu]);
    load->host_left_s[gpu] = most(0, load->host_left_s[gpu] - span_s * pace[gpu]);
  }
  return still_s;
}

static void next_step(load_t *load) {
  load->progress.steps++;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    load->left_s[gpu] = load->share_s[gpu];
    load->host_left_s[gpu] = load->with.gang.host_s;
  }
}

static double until_next(const load_t *load, const double *rate, const double *pace) {
  return most(slowest(load, rate), slowest_host(load, pace));
}

void gang_step(const shift_t *shift, load_t *load) {
  const plant_gang_t *gang = &load->with.gang;
  double rate[PLANT_GPUS_MAX] = {0}, worked_s[PLANT_GPUS_MAX] = {0};
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (load_has(load, gpu)) rate[gpu] = model_rate(shift->physics, shift->gpus[gpu].step, gang->compute_fraction);
  }
  double rest_s = TICK_S, still_s = 0, wait_s = until_next(load, rate, shift->pace);
  while (wait_s <= rest_s) { /* ends: a step takes a millisecond or more (gang_is_valid) */
    still_s += work(load, rate, shift->pace, wait_s, worked_s);
    next_step(load);
    rest_s -= wait_s;
    wait_s = until_next(load, rate, shift->pace);
  }
  still_s += work(load, rate, shift->pace, rest_s, worked_s);
  load->progress.starved_s += still_s;
  double still = least(1, still_s / TICK_S);
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    double share = least(1, worked_s[gpu] / TICK_S), spin = most(0, 1 - share - still);
    shift->out[gpu].compute = gang->compute * share + gang->spin_compute * spin;
    shift->out[gpu].memory = gang->memory * share + gang->spin_memory * spin;
    shift->out[gpu].busy = least(1, share + spin); /* a spinning kernel is a running kernel */
  }
}
