/* The whole loop on a driver whose setter does not end. Prints, after some seconds, how long ago each half showed a
 * sign of life, in milliseconds, and how many readings went on meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_driver.h"
#include "hotloop.h"

static hotloop_t loop;

static void *sample(void *unused) {
  hotloop_sample(&loop);
  return unused;
}

static void *actuate(void *unused) {
  hotloop_actuate(&loop);
  return unused;
}

static nvmlReturn_t hang(nvmlDevice_t device, unsigned int mw) {
  (void)device;
  (void)mw;
  for (;;) pause();
  return NVML_ERROR_TIMEOUT;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  nvmlDevice_t handles[FAKE_GPUS];
  (void)fake_reload;
  pthread_t threads[2];
  fake_open(&loop.nvml, handles, 200000);
  loop.nvml.limit_set = hang;
  if (ring_create(&loop.ring, arguments[1])) return 3;
  hotloop_init(&loop, FAKE_GPUS, handles, 50000000, 0);
  pthread_create(&threads[0], NULL, sample, NULL);
  pthread_create(&threads[1], NULL, actuate, NULL);
  const ring_stats_t *stats = &loop.ring.header->stats;
  const useconds_t span_us = (useconds_t)(atof(arguments[2]) * 1e6);
  usleep(span_us);
  const int64_t before_ns = __atomic_load_n(&stats->actuator_beat_ns, __ATOMIC_RELAXED);
  const int64_t well_ns = clock_now_ns() - before_ns;
  actuator_tell(&loop.actuator)->fallback.limit_mw[0] = 150000;
  actuator_told(&loop.actuator);
  const uint64_t reads = stats->reads;
  usleep(span_us);
  const int64_t now_ns = clock_now_ns();
  printf("%ld %ld %ld %lu\n", (long)(well_ns / 1000000), (long)((now_ns - stats->heartbeat_ns) / 1000000),
         (long)((now_ns - __atomic_load_n(&stats->actuator_beat_ns, __ATOMIC_RELAXED)) / 1000000),
         (unsigned long)(stats->reads - reads));
  fflush(stdout);
  _exit(0);
}
