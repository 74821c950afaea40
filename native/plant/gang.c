/* A synchronous job: every GPU does its share of a step, then waits for the slowest at a barrier, spinning. */
#include <math.h>

#include "plant/load.h"
#include "plant/random.h"

static int is_share(double x) {
  return x >= 0 && x <= 1;
}

int gang_is_valid(const plant_gang_t *gang) {
  return gang->step_s >= 1e-3 && gang->step_s <= 1e4 && gang->imbalance >= 0 && gang->imbalance <= 0.5 &&
         is_share(gang->compute) && is_share(gang->memory) && is_share(gang->compute_fraction) &&
         is_share(gang->spin_compute) && is_share(gang->spin_memory);
}

void gang_begin(uint64_t seed, load_t *load) {
  const plant_gang_t *gang = &load->with.gang;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    uint64_t bits = random_bits(seed, RANDOM_IMBALANCE, gpu, 0);
    load->share_s[gpu] = gang->step_s * random_between(1 - gang->imbalance, 1 + gang->imbalance, bits);
    load->left_s[gpu] = load->share_s[gpu];
  }
}

/* How long until the last of them is at the barrier, at the present clocks. */
static double slowest(const load_t *load, const double *rate) {
  double wait_s = 0;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (load_has(load, gpu)) wait_s = fmax(wait_s, load->left_s[gpu] / rate[gpu]);
  }
  return wait_s;
}

static void work(load_t *load, const double *rate, double span_s, double *worked_s) {
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    double mine_s = fmin(load->left_s[gpu] / rate[gpu], span_s);
    worked_s[gpu] += mine_s;
    load->left_s[gpu] = fmax(0, load->left_s[gpu] - mine_s * rate[gpu]);
  }
}

static void next_step(load_t *load) {
  load->progress.steps++;
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) load->left_s[gpu] = load->share_s[gpu];
}

void gang_step(const shift_t *shift, load_t *load) {
  const plant_gang_t *gang = &load->with.gang;
  double rate[PLANT_GPUS_MAX] = {0}, worked_s[PLANT_GPUS_MAX] = {0};
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (load_has(load, gpu)) rate[gpu] = model_rate(shift->physics, shift->gpus[gpu].step, gang->compute_fraction);
  }
  double rest_s = TICK_S, wait_s = slowest(load, rate);
  while (wait_s <= rest_s) { /* ends: a step takes a millisecond or more (gang_is_valid) */
    work(load, rate, wait_s, worked_s);
    next_step(load);
    rest_s -= wait_s;
    wait_s = slowest(load, rate);
  }
  work(load, rate, rest_s, worked_s);
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    double share = fmin(1, worked_s[gpu] / TICK_S);
    shift->out[gpu].compute = gang->compute * share + gang->spin_compute * (1 - share);
    shift->out[gpu].memory = gang->memory * share + gang->spin_memory * (1 - share);
    shift->out[gpu].busy = 1; /* a spinning kernel is a running kernel */
  }
}
