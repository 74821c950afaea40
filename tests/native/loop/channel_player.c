/* A sensor that publishes by its own clock, and a channel that looks at it when it wants to; told is how that went. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"

#define AGES_MAX 200000

typedef struct sensor {
  double period_s, phase_s, jitter; /* jitter: share of a period, to both sides, and it does not add up */
  double drift;                     /* share by which the period is longer after each second */
  double jump_at_s, jump_s;         /* from then on it publishes so much later; 0: never */
  double repeats;                   /* share of publications that show what the one before them did */
} sensor_t;

typedef struct wakes {
  double late_s, very_late_s, very_late; /* mean lateness; now and then this much, in this share of looks */
} wakes_t;

typedef struct story {
  uint64_t published, caught, missed, looks;
  uint64_t untracked, begun; /* looks while not tracking; times that learning began */
  uint64_t skipped;
  double tracking_since_s, age_p95_s, age_error_p95_s, period_s;
  int32_t mode, reserved;
} story_t;

static uint64_t bits;

static double uniform(void) {
  bits = bits * 6364136223846793005ull + 1442695040888963407ull;
  return (double)(bits >> 11) / 9007199254740992.0;
}

static double published_s(const sensor_t *sensor, uint64_t number, const double *jitters) {
  double plain_s = sensor->phase_s + (double)number * sensor->period_s;
  double s = plain_s + sensor->drift * plain_s * plain_s / 2 + jitters[number & 4095] * sensor->period_s;
  return sensor->jump_at_s > 0 && s > sensor->jump_at_s ? s + sensor->jump_s : s;
}

static int ascending(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

static double p95(double *values, uint64_t count) {
  qsort(values, count, sizeof *values, ascending);
  return count ? values[count * 95 / 100] : 0;
}

/* Counts begin at from_s; seconds are simulated. */
void play(const sensor_t *sensor, const wakes_t *wakes, double step_s, double free_s, double from_s, double until_s,
          uint32_t skip, uint64_t seed, story_t *out) {
  static double ages_s[AGES_MAX], errors_s[AGES_MAX];
  double jitters[4096];
  uint64_t number = 0, shown = 0, last_shown = 0, ages = 0, errors = 0; /* number: of publications so far */
  channel_t channel;
  memset(&channel, 0, sizeof channel);
  memset(out, 0, sizeof *out);
  bits = seed * 2654435761u + 1;
  for (int i = 0; i < 4096; i++) jitters[i] = sensor->jitter * (2 * uniform() - 1);
  channel_begin(&channel, 1000000000, (int64_t)(step_s * 1e9), (int64_t)(free_s * 1e9));
  out->tracking_since_s = -1;
  for (double now_s = 0; now_s < until_s;) {
    double late_s = wakes->late_s * 2 * uniform() + (uniform() < wakes->very_late ? wakes->very_late_s : 0);
    double asked_s = (double)(channel.latest_ns - 1000000000) * 1e-9;
    now_s = fmax(asked_s, now_s) + late_s;
    while (published_s(sensor, number, jitters) <= now_s) {
      if (uniform() >= sensor->repeats) shown = number + 1;
      number++;
      if (now_s >= from_s) out->published++;
    }
    int changed = shown != last_shown;
    const int was_learning = channel.mode == CHANNEL_LEARNING;
    channel_seen_t seen = channel_look(&channel, 1000000000 + (int64_t)(now_s * 1e9), changed);
    if (channel.mode == CHANNEL_TRACKING && out->tracking_since_s < 0) out->tracking_since_s = now_s;
    if (changed && skip) out->skipped += channel_skip(&channel, skip);
    if (channel.mode == CHANNEL_LEARNING && !was_learning) out->begun++;
    if (now_s >= from_s) {
      out->untracked += channel.mode != CHANNEL_TRACKING;
      out->looks++;
      out->missed += seen.missed;
      if (changed) {
        double age_s = now_s - published_s(sensor, number - 1, jitters);
        out->caught++;
        if (ages < AGES_MAX) ages_s[ages++] = age_s;
        if (seen.age_ns >= 0 && errors < AGES_MAX) errors_s[errors++] = fabs((double)seen.age_ns * 1e-9 - age_s);
      }
    }
    last_shown = shown;
  }
  out->age_p95_s = p95(ages_s, ages);
  out->age_error_p95_s = p95(errors_s, errors);
  out->period_s = channel.period_ns * 1e-9;
  out->mode = (int32_t)channel.mode;
}
