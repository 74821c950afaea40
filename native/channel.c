#include "channel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Learning. */
static const uint32_t EDGES_NEW = 16, EDGES_KNOWN = 4; /* changes that it takes; with a period that is known */
static const int64_t SPAN_NEW_NS = 1500000000;         /* and over this time: the period must be right to 0.1 % */
static const int64_t GIVE_UP_NS = 5000000000;
static const int64_t AGAIN_NS = 15000000000; /* try again what could not be learnt */
static const uint32_t LOOKS_LEAST = 40;      /* before it can be said that nearly each of them showed a change */
static const double GOLDEN = 0.618034;
static const double SLACK_NS = 0.5e6, SLACK_SHARE = 0.03; /* of a period: jitter seen is 1 % */
static const double STEPS_LEAST = 2.5;                    /* looks in a period, or nothing can be said of it */

/* Tracking. */
static const double GUARD_NS = 1e6, GUARD_SHARE = 0.015;         /* after the expected moment it has surely published */
static const double AGE_MOST_NS = 9.5e6, TOLERANCE_SHARE = 0.48; /* looks of several sensors share a wake-up */
static const int64_t PROBE_EVERY_NS = 200000000, PROBE_RARELY_NS = 600000000; /* once the phase is right */
static const uint32_t PROBE_LEAST = 5, PROBE_DOUBT = 2; /* publications; where the last probes tell of one side */
static const uint32_t RUN_DOUBT = 4;
static const double NUDGE_FIRST = 1. / 300, NUDGE_LEAST = 1. / 2500,
                    NUDGE_MOST = 1. / 50; /* of a period, for the phase */
static const double NUDGE_SETTLED = 1. / 1000;
static const double NUDGE_MORE = 1.35, NUDGE_LESS = 0.65;
static const double NUDGE_PERIOD = 1. / 64;           /* of that, for the period */
static const uint32_t RUN_MOST = 12;                  /* probes in a row to one side: the phase is lost */
static const uint32_t LATE_MOST = 2, SILENT_MOST = 4; /* looks for one publication; publications that never came */

static double guard_ns(const channel_t *channel) {
  return GUARD_NS + channel->period_ns * GUARD_SHARE;
}

static void look_next(channel_t *channel, int64_t due_ns, double tolerance_ns) {
  channel->due_ns = due_ns;
  channel->latest_ns = due_ns + (int64_t)tolerance_ns;
}

void channel_begin(channel_t *channel, int64_t now_ns, int64_t step_ns, int64_t free_ns) {
  channel->mode = CHANNEL_LEARNING;
  channel->step_ns = step_ns;
  channel->free_ns = free_ns;
  channel->began_ns = now_ns;
  channel->looked_ns = 0;
  channel->looks = channel->changes = channel->edges = 0;
  look_next(channel, now_ns, 0);
}

/* --- Learning --- */

static double middle_ns(const channel_t *channel, uint32_t i) {
  const channel_edge_t *edge = &channel->edge[i];
  return (double)(edge->after_ns - channel->edge[0].after_ns) + (double)(edge->by_ns - edge->after_ns) / 2;
}

/* The median of the times from one change to the next. */
static double first_guess_ns(const channel_t *channel) {
  double gaps[CHANNEL_EDGES];
  uint32_t count = 0;
  for (uint32_t i = 1; i < channel->edges; i++) {
    double gap = middle_ns(channel, i) - middle_ns(channel, i - 1);
    uint32_t place = count++;
    for (; place > 0 && gaps[place - 1] > gap; place--) gaps[place] = gaps[place - 1];
    gaps[place] = gap;
  }
  return gaps[count / 2];
}

/* The line through the changes' middles: the n-th publication is at offset + n * period. Numbers skip publications
 * that showed what was there before. Returns the last number. */
static double fit(const channel_t *channel, double *period_ns, double *offset_ns) {
  double guess_ns = *period_ns, number = 0, n = 1, sum_n = 0, sum_t = middle_ns(channel, 0), sum_nn = 0, sum_nt = 0;
  for (uint32_t i = 1; i < channel->edges; i++) {
    double time_ns = middle_ns(channel, i);
    number += fmax(1, round((time_ns - middle_ns(channel, i - 1)) / guess_ns));
    n++;
    sum_n += number;
    sum_t += time_ns;
    sum_nn += number * number;
    sum_nt += number * time_ns;
  }
  *period_ns = (n * sum_nt - sum_n * sum_t) / (n * sum_nn - sum_n * sum_n);
  *offset_ns = (sum_t - *period_ns * sum_n) / n;
  return number;
}

