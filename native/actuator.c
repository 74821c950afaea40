#include "actuator.h"

#include <string.h>

#include "clock.h"

static const int64_t SECOND_NS = 1000000000;
static const int64_t LOOK_EVERY_NS = 1000000000;
static const int64_t VOID_LOOK_EVERY_NS = 250000000; /* at what has no driver: it may be back */
static const int64_t HEARING_NS = 600000000;   /* what was forgotten is entered in the journal anew in this time */
static const int64_t TURN_EVERY_NS = 50000000; /* raises are paced, what failed is tried again, settings settle */
static const int64_t CALM_AFTER_NS = 2000000000, CALM_EVERY_NS = 200000000; /* where nothing has stirred for so long */

void actuator_init(actuator_t *actuator, driver_t *driver) {
  pthread_condattr_t attributes;
  pthread_mutex_init(&actuator->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&actuator->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  actuator->driver = actuator->limits.driver = driver;
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
  return one->envelope_mw == other->envelope_mw && memcmp(one->capped, other->capped, sizeof one->capped) == 0 &&
         memcmp(&one->lease, &other->lease, sizeof one->lease) == 0 &&
         memcmp(&one->fallback, &other->fallback, sizeof one->fallback) == 0;
}

/* What somebody else has set is ours again where that was said, and what is not known any more is written again. */
static void take_back(actuator_t *actuator, const setpoints_t *told) {
  const setpoints_t *known = &actuator->setpoints;
  for (uint32_t i = 0; i < actuator->limits.count; i++)
    if (known->limits_taken_back[i] != told->limits_taken_back[i]) limits_take_back(&actuator->limits, i);
  for (uint32_t i = 0; i < actuator->ceilings.count; i++)
    if (known->clocks_again[i] != told->clocks_again[i]) actuator->ceilings.devices[i].held_mhz = 0;
  if (known->texts_taken_back != told->texts_taken_back) settings_take_back(&actuator->settings);
}

void actuator_listen(actuator_t *actuator) {
  pthread_mutex_lock(&actuator->lock);
  const int is_new = actuator->setpoints.generation != actuator->told.generation;
  if (is_new) {
    note_change(actuator, !tell_same(&actuator->setpoints, &actuator->told));
    take_back(actuator, &actuator->told);
    actuator->setpoints = actuator->told;
  }
  pthread_mutex_unlock(&actuator->lock);
  for (uint32_t i = 0; is_new && i < actuator->limits.count; i++)
    actuator->limits.devices[i].capped = actuator->setpoints.capped[i];
  for (uint32_t i = 0; is_new && i < actuator->gpus; i++)
    actuator->limits.devices[i].presence = actuator->setpoints.presence[i];
  for (uint32_t i = actuator->gpus; is_new && i < actuator->limits.count; i++) {
    memcpy(actuator->zones[i].owner_uw, actuator->setpoints.owner_uw[i], sizeof actuator->zones[i].owner_uw);
    actuator->limits.devices[i].highest_mw = owners_mw(actuator->setpoints.owner_uw[i]);
  }
}

/* How GPUs and driver are. A count that goes on is no change. */
static int show_lives(const actuator_t *actuator, shown_t *shown) {
  int changed = 0;
  for (uint32_t i = 0; i < actuator->gpus; i++) {
    const driver_gpu_shown_t *life = &actuator->driver->gpu[i].shown;
    changed |= memcmp(&shown->lives[i], life, sizeof *life) != 0;
    shown->lives[i] = *life;
  }
  for (uint32_t i = 0; i < actuator->limits.count; i++) {
    changed |= shown->exposures[i].times != actuator->exposures[i].times ||
               shown->exposures[i].ended_ns != actuator->exposures[i].ended_ns;
    shown->exposures[i] = actuator->exposures[i];
  }
  return changed;
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
  changed |= show_lives(actuator, shown);
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

/* Said by this thread itself: who hangs in a setter hangs alone, where the driver lets others read. */
static void beat(actuator_t *actuator, int64_t now_ns) {
  if (!actuator->beat_ns) return;
  __atomic_store_n(actuator->beat_ns, actuator->purse.virtual_time ? now_ns : clock_now_ns(), __ATOMIC_RELAXED);
}

static void look_at(actuator_t *actuator, uint32_t i, int64_t now_ns) {
  if (actuator->driver->given_up >> i & 1) return;
  if (i < actuator->gpus) driver_look(actuator->driver, i);
  limits_read(&actuator->limits, i, now_ns);
  if (i < actuator->gpus && !(actuator->limits.spared >> i & 1))
    driver_switch(actuator->driver, i, actuator->setpoints.mode[i]);
}

/* Look at those whose time has come. Returns whether one is not what it was. */
static int look_at_limits(actuator_t *actuator, int64_t now_ns) {
  uint64_t spent_ns = 0;
  int moved = 0;
  for (uint32_t i = 0; i < actuator->limits.count; i++) {
    if (actuator->limits.devices[i].presence == PRESENCE_PARTING) actuator->look_ns[i] = now_ns; /* it is waited for */
    if (now_ns < actuator->look_ns[i]) continue;
    const int64_t begun_ns = clock_now_ns();
    const uint32_t before_mw = actuator->limits.devices[i].requested_mw;
    look_at(actuator, i, now_ns);
    beat(actuator, now_ns);
    moved |= actuator->limits.devices[i].requested_mw != before_mw;
    const int is_void = i < actuator->gpus && actuator->driver->gpu[i].shown.void_ns;
    actuator->look_ns[i] = now_ns + (is_void ? VOID_LOOK_EVERY_NS : LOOK_EVERY_NS) - TURN_EVERY_NS / 8;
    if (i < actuator->gpus) spent_ns += (uint64_t)(clock_now_ns() - begun_ns);
  }
  count(&actuator->cost.read_ns, actuator->cost.read_ns + spent_ns);
  return moved;
}

/* Persistence modes are switched at a look: until one is on, a driver that forgets leaves no evidence of it. */
static void look_where_switched(actuator_t *actuator, const uint8_t before[LIMITS_MAX]) {
  for (uint32_t i = 0; i < actuator->gpus; i++)
    if (actuator->setpoints.mode[i] != before[i]) actuator->look_ns[i] = 0;
}

/* Whether this turn was told of something new, a lease's begin or end included. That a new budget is in force is said
 * once this turn is over: it looks at every limit, for what was read last may be a second old. */
static int hear(actuator_t *actuator, int64_t now_ns) {
  const uint64_t generation = actuator->setpoints.generation, envelope_mw = actuator->setpoints.envelope_mw;
  uint8_t mode[LIMITS_MAX];
  memcpy(mode, actuator->setpoints.mode, sizeof mode);
  actuator_listen(actuator);
  look_where_switched(actuator, mode);
  if (actuator->setpoints.envelope_mw != envelope_mw) memset(actuator->look_ns, 0, sizeof actuator->look_ns);
  const int is_leased = now_ns < actuator->setpoints.lease_until_ns, is_other = is_leased != actuator->is_leased;
  note_change(actuator, is_other);
  actuator->is_leased = is_leased;
  return is_other || generation != actuator->setpoints.generation;
}

/* A driver that has gone shows at one GPU first, and is looked for at all of them then. */
static void look_at_doubts(actuator_t *actuator, int64_t now_ns) {
  const uint64_t voids = driver_voids(actuator->driver), doubts = driver_doubts(actuator->driver);
  for (uint32_t i = 0; i < actuator->gpus; i++)
    if (doubts >> i & 1) look_at(actuator, i, now_ns);
  if ((driver_voids(actuator->driver) & ~voids) == 0) return;
  for (uint32_t i = 0; i < actuator->gpus; i++)
    if (!(doubts >> i & 1)) look_at(actuator, i, now_ns);
}

/* Take over what handles there are now, and look what they lead to. */
static void take_handles(actuator_t *actuator, int64_t now_ns) {
  actuator->generation = actuator->driver->generation;
  for (uint32_t i = 0; i < actuator->gpus; i++) {
    const nvmlDevice_t handle = actuator->driver->gpu[i].handle;
    actuator->limits.devices[i].handle = actuator->ceilings.devices[i].handle = handle;
    if (actuator->driver->given_up >> i & 1) limits_lose_sight(&actuator->limits, i);
    look_at(actuator, i, now_ns);
  }
}

static uint64_t given_up(const actuator_t *actuator) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < actuator->gpus; i++)
    bits |= (uint64_t)(actuator->setpoints.presence[i] == PRESENCE_GONE) << i;
  return bits;
}

