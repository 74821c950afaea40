#include "plant/coarse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "plant/supply.h"

#define CONTROL_S 0.02 /* the slow controller of the cap acts this often */
#define BRIEF     0.02 /* bursts of a smaller share of a time constant are but their mean */

#define BURST_MAX_S 1e9

/* What a stretch of time does to heat. */
typedef struct span {
  double s;
  double kept[PLANT_HEAT_STAGES];      /* what of a stage's distance from its rest is left at the end, ... */
  double kept_mean[PLANT_HEAT_STAGES]; /* ... and in the mean */
} span_t;

/* How hot a GPU is at work, in the span's mean and at its end: past + mean_k * (its mean watts) + burst_k * (watts at
 * work). What follows the bursts of its load is in burst_k. */
typedef struct warmth {
  double past_c, mean_k_per_w, burst_k_per_w;
  double end_past_c, end_mean_k_per_w, end_burst_k_per_w;
} warmth_t;

typedef struct draw {
  double mean_w, busy_w; /* over the span; while it works */
  double step;           /* the clock, fractional: between its neighbours in turn */
} draw_t;

static void span_init(const plant_model_t *model, double span_s, span_t *span) {
  *span = (span_t){.s = span_s};
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    double ratio = span_s / model->heat_s[i];
    span->kept[i] = exp(-ratio);
    span->kept_mean[i] = ratio > 0 ? -expm1(-ratio) / ratio : 1;
  }
}

/* What a burst finds left of those before it, of 1 that each brings, in what forgets with a time constant. */
static double remembered(double busy, double burst_s, double memory_s) {
  double in = exp(-burst_s / memory_s), out = exp(-burst_s * (1 / busy - 1) / memory_s);
  return out * (1 - in) / (1 - in * out);
}

/* How far that follows bursts: 0 it knows their mean only, 1 it knows nothing else. */
static double follow(double busy, double burst_s, double memory_s) {
  if (busy <= 0 || busy >= 1 || burst_s < BRIEF * memory_s) return 0;
  double rest = 1 - remembered(busy, burst_s, memory_s);
  double mean = 1 + rest * expm1(-burst_s / memory_s) * memory_s / burst_s;
  return fmax(0, (mean - busy) / (1 - busy));
}

static warmth_t warmth_of(const coarse_t *coarse, uint32_t gpu, const span_t *span) {
  const plant_model_t *model = &coarse->spec->given.model;
  const double inlet_c = coarse->spec->given.supply.inlet_c;
  warmth_t warmth = {.past_c = inlet_c, .end_past_c = inlet_c};
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    double follows = follow(coarse->busy[gpu], coarse->burst_s[gpu], model->heat_s[i]);
    double mean_k_per_w = model->heat_k_per_w[i] * (1 - span->kept_mean[i]);
    double end_k_per_w = model->heat_k_per_w[i] * (1 - span->kept[i]);
    warmth.past_c += coarse->heat_k[i][gpu] * span->kept_mean[i];
    warmth.mean_k_per_w += mean_k_per_w * (1 - follows);
    warmth.burst_k_per_w += mean_k_per_w * follows;
    warmth.end_past_c += coarse->heat_k[i][gpu] * span->kept[i];
    warmth.end_mean_k_per_w += end_k_per_w * (1 - follows);
    warmth.end_burst_k_per_w += end_k_per_w * follows;
  }
  return warmth;
}

/* What it draws at a clock step while it works, leakage apart. */
static double cool_w(const coarse_t *coarse, uint32_t gpu, uint32_t step) {
  const plant_model_t *model = &coarse->spec->given.model;
  const physics_t *physics = &coarse->spec->physics;
  return physics->base_w[step] + model->memory_w * coarse->memory[gpu] / physics->famine[step] +
         model->compute_w * coarse->compute[gpu] * physics->drive[step];
}

/* The (fractional) clock step, not above `top`, at which it draws power_w, leakage apart. */
static double step_of(const coarse_t *coarse, uint32_t gpu, uint32_t top, double power_w) {
  uint32_t low = 0, high = top;
  double low_w = cool_w(coarse, gpu, low), high_w = cool_w(coarse, gpu, high);
  if (power_w <= low_w) return low;
  if (power_w >= high_w) return high;
  while (high - low > 1) {
    uint32_t middle = (low + high) / 2;
    double middle_w = cool_w(coarse, gpu, middle);
    if (middle_w <= power_w) {
      low = middle, low_w = middle_w;
    } else {
      high = middle, high_w = middle_w;
    }
  }
  return low + (power_w - low_w) / (high_w - low_w);
}

