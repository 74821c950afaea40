/* The ring's writing end for tests: the product's own ring.c, called often enough to lap any reader. */
#include <time.h>

#include "numbered.h"

void push_numbered(ring_t *ring, uint64_t first, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    ring_record_t record = numbered(first + i);
    ring_push(ring, &record);
  }
}

/* Push for some time without a pause; returns how many. */
uint64_t push_for_ms(ring_t *ring, int64_t milliseconds) {
  struct timespec begin, now;
  uint64_t pushed = 0;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    push_numbered(ring, pushed, 1000);
    pushed += 1000;
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds);
  return pushed;
}

/* What a turn of the half that writes leaves behind. */
void set_actuator_beat(ring_t *ring, int64_t beat_ns) {
  ring->header->stats.actuator_beat_ns = beat_ns;
}

/* What a step of the hot loop leaves behind. */
void set_stats(ring_t *ring, int64_t started_ns, int64_t heartbeat_ns) {
  ring->header->stats.started_ns = started_ns;
  ring->header->stats.heartbeat_ns = heartbeat_ns;
  ring->header->stats.reads = ring->header->head;
}
