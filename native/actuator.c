#include "actuator.h"

#include <string.h>

#include "clock.h"

static const int64_t SECOND_NS = 1000000000;
static const int64_t LOOK_EVERY_NS = 1000000000;
static const int64_t TURN_EVERY_NS = 50000000; /* raises are paced, what failed is tried again, settings settle */
static const int64_t CALM_AFTER_NS = 2000000000, CALM_EVERY_NS = 200000000; /* where nothing has stirred for so long */

void actuator_init(actuator_t *actuator) {
  pthread_condattr_t attributes;
  pthread_mutex_init(&actuator->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&actuator->changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

void actuator_destroy(actuator_t *actuator) {
  pthread_cond_destroy(&actuator->changed);
  pthread_mutex_destroy(&actuator->lock);
}

setpoints_t *actuator_tell(actuator_t *actuator) {
  pthread_mutex_lock(&actuator->lock);
  return &actuator->told;
}

void actuator_told(actuator_t *actuator) {
  actuator->told.generation++;
  pthread_cond_signal(&actuator->changed);
  pthread_mutex_unlock(&actuator->lock);
}

/* Whole milliwatts that a package with these limits may draw. */
static uint32_t owners_mw(const uint64_t owner_uw[ZONE_LIMITS]) {
  uint64_t most_uw = 0;
  for (uint32_t k = 0; k < ZONE_LIMITS; k++)
    if (owner_uw[k] > most_uw) most_uw = owner_uw[k];
  return (uint32_t)((most_uw + 999) / 1000);
}

static void note_change(actuator_t *actuator, int changed) {
  if (changed) __atomic_fetch_add(&actuator->changes, 1, __ATOMIC_RELEASE);
}

/* A lease that is only prolonged changes nothing that is told. */
static int tell_same(const setpoints_t *one, const setpoints_t *other) {
  return one->envelope_mw == other->envelope_mw && memcmp(&one->lease, &other->lease, sizeof one->lease) == 0 &&
         memcmp(&one->fallback, &other->fallback, sizeof one->fallback) == 0;
}

void actuator_listen(actuator_t *actuator) {
  pthread_mutex_lock(&actuator->lock);
  const int is_new = actuator->setpoints.generation != actuator->told.generation;
  if (is_new) {
    note_change(actuator, !tell_same(&actuator->setpoints, &actuator->told));
    actuator->setpoints = actuator->told;
  }
  pthread_mutex_unlock(&actuator->lock);
  for (uint32_t i = actuator->gpus; is_new && i < actuator->limits.count; i++) {
    memcpy(actuator->zones[i].owner_uw, actuator->setpoints.owner_uw[i], sizeof actuator->zones[i].owner_uw);
    actuator->limits.devices[i].highest_mw = owners_mw(actuator->setpoints.owner_uw[i]);
  }
}

void actuator_show(actuator_t *actuator) {
  limits_t *limits = &actuator->limits;
  const ceilings_t *ceilings = &actuator->ceilings;
  shown_t *shown = &actuator->shown;
  int changed = 0;
  pthread_mutex_lock(&actuator->lock);
  for (uint32_t i = 0; i < limits->count; i++) changed |= !limit_tells_same(&shown->limits[i], &limits->devices[i]);
  for (uint32_t i = 0; i < ceilings->count; i++)
    changed |= shown->ceilings[i].held_mhz != ceilings->devices[i].held_mhz ||
               shown->ceilings[i].code != ceilings->devices[i].code;
  memcpy(shown->limits, limits->devices, limits->count * sizeof *limits->devices);
  memcpy(shown->ceilings, ceilings->devices, ceilings->count * sizeof *ceilings->devices);
  changed |= settings_show(&actuator->settings, shown->settings);
  note_change(actuator, changed);
  for (uint32_t i = 0; i < limits->count; i++) {
    if (!limits->devices[i].fresh) continue;
    limits->devices[i].fresh = 0;
    shown->fresh[i] = 1;
    __atomic_fetch_add(&shown->fresh_count, 1, __ATOMIC_RELAXED);
  }
  pthread_mutex_unlock(&actuator->lock);
}

uint32_t actuator_collect(actuator_t *actuator, limit_t out[LIMITS_MAX], uint8_t fresh[LIMITS_MAX]) {
  shown_t *shown = &actuator->shown;
  if (__atomic_load_n(&shown->fresh_count, __ATOMIC_RELAXED) == 0) return 0;
  pthread_mutex_lock(&actuator->lock);
  const uint32_t count = shown->fresh_count;
  memcpy(out, shown->limits, sizeof shown->limits);
  memcpy(fresh, shown->fresh, sizeof shown->fresh);
  memset(shown->fresh, 0, sizeof shown->fresh);
  __atomic_store_n(&shown->fresh_count, 0, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&actuator->lock);
  return count;
}

static void count(uint64_t *counter, uint64_t value) {
  __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static void look_at_limits(actuator_t *actuator, int64_t now_ns) {
  uint64_t spent_ns = 0;
  for (uint32_t i = 0; i < actuator->limits.count; i++) {
    if (now_ns < actuator->look_ns[i]) continue;
    const int64_t begun_ns = clock_now_ns();
    limits_read(&actuator->limits, i, now_ns);
    actuator->look_ns[i] = now_ns + LOOK_EVERY_NS - TURN_EVERY_NS / 8;
    if (i < actuator->gpus) spent_ns += (uint64_t)(clock_now_ns() - begun_ns);
  }
  count(&actuator->cost.read_ns, actuator->cost.read_ns + spent_ns);
}

/* Whether this turn was told of something new, a lease's begin or end included. */
static int hear(actuator_t *actuator, int64_t now_ns) {
  const uint64_t generation = actuator->setpoints.generation;
  actuator_listen(actuator);
  const int is_leased = now_ns < actuator->setpoints.lease_until_ns, is_other = is_leased != actuator->is_leased;
  note_change(actuator, is_other);
  actuator->is_leased = is_leased;
  return is_other || generation != actuator->setpoints.generation;
}

int64_t actuator_turn(actuator_t *actuator, int64_t now_ns) {
  const int heard = hear(actuator, now_ns);
  const setpoints_t *setpoints = &actuator->setpoints;
  const int leased = actuator->is_leased;
  const vector_t *wanted = leased ? &setpoints->lease : &setpoints->fallback;
  const int64_t begun_ns = clock_now_ns();
  purse_fill(&actuator->purse, now_ns);
  int wrote = limits_govern(&actuator->limits, leased ? setpoints->lease.limit_mw : NULL, setpoints->fallback.limit_mw,
                            setpoints->envelope_mw, now_ns);
  wrote |= ceilings_govern(&actuator->ceilings, wanted->clock_mhz, leased, now_ns);
  if (wrote) count(&actuator->cost.write_ns, actuator->cost.write_ns + (uint64_t)(clock_now_ns() - begun_ns));
  wrote |= settings_govern(&actuator->settings, wanted->text, now_ns);
  if (heard || wrote || actuator->settings.calls) actuator->stirred_ns = now_ns;
  look_at_limits(actuator, now_ns);
  count(&actuator->cost.writes, actuator->limits.writes + actuator->ceilings.writes + actuator->settings.writes);
  count(&actuator->cost.write_errors,
        actuator->limits.write_errors + actuator->ceilings.write_errors + actuator->settings.write_errors);
  actuator_show(actuator);
  pthread_mutex_lock(&actuator->lock);
  actuator->shown.generation = setpoints->generation;
  actuator->shown.turned_ns = now_ns;
  pthread_mutex_unlock(&actuator->lock);
  return now_ns + (now_ns < actuator->stirred_ns + CALM_AFTER_NS ? TURN_EVERY_NS : CALM_EVERY_NS);
}

/* Until something is told, the lease ends, or a turn is due. Returns whether to go on. */
static int await(actuator_t *actuator, int64_t due_ns) {
  const int64_t until_ns = actuator->setpoints.lease_until_ns;
  if (until_ns < due_ns && until_ns > clock_now_ns()) due_ns = until_ns;
  const struct timespec until = {.tv_sec = due_ns / SECOND_NS, .tv_nsec = due_ns % SECOND_NS};
  pthread_mutex_lock(&actuator->lock);
  int error = 0;
  while (!actuator->stopping && actuator->told.generation == actuator->setpoints.generation && error == 0)
    error = pthread_cond_timedwait(&actuator->changed, &actuator->lock, &until);
  const int going_on = !actuator->stopping;
  pthread_mutex_unlock(&actuator->lock);
  return going_on;
}

void actuator_run(actuator_t *actuator) {
  int64_t due_ns;
  do {
    due_ns = actuator_turn(actuator, clock_now_ns());
    count(&actuator->cost.cpu_ns, (uint64_t)clock_of(CLOCK_THREAD_CPUTIME_ID));
  } while (await(actuator, due_ns));
}

void actuator_stop(actuator_t *actuator) {
  pthread_mutex_lock(&actuator->lock);
  actuator->stopping = 1;
  pthread_cond_signal(&actuator->changed);
  pthread_mutex_unlock(&actuator->lock);
}
