/* The clock that all deadlines and ring records are by. */
#ifndef EAGENT_CLOCK_H
#define EAGENT_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t clock_now_ns(void) {
  return clock_of(CLOCK_MONOTONIC);
}

#endif