/* Power makes heat, and heat power. While it works it draws `busy_w`, leakage apart, and `quiet_w` else. All is linear,
 * so the mean is found at once:
 *   draw(cool) = (cool + leak (past + mean_k mean)) / (1 - leak burst_k),  mean = busy draw(busy_w) + ... */
static draw_t draw_freely(const plant_model_t *model, const warmth_t *warmth, double busy, double busy_w,
                          double quiet_w) {
  double leak = model->leak_w_per_k, past_w = leak * (warmth->past_c - model->leak_reference_c);
  double loop = 1 - leak * warmth->burst_k_per_w, slow = leak * warmth->mean_k_per_w;
  draw_t draw = {.mean_w = (busy * busy_w + (1 - busy) * quiet_w + past_w) / (loop - slow)};
  draw.busy_w = (busy_w + past_w + slow * draw.mean_w) / loop;
  return draw;
}

/* While it works it draws held_w altogether, so mean = share held + rest; `quiet_w` as above. */
typedef struct held {
  double share, rest_w;
} held_t;

static held_t hold(const plant_model_t *model, const warmth_t *warmth, double busy, double quiet_w) {
  double leak = model->leak_w_per_k, past_w = leak * (warmth->past_c - model->leak_reference_c);
  double loop = 1 - leak * warmth->burst_k_per_w;
  double whole = 1 - (1 - busy) * leak * warmth->mean_k_per_w / loop;
  return (held_t){busy / whole, (1 - busy) * (quiet_w + past_w) / loop / whole};
}

/* The watts at work with which the board ends the span just as hot as its clocks let it get. */
static double hottest_w(const plant_model_t *model, const warmth_t *warmth, held_t held) {
  double room_k = model->slow_c - warmth->end_past_c - warmth->end_mean_k_per_w * held.rest_w;
  return room_k / (warmth->end_mean_k_per_w * held.share + warmth->end_burst_k_per_w);
}

/* The mean, over a burst that has burst_s to go on, of the lesser of `most` and room / x, where x is what the
 * controller knows of the load: it begins at `first` and nears 1. */
static double mean_room(double first, double burst_s, double memory_s, double room, double most) {
  double rest = 1 - first, enough = room / most, free_s = 0;
  if (enough >= 1) return most;
  if (enough > first) free_s = fmin(burst_s, memory_s * log(rest / (1 - enough)));
  double begin = 1 - rest * exp(-free_s / memory_s), end = 1 - rest * exp(-burst_s / memory_s);
  return (most * free_s + room * (burst_s - free_s + memory_s * log(end / begin))) / burst_s;
}

/* The mean watts at work that the power limit lets it have, which without one would be free_w. The controller holds the
 * mean of what it remembers, which is bursts and pauses; the clamp cuts off the tops of bursts. */
static double capped_w(const coarse_t *coarse, uint32_t gpu, held_t held, double free_w) {
  const plant_model_t *model = &coarse->spec->given.model;
  double busy = coarse->busy[gpu], burst_s = coarse->burst_s[gpu];
  double target_w = coarse->limit_w[gpu] * model->cap_target, clamp_w = coarse->limit_w[gpu] * model->cap_clamp;
  if (busy >= 1 || busy <= 0) return target_w;
  double quiet_w = (held.share * target_w + held.rest_w - busy * target_w) / (1 - busy);
  double seen = fmin(1, burst_s / TICK_S); /* the clamp sees the mean of a tick */
  double most_w = fmin(free_w, quiet_w + (clamp_w - quiet_w) / seen);
  if (most_w <= target_w) return most_w;
  double memory_s = model->cap_memory_s + CONTROL_S / 2, room_w = target_w - quiet_w;
  if (burst_s < BRIEF * memory_s) return fmin(most_w, quiet_w + room_w / busy);
  double first = remembered(busy, burst_s, memory_s);
  return quiet_w + mean_room(first, burst_s, memory_s, room_w, most_w - quiet_w);
}

