/* The whole loop with all of its threads, told new setpoints without a pause, read from its ring and asked how it is,
 * over a driver that is loaded anew again and again: for a thread sanitizer. Prints what it did; the sanitizer prints
 * what it found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_driver.h"
#include "hotloop.h"

#define ENVELOPE_MW 1000000u

static hotloop_t loop;
static int done; /* atomic */

static int going_on(void) {
  return !__atomic_load_n(&done, __ATOMIC_RELAXED);
}

static void *sample(void *unused) {
  hotloop_sample(&loop);
  return unused;
}

static void *actuate(void *unused) {
  hotloop_actuate(&loop);
  return unused;
}

/* What the driver forgot is known at once: with the actuator's lock held. */
static uint32_t heard_forgets(uint32_t i) {
  return loop.actuator.shown.lives[i].forgets;
}

static void *reload(void *reloads) {
  while (going_on()) {
    for (int i = 0; i < 30 && going_on(); i++) fake_pass(10000000);
    fake_reload();
    ++*(uint32_t *)reloads;
  }
  return NULL;
}

/* As the warden: leases come and go, budgets are cut. */
static void *tell(void *told) {
  for (uint32_t turn = 0; going_on(); turn++) {
    setpoints_t *setpoints = actuator_tell(&loop.actuator);
    setpoints->envelope_mw = ENVELOPE_MW;
    for (uint32_t i = 0; i < FAKE_GPUS; i++) {
      setpoints->fallback.limit_mw[i] = 150000;
      setpoints->lease.limit_mw[i] = 150000 + 100000 * (i == turn % FAKE_GPUS) + turn % 7 * 1000;
    }
    for (uint32_t i = 0; i < FAKE_GPUS; i++) setpoints->forgets[i] = heard_forgets(i);
    setpoints->lease_until_ns = turn % 5 == 4 ? 0 : clock_now_ns() + 30000000;
    actuator_told(&loop.actuator);
    ++*(uint32_t *)told;
    fake_pass(3000000);
  }
  return NULL;
}

/* As the agent, but in this process, where the sanitizer sees it. */
static void *drain(void *drained) {
  static ring_record_t records[512];
  uint64_t cursor = 0, lost = 0;
  while (going_on()) {
    *(uint64_t *)drained += ring_drain(&loop.ring, &cursor, records, 512, &lost);
    fake_pass(1000000);
  }
  return NULL;
}

/* As the warden's Python. */
static void *ask(void *asked) {
  static shown_t shown;
  while (going_on()) {
    pthread_mutex_lock(&loop.actuator.lock);
    memcpy(&shown, &loop.actuator.shown, sizeof shown);
    pthread_mutex_unlock(&loop.actuator.lock);
    ++*(uint32_t *)asked;
    fake_pass(2000000);
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  nvmlDevice_t handles[FAKE_GPUS];
  pthread_t threads[6];
  uint32_t told = 0, asked = 0, reloads = 0;
  uint64_t drained = 0;
  fake_open(&loop.nvml, handles, FAKE_LIMIT_MW);
  if (ring_create(&loop.ring, arguments[1])) return 3;
  hotloop_init(&loop, FAKE_GPUS, handles, 50000000, 0);
  for (uint32_t i = 0; i < FAKE_GPUS; i++) {
    loop.actuator.limits.devices[i].highest_mw = 400000;
    loop.actuator.limits.devices[i].requested_mw = 200000;
    loop.actuator.limits.devices[i].capped = 1;
  }
  void *(*bodies[])(void *) = {sample, actuate, tell, drain, ask, reload};
  void *results[] = {NULL, NULL, &told, &drained, &asked, &reloads};
  for (int i = 0; i < 6; i++) pthread_create(&threads[i], NULL, bodies[i], results[i]);
  usleep((useconds_t)(atof(arguments[2]) * 1e6));
  __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
  hotloop_stop(&loop);
  for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
  const ring_stats_t *stats = &loop.ring.header->stats;
  uint32_t forgets = UINT32_MAX;
  for (uint32_t i = 0; i < FAKE_GPUS; i++)
    if (loop.driver.gpu[i].shown.forgets < forgets) forgets = loop.driver.gpu[i].shown.forgets;
  printf("%u %u %u %u %u %u\n", reloads, __atomic_load_n(&fake_opens, __ATOMIC_SEQ_CST), forgets,
         loop.sampler.generation, loop.driver.generation, __atomic_load_n(&fake_misuses, __ATOMIC_SEQ_CST));
  printf("%u %u %lu %lu %lu %lu %lu\n", told, asked, (unsigned long)drained, (unsigned long)stats->writes,
         (unsigned long)stats->refreshes, (unsigned long)stats->steps,
         (unsigned long)__atomic_load_n(&fake_highest_sum_mw, __ATOMIC_RELAXED));
  hotloop_destroy(&loop);
  ring_close(&loop.ring);
  return 0;
}
