/* When a sensor publishes, learnt from looks at it.
 *
 * A power sensor publishes every 20 to 100 ms, at a phase of its own; a look between two publications shows the same
 * again. Who knows period and phase looks once for each, shortly after it, and knows how old it is.
 *
 * Both are learnt by looking often for a second or two: each change shows a stretch of time in which the sensor
 * published. They are kept by a look right at the expected moment now and then. It comes too early as often as too late
 * while the phase is right; each time it is moved a little to that side, and the period by much less. A sensor that
 * changes too fast, too slowly or without a period is looked at every `free_ns`, and nothing is said of its age.
 */
#ifndef EAGENT_CHANNEL_H
#define EAGENT_CHANNEL_H

#include <stdint.h>

#define CHANNEL_EDGES       64u
#define CHANNEL_AGE_UNKNOWN (-1)

enum channel_mode {
  CHANNEL_LEARNING = 0,
  CHANNEL_TRACKING = 1,
  CHANNEL_FREE = 2,
};

/* A stretch of time in which the sensor published. */
typedef struct channel_edge {
  int64_t after_ns, by_ns;
} channel_edge_t;

typedef struct channel {
  enum channel_mode mode;
  int64_t due_ns, latest_ns; /* the next look: not before, and best not after */
  int64_t looked_ns;         /* the last one; 0: none yet */
  int64_t step_ns, free_ns;  /* between two looks while learning, and where nothing can be learnt */

  double period_ns; /* 0: not known */
  double nudge_ns;  /* by how much the next probe moves the phase */
  int64_t next_ns;  /* when the publication after the last one seen is expected */
  uint32_t probe_in, late, silent, run;
  int run_later; /* the side that the last probes, `run` of them, told of */
  int is_probe;  /* the next look is right at next_ns, to keep the phase */

  int64_t began_ns; /* learning, or to look freely */
  uint32_t looks, changes, edges;
  channel_edge_t edge[CHANNEL_EDGES]; /* the last ones */
} channel_t;

/* What a look has shown. */
typedef struct channel_seen {
  int64_t age_ns;  /* since the sensor published what it shows, or CHANNEL_AGE_UNKNOWN */
  uint32_t missed; /* publications that passed unseen before it */
} channel_seen_t;

/* Learn, from the monotonic time now_ns on; a period that is known makes it shorter. */
void channel_begin(channel_t *channel, int64_t now_ns, int64_t step_ns, int64_t free_ns);
/* A look at the monotonic time now_ns has shown something else than the one before (changed), or the same. */
channel_seen_t channel_look(channel_t *channel, int64_t now_ns, int changed);
/* Pass over the next publications: they are not looked at and not counted as missed. Returns how many; none before a
 * look that is to keep the phase, for that must follow one at the publication before. */
uint32_t channel_skip(channel_t *channel, uint32_t publications);

#endif