static draw_t draw_working(const coarse_t *coarse, uint32_t gpu, const span_t *span) {
  const plant_model_t *model = &coarse->spec->given.model;
  const physics_t *physics = &coarse->spec->physics;
  double ceiling_mhz = coarse->ceiling_mhz[gpu], busy = coarse->busy[gpu];
  uint32_t top = ceiling_mhz > 0 ? model_step(model, physics, (uint32_t)ceiling_mhz) : physics->steps - 1;
  double quiet_w = physics->base_w[top];
  warmth_t warmth = warmth_of(coarse, gpu, span);
  draw_t draw = draw_freely(model, &warmth, busy, cool_w(coarse, gpu, top), quiet_w);
  double end_c = warmth.end_past_c + warmth.end_mean_k_per_w * draw.mean_w + warmth.end_burst_k_per_w * draw.busy_w;
  draw.step = top;
  if (draw.busy_w <= coarse->limit_w[gpu] * model->cap_target && end_c <= model->slow_c) return draw;

  held_t held = hold(model, &warmth, busy, quiet_w);
  double most_w = capped_w(coarse, gpu, held, draw.busy_w);
  if (end_c > model->slow_c) most_w = fmin(most_w, hottest_w(model, &warmth, held));
  if (draw.busy_w <= most_w) return draw;
  double mean_w = held.share * most_w + held.rest_w;
  double celsius = warmth.past_c + warmth.mean_k_per_w * mean_w + warmth.burst_k_per_w * most_w;
  double step = step_of(coarse, gpu, top, most_w - model->leak_w_per_k * (celsius - model->leak_reference_c));
  if (step > 0) return (draw_t){mean_w, most_w, step};
  return draw_freely(model, &warmth, busy, cool_w(coarse, gpu, 0), quiet_w); /* its lowest clock is too fast: step 0 */
}

static double between(double low, double high, double share) {
  return low + (high - low) * share;
}

/* Clock and rate are means of two neighbouring steps. */
static void count_work(coarse_t *coarse, uint32_t gpu, const span_t *span, double step) {
  const plant_model_t *model = &coarse->spec->given.model;
  const physics_t *physics = &coarse->spec->physics;
  uint32_t low = (uint32_t)step, high = low + 1 < physics->steps ? low + 1 : low;
  double beta = coarse->compute_fraction[gpu];
  coarse->clock_mhz[gpu] = between(model_clock_mhz(model, low), model_clock_mhz(model, high), step - low);
  coarse->rate[gpu] = between(model_rate(physics, low, beta), model_rate(physics, high, beta), step - low);
  coarse->work_s[gpu] += coarse->rate[gpu] * coarse->busy[gpu] * span->s;
}

/* A GPU for a span in which its host has power, or has not. Its energy is entered; means are the caller's. */
static double pass(coarse_t *coarse, uint32_t gpu, const span_t *span, int has_power) {
  const plant_model_t *model = &coarse->spec->given.model;
  double power_w = has_power ? model->deep_idle_w : 0, celsius = coarse->spec->given.supply.inlet_c;
  coarse->clock_mhz[gpu] = has_power ? model->clock_idle_mhz : NAN;
  coarse->rate[gpu] = 0;
  if (has_power && coarse->resident[gpu]) {
    draw_t draw = draw_working(coarse, gpu, span);
    power_w = draw.mean_w;
    count_work(coarse, gpu, span, draw.step);
  }
  for (uint32_t i = 0; i < PLANT_HEAT_STAGES; i++) {
    double rest_k = power_w * model->heat_k_per_w[i];
    coarse->heat_k[i][gpu] = rest_k + (coarse->heat_k[i][gpu] - rest_k) * span->kept[i];
    celsius += coarse->heat_k[i][gpu];
  }
  coarse->temperature_c[gpu] = celsius;
  coarse->energy_j[gpu] += power_w * span->s;
  return power_w;
}

/* What the processors and their memory draw while a process is on these GPUs and all knobs are as boot left them. */
static double packages_w(coarse_t *coarse, uint32_t resident) {
  double *known_w = &coarse->packages_w[resident];
  if (!isnan(*known_w)) return *known_w;
  cpus_t cpus;
  cores_init(coarse->spec, &cpus);
  cores_update(coarse->spec, &cpus, resident, 0);
  *known_w = 0;
  for (uint32_t i = 0; i < coarse->spec->given.cpu.packages; i++)
    *known_w += cpus.packages[i].power_w + cpus.packages[i].dram_w;
  return *known_w;
}

