#include "hotloop.h"

#include <errno.h>
#include <malloc.h>
#include <sys/prctl.h>

#include "clock.h"

static const int64_t SECOND_NS = 1000000000;

void hotloop_init(hotloop_t *loop, uint32_t gpus, const nvmlDevice_t *handles, int64_t free_ns, int virtual_time) {
  actuator_t *actuator = &loop->actuator;
  sampler_t *sampler = &loop->sampler;
  driver_init(&loop->driver, &loop->nvml, gpus, handles);
  actuator_init(actuator, &loop->driver);
  sampler->driver = &loop->driver;
  actuator->limits.nvml = actuator->ceilings.nvml = sampler->reader.nvml = &loop->nvml;
  actuator->gpus = actuator->limits.count = actuator->ceilings.count = sampler->gpus = sampler->devices = gpus;
  sampler->reader.ring = &loop->ring;
  actuator->beat_ns = &loop->ring.header->stats.actuator_beat_ns;
  sampler->reader.virtual_time = actuator->purse.virtual_time = virtual_time;
  actuator->limits.gate = actuator->ceilings.gate = &actuator->gate;
  actuator->limits.purse = actuator->ceilings.purse = &actuator->purse;
  sampler->zones = actuator->zones;
  sampler->free_ns = free_ns;
  for (uint32_t i = 0; i < gpus; i++) {
    actuator->limits.devices[i].handle = actuator->ceilings.devices[i].handle = sampler->gpu[i].handle = handles[i];
    sampler->gpu[i].device = (uint16_t)i;
  }
}

void hotloop_add_package(hotloop_t *loop, const zone_t *zone) {
  const uint32_t i = loop->actuator.limits.count++;
  loop->actuator.zones[i] = *zone;
  loop->actuator.limits.devices[i].zone = &loop->actuator.zones[i];
  loop->sampler.devices = loop->actuator.limits.count;
}

/* Publish what the actuator has read and done. */
static void collect(hotloop_t *loop, int64_t now_ns) {
  limit_t limits[LIMITS_MAX];
  uint8_t fresh[LIMITS_MAX];
  if (actuator_collect(&loop->actuator, limits, fresh) == 0) return;
  for (uint32_t i = 0; i < loop->sampler.devices; i++)
    if (fresh[i]) sampler_publish_limit(&loop->sampler, i, &limits[i], now_ns);
}

static uint64_t counted(const uint64_t *counter) {
  return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The sampler's own reading time stands in the stats already; the actuator's comes on top. */
static void account(hotloop_t *loop) {
  ring_stats_t *stats = &loop->ring.header->stats;
  const actuator_cost_t *cost = &loop->actuator.cost;
  const uint64_t read_ns = counted(&cost->read_ns);
  stats->read_ns += read_ns - loop->actuator_read_ns;
  loop->sampler.shed.other.spent_ns += read_ns - loop->actuator_read_ns;
  loop->actuator_read_ns = read_ns;
  stats->write_ns = counted(&cost->write_ns);
  stats->writes = counted(&cost->writes);
  stats->write_errors = counted(&cost->write_errors);
  __atomic_store_n(&stats->changes, __atomic_load_n(&loop->actuator.changes, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

static int64_t sample_once(hotloop_t *loop, int64_t now_ns) {
  ring_stats_t *stats = &loop->ring.header->stats;
  gate_begin_reading(&loop->actuator.gate);
  const int64_t next_ns = sampler_turn(&loop->sampler, now_ns);
  gate_end_reading(&loop->actuator.gate);
  collect(loop, now_ns);
  account(loop);
  stats->steps++;
  stats->heartbeat_ns = loop->sampler.reader.virtual_time ? now_ns : clock_now_ns();
  return next_ns;
}

int64_t hotloop_step(hotloop_t *loop, int64_t now_ns) {
  actuator_turn(&loop->actuator, now_ns);
  return sample_once(loop, now_ns);
}

static void note_lateness(ring_stats_t *stats, int64_t late_ns) {
  const uint64_t late_us = late_ns > 0 ? (uint64_t)late_ns / 1000 : 0;
  const uint32_t bucket = late_us ? 64u - (uint32_t)__builtin_clzll(late_us) : 0;
  stats->lateness[bucket < RING_LATENESSES ? bucket : RING_LATENESSES - 1]++;
  if (late_ns > (int64_t)stats->lateness_max_ns) stats->lateness_max_ns = (uint64_t)late_ns;
}

static void sleep_until(int64_t due_ns) {
  const struct timespec until = {.tv_sec = due_ns / SECOND_NS, .tv_nsec = due_ns % SECOND_NS};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

void hotloop_sample(hotloop_t *loop) {
  ring_stats_t *stats = &loop->ring.header->stats;
  int64_t due_ns = clock_now_ns(), accounted_ns = 0;
  stats->started_ns = due_ns;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  while (!__atomic_load_n(&loop->stopping, __ATOMIC_RELAXED)) {
    due_ns = sample_once(loop, clock_now_ns());
    int64_t now_ns = clock_now_ns();
    if (now_ns >= accounted_ns + SECOND_NS) {
      accounted_ns = now_ns;
      stats->cpu_ns = (uint64_t)clock_of(CLOCK_THREAD_CPUTIME_ID) + counted(&loop->actuator.cost.cpu_ns);
    }
    if (now_ns >= due_ns) { /* this turn took longer than until the next */
      stats->missed++;
      continue;
    }
    sleep_until(due_ns);
    note_lateness(stats, clock_now_ns() - due_ns);
  }
}

void hotloop_actuate(hotloop_t *loop) {
#ifdef __GLIBC__
  malloc_trim(0); /* what loading the programs has left in the heap: a megabyte of a warden's twenty */
#endif
  actuator_run(&loop->actuator);
}

void hotloop_stop(hotloop_t *loop) {
  __atomic_store_n(&loop->stopping, 1, __ATOMIC_RELAXED);
  actuator_stop(&loop->actuator);
}

void hotloop_destroy(hotloop_t *loop) {
  actuator_destroy(&loop->actuator);
  driver_destroy(&loop->driver);
}