/* Whether the sensor can have published by that line: nearly all of the stretches hold their moment. */
static int fits(const channel_t *channel, double guess_ns, double period_ns, double offset_ns) {
  const double slack_ns = SLACK_NS + SLACK_SHARE * period_ns;
  double number = 0;
  uint32_t outside = 0;
  for (uint32_t i = 0; i < channel->edges; i++) {
    if (i > 0) number += fmax(1, round((middle_ns(channel, i) - middle_ns(channel, i - 1)) / guess_ns));
    double expected_ns = offset_ns + number * period_ns;
    double after_ns = (double)(channel->edge[i].after_ns - channel->edge[0].after_ns);
    double by_ns = (double)(channel->edge[i].by_ns - channel->edge[0].after_ns);
    if (expected_ns < after_ns - slack_ns || expected_ns > by_ns + slack_ns) outside++;
  }
  return outside * 16 <= channel->edges;
}

static void track(channel_t *channel, double period_ns, int64_t next_ns) {
  channel->mode = CHANNEL_TRACKING;
  channel->period_ns = period_ns;
  channel->next_ns = next_ns;
  channel->probe_in = PROBE_LEAST;
  channel->late = channel->silent = channel->run = 0;
  channel->is_probe = 0;
  channel->nudge_ns = period_ns * NUDGE_FIRST;
}

static void look_freely(channel_t *channel, int64_t now_ns) {
  channel->mode = CHANNEL_FREE;
  channel->began_ns = now_ns;
  channel->period_ns = 0;
}

static void try_to_track(channel_t *channel, int64_t now_ns) {
  const int is_known = channel->period_ns > 0;
  if (channel->edges < (is_known ? EDGES_KNOWN : EDGES_NEW)) return;
  const int is_long = now_ns - channel->edge[0].by_ns >= SPAN_NEW_NS || channel->edges == CHANNEL_EDGES;
  if (!is_known && !is_long) return;
  const double guess_ns = is_known ? channel->period_ns : first_guess_ns(channel);
  double period_ns = guess_ns, offset_ns;
  const double last = fit(channel, &period_ns, &offset_ns);
  const double step_ns = (double)(now_ns - channel->began_ns) / channel->looks; /* who is woken late looks less often */
  const int is_regular = period_ns >= STEPS_LEAST * step_ns && fits(channel, guess_ns, period_ns, offset_ns);
  if (!is_regular) {
    if (is_known) channel->period_ns = 0; /* it is another one by now: all is learnt anew */
    return;
  }
  if (is_known) period_ns = channel->period_ns; /* a few changes tell the phase, and not the period better */
  track(channel, period_ns, channel->edge[0].after_ns + (int64_t)(offset_ns + (last + 1) * period_ns));
}

/* What is older than the time that it takes: a change that was seen late must not spoil all later tries. */
static void forget(channel_t *channel, int64_t now_ns) {
  const int is_enough = channel->edges >= EDGES_NEW && now_ns - channel->edge[1].by_ns >= SPAN_NEW_NS;
  if (is_enough || channel->edges == CHANNEL_EDGES)
    memmove(channel->edge, channel->edge + 1, --channel->edges * sizeof *channel->edge);
}

static channel_seen_t learn(channel_t *channel, int64_t now_ns, int changed) {
  channel_seen_t seen = {CHANNEL_AGE_UNKNOWN, 0};
  channel->looks++;
  if (changed && channel->looked_ns) {
    forget(channel, now_ns);
    channel->edge[channel->edges++] = (channel_edge_t){channel->looked_ns, now_ns};
    channel->changes++;
    seen.age_ns = (now_ns - channel->looked_ns) / 2;
    try_to_track(channel, now_ns);
  }
  if (channel->mode == CHANNEL_TRACKING) return seen;
  const int is_fast = channel->looks >= LOOKS_LEAST && channel->changes * 10 >= channel->looks * 7;
  if (is_fast || now_ns - channel->began_ns >= GIVE_UP_NS) look_freely(channel, now_ns);
  return seen;
}

/* Steps of many lengths: equal ones could divide the period, and show each publication in the same part of a step. */
static double learn_step_ns(const channel_t *channel) {
  return (double)channel->step_ns * (0.75 + 0.5 * fmod(channel->looks * GOLDEN, 1));
}

/* --- Tracking --- */

/* Each more than the last while they point to one side, and less when they don't: what is left when the phase is right
 * is the sensor's own jitter. */
static void nudge(channel_t *channel, int later) {
  const int is_same = later == channel->run_later;
  channel->run = is_same ? channel->run + 1 : 1;
  channel->run_later = later;
  channel->nudge_ns *= is_same ? NUDGE_MORE : NUDGE_LESS;
  channel->nudge_ns = fmin(fmax(channel->nudge_ns, channel->period_ns * NUDGE_LEAST), channel->period_ns * NUDGE_MOST);
  channel->next_ns += (int64_t)(later ? channel->nudge_ns : -channel->nudge_ns);
  channel->period_ns += (later ? channel->nudge_ns : -channel->nudge_ns) * NUDGE_PERIOD;
}