/* Follow the driver's life: its handles, and what of the knobs is not known any more. */
static void follow_driver(actuator_t *actuator, int64_t now_ns) {
  const driver_t *driver = actuator->driver;
  const int64_t begun_ns = clock_now_ns();
  look_at_doubts(actuator, now_ns);
  driver_give_up(actuator->driver, given_up(actuator), now_ns);
  driver_mind(actuator->driver, now_ns);
  if (actuator->generation != driver->generation) take_handles(actuator, now_ns);
  count(&actuator->cost.read_ns, actuator->cost.read_ns + (uint64_t)(clock_now_ns() - begun_ns));
  for (uint32_t i = 0; i < actuator->gpus; i++) {
    ceiling_t *ceiling = &actuator->ceilings.devices[i];
    if (actuator->forgets[i] == driver->gpu[i].shown.forgets) continue;
    actuator->forgets[i] = driver->gpu[i].shown.forgets;
    actuator->limits.devices[i].retry_ns = ceiling->written_ns = 0;
    ceiling->held_mhz = 0;
  }
}

/* The GPUs, a bit each, whose knobs are not written now: there is no driver for them, or it has forgotten what was
 * entered in the journal, which is entered anew first. Under a budget lowering does not wait for that for ever. */
static uint64_t spared(const actuator_t *actuator, int64_t now_ns) {
  uint64_t bits = driver_voids(actuator->driver) | actuator->driver->given_up;
  for (uint32_t i = 0; i < actuator->gpus; i++) {
    const driver_gpu_shown_t *life = &actuator->driver->gpu[i].shown;
    const int is_late = actuator->setpoints.envelope_mw && now_ns >= life->forgot_ns + HEARING_NS;
    if (life->forgets != actuator->setpoints.forgets[i] && !is_late) bits |= 1ull << i;
  }
  return bits;
}