/* All GPUs of a host for a span. Returns the joules from the wall. */
static double pass_host(coarse_t *coarse, uint32_t host, const span_t *span, enum plant_power power) {
  const plant_supply_t *supply = &coarse->spec->given.supply;
  double gpus_w = 0;
  uint32_t resident = 0;
  for (uint32_t i = 0; i < coarse->gpus; i++) {
    uint32_t gpu = host * coarse->gpus + i;
    double power_w = pass(coarse, gpu, span, power == PLANT_POWER_ON);
    gpus_w += power_w;
    resident |= (uint32_t)(coarse->resident[gpu] != 0) << i;
    coarse->power_w[gpu] = power_w;
    coarse->reading_w[gpu] =
        power == PLANT_POWER_ON ? fmax(0, power_w * coarse->gain[gpu] + coarse->offset_w[gpu]) : NAN;
  }
  if (power == PLANT_POWER_OFF) return supply->standby_w * span->s;
  if (power == PLANT_POWER_BOOTING) return supply->boot_w * span->s;
  return supply_wall_w(supply, gpus_w + packages_w(coarse, resident)) * span->s;
}

/* A boot that ends within the span: the rest of it, the host is on. */
static double pass_boot(coarse_t *coarse, uint32_t host, const span_t *span) {
  const plant_model_t *model = &coarse->spec->given.model;
  double boot_s = coarse->boot_left_s[host];
  if (boot_s >= span->s) {
    coarse->boot_left_s[host] -= span->s;
    return pass_host(coarse, host, span, PLANT_POWER_BOOTING);
  }
  span_t boot, rest;
  span_init(model, boot_s, &boot);
  span_init(model, span->s - boot_s, &rest);
  double energy_j = pass_host(coarse, host, &boot, PLANT_POWER_BOOTING);
  energy_j += pass_host(coarse, host, &rest, PLANT_POWER_ON);
  for (uint32_t i = 0; i < coarse->gpus; i++) coarse->power_w[host * coarse->gpus + i] *= rest.s / span->s;
  coarse->boot_left_s[host] = 0;
  coarse->power[host] = PLANT_POWER_ON;
  return energy_j;
}

static int is_share(double x) {
  return x >= 0 && x <= 1;
}

static int is_sensible(const coarse_t *coarse, uint32_t gpu) {
  const plant_model_t *model = &coarse->spec->given.model;
  double limit_mw = coarse->limit_w[gpu] * 1e3, ceiling_mhz = coarse->ceiling_mhz[gpu];
  return limit_mw >= model->limit_min_mw && limit_mw <= model->limit_max_mw &&
         (ceiling_mhz == 0 || (ceiling_mhz >= model->clock_min_mhz && ceiling_mhz <= model->clock_max_mhz)) &&
         is_share(coarse->compute[gpu]) && is_share(coarse->memory[gpu]) && is_share(coarse->compute_fraction[gpu]) &&
         is_share(coarse->busy[gpu]) && coarse->burst_s[gpu] >= 0 && coarse->burst_s[gpu] <= BURST_MAX_S;
}

int coarse_step(coarse_t *coarse, double span_s, uint32_t *gpu) {
  if (!(span_s >= COARSE_STEP_MIN_S && span_s <= COARSE_STEP_MAX_S)) return -ERANGE;
  for (*gpu = 0; *gpu < coarse->hosts * coarse->gpus; (*gpu)++) {
    if (!is_sensible(coarse, *gpu)) return -EINVAL;
  }
  span_t span;
  span_init(&coarse->spec->given.model, span_s, &span);
  for (uint32_t host = 0; host < coarse->hosts; host++) {
    enum plant_power power = coarse->power[host];
    double energy_j =
        power == PLANT_POWER_BOOTING ? pass_boot(coarse, host, &span) : pass_host(coarse, host, &span, power);
    coarse->wall_w[host] = energy_j / span_s;
    coarse->wall_energy_j[host] += energy_j;
  }
  coarse->time_s += span_s;
  return 0;
}