static void pass(channel_t *channel, double publications) {
  channel->next_ns += (int64_t)(publications * channel->period_ns);
  channel->late = 0;
  channel->is_probe = channel->probe_in <= publications;
  channel->probe_in -= channel->is_probe ? channel->probe_in : (uint32_t)publications;
}

/* A look is a good witness of the phase only where it came at the moment that was meant. */
static int is_prompt(const channel_t *channel, int64_t now_ns) {
  return channel->is_probe && llabs(now_ns - channel->next_ns) < (int64_t)(channel->period_ns / 64);
}

static channel_seen_t track_change(channel_t *channel, int64_t now_ns) {
  const double passed =
      fmax(1, floor(((double)(now_ns - channel->next_ns) + guard_ns(channel)) / channel->period_ns) + 1);
  const int64_t published_ns = channel->next_ns + (int64_t)((passed - 1) * channel->period_ns);
  channel_seen_t seen = {now_ns > published_ns ? now_ns - published_ns : 0, (uint32_t)(passed - 1)};
  if (is_prompt(channel, now_ns)) nudge(channel, 0);
  channel->silent = 0;
  pass(channel, passed);
  return seen;
}

static void track_same(channel_t *channel, int64_t now_ns) {
  if (now_ns < channel->next_ns) return;
  if (channel->is_probe) {
    if (is_prompt(channel, now_ns)) nudge(channel, 1);
    channel->is_probe = 0;
  } else if (++channel->late > LATE_MOST) { /* it published what it had shown before, or the phase is lost */
    channel->silent++;
    pass(channel, fmax(1, floor((double)(now_ns - channel->next_ns) / channel->period_ns) + 1));
  }
}

/* Publications until the next probe. */
static uint32_t probe_in(const channel_t *channel) {
  if (channel->run >= RUN_DOUBT) return PROBE_DOUBT;
  const int is_settled = channel->nudge_ns <= channel->period_ns * NUDGE_SETTLED;
  const double span_ns = (double)(is_settled ? PROBE_RARELY_NS : PROBE_EVERY_NS);
  return (uint32_t)fmax(PROBE_LEAST, span_ns / channel->period_ns);
}

static void plan(channel_t *channel, int64_t now_ns) {
  if (channel->is_probe && channel->next_ns > now_ns) {
    look_next(channel, channel->next_ns, 0);
  } else if (channel->late) {
    look_next(channel, now_ns + (int64_t)guard_ns(channel), 0);
  } else {
    channel->is_probe = 0;
    look_next(channel, channel->next_ns + (int64_t)guard_ns(channel),
              fmax(0, fmin(AGE_MOST_NS - guard_ns(channel), channel->period_ns * TOLERANCE_SHARE)));
  }
  if (channel->probe_in == 0) channel->probe_in = probe_in(channel);
}

channel_seen_t channel_look(channel_t *channel, int64_t now_ns, int changed) {
  channel_seen_t seen = {CHANNEL_AGE_UNKNOWN, 0};
  switch (channel->mode) {
    case CHANNEL_LEARNING:
      seen = learn(channel, now_ns, changed);
      break;
    case CHANNEL_TRACKING:
      if (changed) {
        seen = track_change(channel, now_ns);
      } else {
        track_same(channel, now_ns);
      }
      if (channel->silent >= SILENT_MOST || channel->run >= RUN_MOST) {
        channel->period_ns = 0;
        channel_begin(channel, now_ns, channel->step_ns, channel->free_ns);
      }
      break;
    case CHANNEL_FREE:
      if (now_ns - channel->began_ns >= AGAIN_NS) channel_begin(channel, now_ns, channel->step_ns, channel->free_ns);
      break;
  }
  channel->looked_ns = now_ns;
  if (channel->mode == CHANNEL_TRACKING) {
    plan(channel, now_ns);
  } else if (channel->mode == CHANNEL_LEARNING) {
    look_next(channel, now_ns + (int64_t)learn_step_ns(channel), (double)channel->step_ns / 8);
  } else {
    look_next(channel, now_ns + channel->free_ns - channel->free_ns / 8, (double)channel->free_ns / 8);
  }
  return seen;
}

uint32_t channel_skip(channel_t *channel, uint32_t publications) {
  if (channel->mode != CHANNEL_TRACKING || channel->is_probe) return 0;
  channel->next_ns += (int64_t)(publications * channel->period_ns);
  channel->probe_in = channel->probe_in > publications + 1 ? channel->probe_in - publications : 1;
  plan(channel, channel->looked_ns);
  return publications;
}