static int ceilings_turn(actuator_t *actuator, const uint32_t *wanted_mhz, int64_t now_ns) {
  uint32_t open_mhz[CEILINGS_MAX];
  for (uint32_t i = 0; i < actuator->gpus; i++) open_mhz[i] = actuator->limits.spared >> i & 1 ? 0 : wanted_mhz[i];
  return ceilings_govern(&actuator->ceilings, open_mhz, actuator->is_leased, now_ns);
}

/* A loop that starts under a budget may find limits above it, after a boot or a reload that nobody was there for. They
 * are so since the loop before it was last there, for all that is known. */
static void begin_exposed(actuator_t *actuator) {
  const limits_t *limits = &actuator->limits;
  const setpoints_t *setpoints = &actuator->setpoints;
  const int64_t since_ns = actuator->begun_ns;
  actuator->begun_ns = 0;
  if (!since_ns || !setpoints->envelope_mw || limits_sum_mw(limits) <= setpoints->envelope_mw) return;
  for (uint32_t i = 0; i < limits->count; i++) {
    const limit_t *limit = &limits->devices[i];
    const uint32_t in_force_mw = limit->requested_mw ? limit->requested_mw : limit->highest_mw;
    if (limit_counts(limit) && in_force_mw > setpoints->fallback.limit_mw[i])
      exposure_begin(&actuator->exposures[i], in_force_mw, since_ns);
  }
}

static void count_exposures(actuator_t *actuator, int64_t now_ns) {
  for (uint32_t i = 0; i < actuator->limits.count; i++) {
    const limit_t *limit = &actuator->limits.devices[i];
    const exposed_limit_t exposed = {limit->wanted_mw, limit->requested_mw, limit->highest_mw, limit->read_ns};
    if (limit_counts(limit)) exposure_count(&actuator->exposures[i], &exposed, now_ns);
    if (limit->presence != PRESENCE_HERE) exposure_end(&actuator->exposures[i], now_ns);
  }
}

static int limits_turn(actuator_t *actuator, int64_t now_ns) {
  const setpoints_t *setpoints = &actuator->setpoints;
  actuator->limits.spared = spared(actuator, now_ns);
  return limits_govern(&actuator->limits, actuator->is_leased ? setpoints->lease.limit_mw : NULL,
                       setpoints->fallback.limit_mw, setpoints->envelope_mw, now_ns);
}

int64_t actuator_turn(actuator_t *actuator, int64_t now_ns) {
  const int heard = hear(actuator, now_ns);
  const setpoints_t *setpoints = &actuator->setpoints;
  const vector_t *wanted = actuator->is_leased ? &setpoints->lease : &setpoints->fallback;
  follow_driver(actuator, now_ns);
  begin_exposed(actuator);
  const int64_t begun_ns = clock_now_ns();
  purse_fill(&actuator->purse, now_ns);
  int wrote = limits_turn(actuator, now_ns);
  wrote |= ceilings_turn(actuator, wanted->clock_mhz, now_ns);
  if (wrote) count(&actuator->cost.write_ns, actuator->cost.write_ns + (uint64_t)(clock_now_ns() - begun_ns));
  wrote |= settings_govern(&actuator->settings, wanted->text, now_ns);
  /* What is told of somebody else's doing is what has become of it, and not what is about to. */
  if (look_at_limits(actuator, now_ns)) wrote |= limits_turn(actuator, now_ns);
  if (heard || wrote || actuator->settings.calls) actuator->stirred_ns = now_ns;
  count_exposures(actuator, now_ns);
  count(&actuator->cost.writes, actuator->limits.writes + actuator->ceilings.writes + actuator->settings.writes);
  count(&actuator->cost.write_errors,
        actuator->limits.write_errors + actuator->ceilings.write_errors + actuator->settings.write_errors);
  actuator_show(actuator);
  pthread_mutex_lock(&actuator->lock);
  actuator->shown.generation = setpoints->generation;
  actuator->shown.turned_ns = now_ns;
  pthread_mutex_unlock(&actuator->lock);
  beat(actuator, now_ns);
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