void coarse_switch_off(coarse_t *coarse, uint32_t host) {
  for (uint32_t gpu = host * coarse->gpus; gpu < (host + 1) * coarse->gpus; gpu++) {
    coarse->resident[gpu] = 0;
    coarse->limit_w[gpu] = coarse->spec->given.model.limit_default_mw * 1e-3;
    coarse->ceiling_mhz[gpu] = 0;
  }
  coarse->boot_left_s[host] = 0;
  coarse->power[host] = PLANT_POWER_OFF;
}

void coarse_switch_on(coarse_t *coarse, uint32_t host) {
  if (coarse->power[host] != PLANT_POWER_OFF) return;
  coarse->boot_left_s[host] = coarse->spec->given.supply.boot_s;
  coarse->power[host] = PLANT_POWER_BOOTING;
}

/* One block for all columns. 0 or -ENOMEM. */
static int allocate(coarse_t *coarse) {
  size_t gpus = (size_t)coarse->hosts * coarse->gpus, masks = (size_t)1 << coarse->gpus;
  double **of_gpus[] = {&coarse->compute,   &coarse->memory,        &coarse->compute_fraction, &coarse->busy,
                        &coarse->limit_w,   &coarse->clock_mhz,     &coarse->power_w,          &coarse->reading_w,
                        &coarse->rate,      &coarse->ceiling_mhz,   &coarse->work_s,           &coarse->energy_j,
                        &coarse->gain,      &coarse->temperature_c, &coarse->offset_w,         &coarse->heat_k[0],
                        &coarse->heat_k[1], &coarse->heat_k[2],     &coarse->burst_s};
  double **of_hosts[] = {&coarse->boot_left_s, &coarse->wall_w, &coarse->wall_energy_j};
  size_t wide = sizeof of_gpus / sizeof of_gpus[0], high = sizeof of_hosts / sizeof of_hosts[0];
  double *next = coarse->block = calloc(wide * gpus + high * coarse->hosts + masks, sizeof(double));
  coarse->resident = calloc(gpus + coarse->hosts, 1);
  if (!coarse->block || !coarse->resident) return -ENOMEM;
  for (size_t i = 0; i < wide; i++, next += gpus) *of_gpus[i] = next;
  for (size_t i = 0; i < high; i++, next += coarse->hosts) *of_hosts[i] = next;
  coarse->packages_w = next;
  for (size_t i = 0; i < masks; i++) coarse->packages_w[i] = NAN;
  coarse->power = coarse->resident + gpus;
  return 0;
}

/* On since ever, with nothing to do. */
static void begin(coarse_t *coarse, uint32_t host) {
  const spec_t *spec = coarse->spec;
  const plant_model_t *model = &spec->given.model;
  coarse->power[host] = PLANT_POWER_ON;
  for (uint32_t i = 0; i < coarse->gpus; i++) {
    uint32_t gpu = host * coarse->gpus + i;
    board_t board;
    model_derive_board(model, spec->given.seed + host, i, &board);
    coarse->gain[gpu] = board.sensor_gain;
    coarse->offset_w[gpu] = board.sensor_offset_w;
    coarse->limit_w[gpu] = model->limit_default_mw * 1e-3;
    coarse->busy[gpu] = coarse->burst_s[gpu] = 1;
    for (uint32_t stage = 0; stage < PLANT_HEAT_STAGES; stage++)
      coarse->heat_k[stage][gpu] = model->deep_idle_w * model->heat_k_per_w[stage];
  }
  span_t none;
  span_init(model, 0, &none);
  pass_host(coarse, host, &none, PLANT_POWER_ON);
}

int coarse_create(const plant_description_t *description, uint32_t hosts, coarse_t **out) {
  *out = NULL;
  if (hosts < 1 || hosts > COARSE_HOSTS_MAX) return -EINVAL;
  coarse_t *coarse = calloc(1, sizeof *coarse);
  spec_t *spec = calloc(1, sizeof *spec);
  int error = coarse && spec ? model_derive(description, spec) : -ENOMEM;
  if (coarse) coarse->spec = spec;
  if (!error) {
    coarse->hosts = hosts;
    coarse->gpus = description->gpus;
    error = allocate(coarse);
  }
  if (error) {
    coarse_free(coarse);
    return error;
  }
  for (uint32_t host = 0; host < hosts; host++) begin(coarse, host);
  *out = coarse;
  return 0;
}

void coarse_free(coarse_t *coarse) {
  if (!coarse) return;
  free(coarse->resident);
  free(coarse->block);
  free(coarse->spec);
  free(coarse);
}
