/* What somebody else writes to a power limit that we hold, and what becomes of it.
 *
 * Respected, the value stands and the limit is left alone: until it is moved back to where we had it, or is taken back
 * for an operator. Reported, it stands until our own wish is another one. Overruled, it is written over at once. Under
 * an envelope a value stands only while what all others can't go below leaves room for it.
 */
#ifndef EAGENT_FOREIGN_H
#define EAGENT_FOREIGN_H

#include <stdint.h>

/* What the operator wants to become of it. */
typedef enum foreign_policy { FOREIGN_OVERRULE = 0, FOREIGN_RESPECT = 1, FOREIGN_REPORT = 2 } foreign_policy_t;

/* What became of the last value. */
typedef enum foreign_fate {
  FOREIGN_NEVER = 0,
  FOREIGN_STANDS = 1,
  FOREIGN_OVERRULED = 2,
  FOREIGN_MOVED_BACK = 3, /* to where we had it, and not by us */
  FOREIGN_TAKEN_BACK = 4, /* by an operator, or a wish of ours that came later */
  FOREIGN_FORGOTTEN = 5,  /* by the driver */
} foreign_fate_t;

typedef struct foreign {
  uint64_t count;     /* times that the limit was found moved by somebody else, ... */
  int64_t at_ns;      /* ... the last of them ... */
  uint32_t value_mw;  /* ... to this ... */
  uint32_t before_mw; /* ... from this, where we had it; 0: not known */
  uint32_t wish_mw;   /* what we would have it at, reported: when it was found; 0: not looked at yet */
  int is_uneven;      /* a package's limits differ from what writing value_mw would make of them */
  foreign_fate_t fate;
} foreign_t;

/* Somebody else has moved a limit, from where we had it (before_mw) or from what somebody else had written. */
void foreign_meet(foreign_t *foreign, foreign_policy_t policy, uint32_t value_mw, int is_uneven, uint32_t before_mw,
                  int64_t now_ns);
/* Look at a limit while a foreign value stands. Returns whether it is back where we had it, and so ours again. */
int foreign_look(foreign_t *foreign, foreign_policy_t policy, uint32_t value_mw, int is_uneven, int64_t now_ns);
/* Whether it stands against this wish of ours (0: none). */
int foreign_stands(foreign_t *foreign, foreign_policy_t policy, uint32_t wish_mw);
void foreign_end(foreign_t *foreign, foreign_fate_t fate);

/* Of the values that stand, each the only number of its device (0: none stands), end those that the envelope has no
 * room for, beside what the others don't go below: the one farthest above its own floor first. */
void foreign_fit(uint32_t *standing_mw, const uint32_t *floor_mw, uint32_t count, uint64_t envelope_mw);

#endif
