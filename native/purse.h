/* The time that may be spent inside the driver's setters: every write holds the driver's one lock for milliseconds.
 *
 * It fills by a share of the time that passes. What can wait is written only while something is in it; what can't is
 * written all the same and charged, so that what can wait then waits longer. In any minute that comes to at most 1 % of
 * the time, but for what could not wait: 0.8 % of 60 s, a full purse, and a write that was begun on its last drops.
 */
#ifndef EAGENT_PURSE_H
#define EAGENT_PURSE_H

#include <stdint.h>

typedef struct purse {
  int virtual_time;  /* calls take no time then: each write is charged what it would take on the average */
  int64_t spent_ns;  /* of a full purse; above that: owed */
  int64_t usual_ns;  /* what a write costs, by the last ones; 0: none yet */
  int64_t filled_ns; /* when it was last filled */
} purse_t;           /* all zero: full */

/* Why a write is not held back, or that it is. */
typedef enum urgency {
  URGENCY_NONE,  /* it waits for the purse */
  URGENCY_WORK,  /* it does not wait, and is paid for */
  URGENCY_LIMIT, /* likewise, but what then waits for it waits five seconds at most */
} urgency_t;

/* Once a turn, before the others: take in what has come together by the monotonic time now_ns. */
void purse_fill(purse_t *purse, int64_t now_ns);
/* Whether there is enough for another write. */
int purse_is_open(const purse_t *purse);
/* Whether there is so much that also what matters little may be written. */
int purse_is_rich(const purse_t *purse);
/* The time now, to be handed to purse_charge when the write is done; now_ns in virtual time. */
int64_t purse_clock_ns(const purse_t *purse, int64_t now_ns);
/* Pay for a write of the driver's that began at begun_ns. */
void purse_charge(purse_t *purse, int64_t begun_ns, urgency_t urgency);

#endif
