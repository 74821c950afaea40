/* Lets readings go before writes.
 *
 * The driver has one lock, and it is not a fair one: who writes one limit after another, milliseconds each, can keep a
 * reading waiting through all of them. Between two writes the writer looks here, and lets a reading pass.
 */
#ifndef EAGENT_GATE_H
#define EAGENT_GATE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define GATE_LOOK_NS 50000
#define GATE_MOST_NS 2000000 /* a reading that takes longer hangs: writes must not */

typedef struct gate {
  uint32_t reading; /* atomic */
} gate_t;

static inline void gate_begin_reading(gate_t *gate) {
  __atomic_store_n(&gate->reading, 1, __ATOMIC_RELAXED);
}

static inline void gate_end_reading(gate_t *gate) {
  __atomic_store_n(&gate->reading, 0, __ATOMIC_RELAXED);
}

/* NULL: nobody reads. */
static inline void gate_let_readings_pass(const gate_t *gate) {
  const struct timespec look = {.tv_nsec = GATE_LOOK_NS};
  if (gate == NULL) return;
  for (int64_t ns = 0; ns < GATE_MOST_NS && __atomic_load_n(&gate->reading, __ATOMIC_RELAXED); ns += GATE_LOOK_NS)
    nanosleep(&look, NULL);
}

#endif
