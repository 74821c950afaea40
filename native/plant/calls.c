#include "plant/calls.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "plant/file.h"
#include "plant/random.h"

/* Deviation of a call's time in natural logarithms (assumed): 90 % of calls take 0.66 to 1.5 medians, and as
 * random_normal is bounded, none more than 2.4. */
#define CALL_SPREAD 0.25

int plant_host_enter_driver(plant_host_t *host) {
  pthread_mutex_t *lock = &host->file->driver.lock;
  int error = pthread_mutex_lock(lock);
  if (error == EOWNERDEAD) error = pthread_mutex_consistent(lock); /* it guards nothing that could be half done */
  return -error;
}

void plant_host_leave_driver(plant_host_t *host) {
  pthread_mutex_unlock(&host->file->driver.lock);
}

static double median_s(const plant_model_t *model, enum plant_call kind) {
  switch (kind) {
    case PLANT_CALL_POWER:
      return model->call_power_s;
    case PLANT_CALL_CLOCK:
      return model->call_clock_s;
    case PLANT_CALL_UTILISATION:
      return model->call_utilisation_s;
    case PLANT_CALL_MEMORY:
      return model->call_memory_s;
    default:
      return model->call_other_s;
  }
}

int64_t plant_host_call_ns(plant_host_t *host, enum plant_call kind) {
  const spec_t *spec = &host->file->spec;
  const plant_model_t *model = &spec->given.model;
  uint64_t number = __atomic_load_n(&host->file->driver.calls.count[kind], __ATOMIC_RELAXED);
  uint64_t bits = random_bits(spec->given.seed, RANDOM_CALL, (uint32_t)kind, number);
  double cost_s = kind == PLANT_CALL_SET ? random_between(model->call_set_s[0], model->call_set_s[1], bits)
                                         : median_s(model, kind) * exp(CALL_SPREAD * random_normal(bits));
  return (int64_t)(cost_s * 1e9);
}

void plant_host_charge(plant_host_t *host, enum plant_call kind, int64_t held_ns, int64_t waited_ns) {
  plant_calls_t *calls = &host->file->driver.calls;
  __atomic_fetch_add(&calls->count[kind], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&calls->held_ns[kind], held_ns, __ATOMIC_RELAXED);
  __atomic_fetch_add(&calls->waited_ns[kind], waited_ns, __ATOMIC_RELAXED);
}

int plant_host_weighs(plant_host_t *host, enum plant_call kind) {
  const uint64_t number = __atomic_load_n(&host->file->driver.calls.count[kind], __ATOMIC_RELAXED);
  return number % PLANT_WEIGHED == 0 && plant_host_calls_take_time(host);
}

void plant_host_charge_work(plant_host_t *host, enum plant_call kind, int64_t worked_ns) {
  __atomic_fetch_add(&host->file->driver.calls.worked_ns[kind], worked_ns * PLANT_WEIGHED, __ATOMIC_RELAXED);
}

int plant_host_calls_take_time(const plant_host_t *host) {
  return host->file->spec.given.clock == PLANT_CLOCK_WALL;
}

int plant_host_calls(plant_host_t *host, plant_calls_t *out) {
  memcpy(out, &host->file->driver.calls, sizeof *out); /* each number is whole; they may be of different moments */
  return 0;
}
