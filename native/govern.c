#include "govern.h"

#include <errno.h>

#include "presence.h"
#include "scale.h"

static const int64_t RETRY_NS = 1000000000;           /* after a write that failed or did not hold */
static const int64_t RAISE_EVERY_NS = 1000000000;     /* per device: the hardware averages over a second */
static const uint32_t LEAST_PERCENT = 3;              /* a smaller change under a lease is not worth a call ... */
static const int64_t RAISE_PATIENCE_NS = 5000000000;  /* ... until it has been wanted for this long: work waits, ... */
static const int64_t LOWER_PATIENCE_NS = 10000000000; /* ... and here nothing does */
static const uint32_t CUT_PERCENT = 10;               /* a lowering by so much does not wait */
static const uint32_t WATT_MW = 1000;

nvmlReturn_t limits_code(int error) {
  switch (error) {
    case 0:
      return NVML_SUCCESS;
    case -EACCES:
    case -EPERM:
      return NVML_ERROR_NO_PERMISSION;
    case -ENOENT:
    case -ENODATA:
      return NVML_ERROR_NOT_SUPPORTED;
    default:
      return NVML_ERROR_UNKNOWN;
  }
}

static nvmlReturn_t get_limit(const nvml_t *nvml, limit_t *limit, unsigned int *mw) {
  if (!limit->zone) return limit->handle ? nvml->limit_get(limit->handle, mw) : NVML_ERROR_GPU_IS_LOST;
  return limits_code(zone_read_limit(limit->zone, mw, &limit->is_uneven));
}

static nvmlReturn_t set_limit(const nvml_t *nvml, limit_t *limit, uint32_t mw) {
  if (!limit->zone) return limit->handle ? nvml->limit_set(limit->handle, mw) : NVML_ERROR_GPU_IS_LOST;
  int error = zone_write_limit(limit->zone, mw);
  limit->write_error = -error;
  return limits_code(error);
}

static nvmlReturn_t get_enforced(const nvml_t *nvml, const limit_t *limit, unsigned int *mw) {
  return limit->handle && nvml->limit_enforced ? nvml->limit_enforced(limit->handle, mw) : NVML_ERROR_NOT_SUPPORTED;
}

int limit_tells_same(const limit_t *one, const limit_t *other) {
  return one->requested_mw == other->requested_mw && one->enforced_mw == other->enforced_mw &&
         one->held_mw == other->held_mw && one->write_code == other->write_code &&
         one->write_error == other->write_error && one->disagrees == other->disagrees &&
         one->is_uneven == other->is_uneven && one->foreign.count == other->foreign.count &&
         one->foreign.fate == other->foreign.fate;
}

/* Whether what was read is somebody else's doing. */
static void heed_others(const limits_t *limits, limit_t *limit, int64_t now_ns) {
  const uint32_t found_mw = limit->requested_mw, settled_mw = limit->settled_mw;
  if (limit->foreign.fate == FOREIGN_STANDS) {
    if (foreign_look(&limit->foreign, limits->on_foreign, found_mw, limit->is_uneven, now_ns))
      limit->settled_mw = found_mw;
  } else if (settled_mw && (found_mw != settled_mw || limit->is_uneven)) {
    foreign_meet(&limit->foreign, limits->on_foreign, found_mw, limit->is_uneven, settled_mw, now_ns);
    limit->held_mw = limit->settled_mw = 0;
  }
}

static int is_forgotten(const limits_t *limits, uint32_t i, int64_t now_ns) {
  const limit_t *limit = &limits->devices[i];
  const uint32_t theirs_mw = limit->foreign.fate == FOREIGN_STANDS ? limit->foreign.value_mw : 0;
  /* What was found where it was to be was written by the loop before this one. */
  const uint32_t ours_mw = limit->written_mw ? limit->written_mw : limit->settled_mw;
  const driver_look_t look = {limit->requested_code, limit->requested_mw, theirs_mw ? theirs_mw : ours_mw,
                              theirs_mw ? theirs_mw : limit->settled_mw};
  return !limit->zone && limits->driver && driver_judge(limits->driver, i, &look, now_ns);
}

void limits_read(limits_t *limits, uint32_t i, int64_t now_ns) {
  limit_t *limit = &limits->devices[i];
  unsigned int mw = 0;
  limit->read_ns = now_ns;
  limit->requested_code = get_limit(limits->nvml, limit, &mw);
  limit->requested_mw = limit->requested_code == NVML_SUCCESS ? mw : 0;
  if (is_forgotten(limits, i, now_ns)) { /* nobody else has moved it, and it is nobody's */
    limit->held_mw = limit->settled_mw = limit->written_mw = 0;
    foreign_end(&limit->foreign, FOREIGN_FORGOTTEN);
  } else if (limit->requested_mw) {
    heed_others(limits, limit, now_ns);
  }
  limit->enforced_code = get_enforced(limits->nvml, limit, &mw);
  limit->enforced_mw = limit->enforced_code == NVML_SUCCESS ? mw : 0;
  limit->fresh = 1;
}

/* Whether a limit may be where a loop that died in the midst of a write left it; drivers may round a wish. */
static int is_wish(uint32_t found_mw, uint32_t wish_mw) {
  return found_mw < wish_mw + WATT_MW && wish_mw < found_mw + WATT_MW;
}

void limits_resume(limits_t *limits, uint32_t i, uint32_t wish_mw, uint32_t done_mw, uint32_t prior_mw,
                   int64_t now_ns) {
  limit_t *limit = &limits->devices[i];
  const uint32_t found_mw = limit->requested_mw;
  const int is_ours = found_mw == done_mw || (wish_mw != done_mw && is_wish(found_mw, wish_mw));
  if (!found_mw) { /* given up: what is found at this when it is back is ours still */
    limit->written_mw = done_mw;
  } else if (is_ours && !limit->is_uneven && limit->foreign.value_mw != found_mw) {
    limit->written_mw = found_mw;
    foreign_end(&limit->foreign, FOREIGN_OVERRULED); /* whose end the one before us had no time to journal */
  } else if (limit->foreign.fate == FOREIGN_STANDS) {
    limits_read(limits, i, now_ns);
  } else if (found_mw != prior_mw || limit->is_uneven) {
    limit->settled_mw = limit->written_mw = done_mw ? done_mw : wish_mw ? wish_mw : prior_mw;
    if (!limit->zone && limits->driver) driver_resume(limits->driver, i);
    limits_read(limits, i, now_ns);
  }
}

void limits_lose_sight(limits_t *limits, uint32_t i) {
  limit_t *limit = &limits->devices[i];
  limit->requested_mw = limit->enforced_mw = limit->held_mw = limit->settled_mw = 0;
  limit->requested_code = limit->enforced_code = NVML_GIVEN_UP;
  limit->write_code = NVML_SUCCESS;
  limit->disagrees = 0;
  limit->retry_ns = 0;
  foreign_end(&limit->foreign, FOREIGN_FORGOTTEN);
  limit->fresh = 1;
}

int limit_counts(const limit_t *limit) {
  return limit->capped && limit->presence == PRESENCE_HERE;
}

/* What a device may draw as far as we know. */
static uint32_t in_force_mw(const limit_t *limit) {
  return limit->requested_mw ? limit->requested_mw : limit->highest_mw;
}

uint64_t limits_sum_mw(const limits_t *limits) {
  uint64_t sum_mw = 0;
  for (uint32_t i = 0; i < limits->count; i++)
    if (limit_counts(&limits->devices[i])) sum_mw += in_force_mw(&limits->devices[i]);
  return sum_mw;
}

void limits_take_back(limits_t *limits, uint32_t i) {
  foreign_end(&limits->devices[i].foreign, FOREIGN_TAKEN_BACK);
}

/* What one turn goes by. */
typedef struct turn {
  limits_t *limits;
  uint32_t wanted_mw[LIMITS_MAX]; /* 0: left alone */
  int leased;
  uint64_t envelope_mw; /* 0: no budget */
  int64_t now_ns;
} turn_t;

static uint32_t lesser(uint32_t one, uint32_t other) {
  return one < other ? one : other;
}

/* What somebody else has set and is let stand, per device: 0 where nothing is. */
static void let_stand(const turn_t *turn, const uint32_t *safe_mw, uint32_t standing_mw[LIMITS_MAX]) {
  limits_t *limits = turn->limits;
  uint32_t floor_mw[LIMITS_MAX] = {0}, counted_mw[LIMITS_MAX] = {0};
  for (uint32_t i = 0; i < limits->count; i++) {
    foreign_t *foreign = &limits->devices[i].foreign;
    standing_mw[i] = foreign_stands(foreign, limits->on_foreign, turn->wanted_mw[i]) ? foreign->value_mw : 0;
    if (!limit_counts(&limits->devices[i])) continue;
    counted_mw[i] = standing_mw[i];
    floor_mw[i] = lesser(turn->wanted_mw[i], safe_mw[i]);
  }
  if (!turn->envelope_mw) return;
  foreign_fit(counted_mw, floor_mw, limits->count, turn->envelope_mw);
  for (uint32_t i = 0; i < limits->count; i++) {
    if (!standing_mw[i] || counted_mw[i] || !limit_counts(&limits->devices[i])) continue;
    foreign_end(&limits->devices[i].foreign, FOREIGN_OVERRULED);
    standing_mw[i] = 0;
  }
}

/* Say where each device is to be. */
static void want(turn_t *turn, const uint32_t *lease_mw, const uint32_t *safe_mw) {
  const limits_t *limits = turn->limits;
  uint32_t counted_mw[LIMITS_MAX] = {0}, floor_mw[LIMITS_MAX] = {0}, standing_mw[LIMITS_MAX];
  for (uint32_t i = 0; i < limits->count; i++) turn->wanted_mw[i] = lease_mw && lease_mw[i] ? lease_mw[i] : safe_mw[i];
  let_stand(turn, safe_mw, standing_mw);
  for (uint32_t i = 0; i < limits->count; i++) {
    floor_mw[i] = standing_mw[i] ? standing_mw[i] : safe_mw[i];
    if (limit_counts(&limits->devices[i])) counted_mw[i] = standing_mw[i] ? standing_mw[i] : turn->wanted_mw[i];
    if (standing_mw[i]) turn->wanted_mw[i] = 0;
  }
  if (!lease_mw || !turn->envelope_mw) return;
  scale_limits(counted_mw, floor_mw, limits->count, turn->envelope_mw);
  for (uint32_t i = 0; i < limits->count; i++) {
    if (standing_mw[i] || counted_mw[i] == 0 || counted_mw[i] == turn->wanted_mw[i]) continue;
    const uint32_t whole_mw = counted_mw[i] - counted_mw[i] % WATT_MW; /* a package takes no other */
    turn->wanted_mw[i] = !limits->devices[i].zone ? counted_mw[i] : whole_mw > safe_mw[i] ? whole_mw : safe_mw[i];
  }
}

/* Write one limit and read it back. Returns whether it is in force; else the next try is in RETRY_NS. */
static int write_limit(turn_t *turn, uint32_t i, uint32_t limit_mw, urgency_t urgency) {
  limits_t *limits = turn->limits;
  limit_t *limit = &limits->devices[i];
  if (!limit->zone) gate_let_readings_pass(limits->gate);
  const int64_t begun_ns = purse_clock_ns(limits->purse, turn->now_ns);
  written_begin(&limit->written, limit_mw);
  limit->write_code = set_limit(limits->nvml, limit, limit_mw);
  if (limit->write_code == NVML_SUCCESS) limit->written_mw = limit_mw;
  limit->held_mw = limit->settled_mw = 0; /* what is read next is ours, or a failure of ours */
  limits_read(limits, i, turn->now_ns);
  if (limit->write_code == NVML_SUCCESS && limit->requested_mw)
    written_end(&limit->written, limit_mw, limit->requested_mw);
  if (!limit->zone) purse_charge(limits->purse, begun_ns, urgency);
  limits->writes++;
  limit->disagrees = limit->write_code == NVML_SUCCESS && (limit->requested_mw != limit_mw || limit->is_uneven);
  if (limit->write_code == NVML_SUCCESS && !limit->disagrees) {
    limit->settled_mw = limit_mw;
    limit->held_mw = limit_mw == turn->wanted_mw[i] ? limit_mw : 0; /* a ramp may be on its way to it */
    return 1;
  }
  limits->write_errors++;
  limit->retry_ns = turn->now_ns + RETRY_NS;
  return 0;
}

static int is_short(const limit_t *limit, uint32_t wanted_mw) {
  return wanted_mw > limit->requested_mw || (wanted_mw == limit->requested_mw && limit->is_uneven);
}

/* Note how a limit stands to its wish. */
static void note(limit_t *limit, uint32_t wanted_mw, int64_t now_ns) {
  limit->wanted_mw = wanted_mw;
  limit->held_mw = wanted_mw && wanted_mw == limit->requested_mw && !limit->is_uneven ? wanted_mw : 0;
  if (limit->held_mw || !wanted_mw) limit->settled_mw = limit->held_mw;
  const int is_here = limit->presence == PRESENCE_HERE && limit->requested_mw;
  const int is_free = !wanted_mw && is_here && limit->foreign.fate != FOREIGN_STANDS;
  if (is_free) limit->written_mw = 0; /* what we wrote once is no more what stands */
  limit->short_ns = !is_short(limit, wanted_mw) ? 0 : limit->short_ns ? limit->short_ns : now_ns;
  limit->long_ns = wanted_mw >= in_force_mw(limit) ? 0 : limit->long_ns ? limit->long_ns : now_ns;
}

/* Whether changes of a device wait for their time. None do of who is about to go. */
static int is_paced(const turn_t *turn, uint32_t i) {
  return turn->leased && turn->limits->devices[i].presence == PRESENCE_HERE;
}

/* Whether a change under a lease is too small to be worth a call. None is for who is not where we have put it. */
static int is_small(const limit_t *limit, uint32_t change_mw) {
  return (uint64_t)change_mw * 100 < (uint64_t)limit->settled_mw * LEAST_PERCENT;
}

/* Whether a limit may be written in this turn. */
static int is_open(const turn_t *turn, uint32_t i) {
  return !(turn->limits->spared >> i & 1) && turn->now_ns >= turn->limits->devices[i].retry_ns;
}

static uint32_t fall_mw(const turn_t *turn, uint32_t i) {
  const limit_t *limit = &turn->limits->devices[i];
  if (turn->wanted_mw[i] == 0 || !is_open(turn, i)) return 0;
  return turn->wanted_mw[i] < in_force_mw(limit) ? in_force_mw(limit) - turn->wanted_mw[i] : 0;
}

/* At least 1 where something is to be raised, and may be now. Under a lease raises are paced; what goes back to where
 * it belongs goes at once and exactly. */
static uint32_t rise_mw(const turn_t *turn, uint32_t i) {
  const limit_t *limit = &turn->limits->devices[i];
  if (!is_short(limit, turn->wanted_mw[i]) || limit->requested_mw == 0 || !is_open(turn, i)) return 0;
  const uint32_t rise = turn->wanted_mw[i] - limit->requested_mw;
  if (is_paced(turn, i)) {
    if (turn->now_ns < limit->raised_ns + RAISE_EVERY_NS) return 0;
    if (is_small(limit, rise) &&
        (turn->now_ns < limit->short_ns + RAISE_PATIENCE_NS || !purse_is_rich(turn->limits->purse)))
      return 0;
  }
  return rise ? rise : 1;
}

/* A fall that nothing asks for but the wish itself. */
static uint32_t idle_fall_mw(const turn_t *turn, uint32_t i) {
  const limit_t *limit = &turn->limits->devices[i];
  const uint32_t fall = fall_mw(turn, i);
  if (fall && is_small(limit, fall) &&
      (turn->now_ns < limit->long_ns + LOWER_PATIENCE_NS || !purse_is_rich(turn->limits->purse)))
    return 0;
  return fall;
}

/* The device with the greatest change of those in `open`, a bit each; or LIMITS_MAX if none has any. */
static uint32_t greatest(const turn_t *turn, uint64_t open, uint32_t (*change_mw)(const turn_t *, uint32_t)) {
  uint32_t found = LIMITS_MAX, most_mw = 0;
  for (uint32_t i = 0; i < turn->limits->count; i++) {
    const uint32_t change = open >> i & 1 ? change_mw(turn, i) : 0;
    if (change > most_mw) {
      most_mw = change;
      found = i;
    }
  }
  return found;
}

/* Lower what may not wait: all while the sum is above the envelope or no lease runs, else what falls by much. */
static void cut(turn_t *turn) {
  uint32_t i;
  for (uint64_t open = UINT64_MAX; (i = greatest(turn, open, fall_mw)) < LIMITS_MAX; open &= ~(1ull << i)) {
    const int over = turn->envelope_mw && limits_sum_mw(turn->limits) > turn->envelope_mw;
    const uint64_t least_mw = (uint64_t)in_force_mw(&turn->limits->devices[i]) * CUT_PERCENT;
    if (over || !is_paced(turn, i)) {
      write_limit(turn, i, turn->wanted_mw[i], URGENCY_LIMIT);
    } else if ((uint64_t)fall_mw(turn, i) * 100 >= least_mw) {
      write_limit(turn, i, turn->wanted_mw[i], URGENCY_WORK);
    }
  }
}

/* Have so much free under the envelope, and lower what is above its wish for that, the greatest first. Returns whether
 * it is free. */
static int make_room(turn_t *turn, uint32_t rise) {
  uint64_t sum_mw = limits_sum_mw(turn->limits), falls_mw = 0;
  if (!turn->envelope_mw || sum_mw + rise <= turn->envelope_mw) return 1;
  for (uint32_t i = 0; i < turn->limits->count; i++)
    if (limit_counts(&turn->limits->devices[i])) falls_mw += fall_mw(turn, i);
  if (sum_mw + rise > turn->envelope_mw + falls_mw) return 0;
  for (uint64_t open = UINT64_MAX; sum_mw + rise > turn->envelope_mw; sum_mw = limits_sum_mw(turn->limits)) {
    const uint32_t i = greatest(turn, open, fall_mw);
    if (i == LIMITS_MAX || (turn->leased && !purse_is_open(turn->limits->purse))) return 0;
    open &= ~(1ull << i);
    if (limit_counts(&turn->limits->devices[i])) write_limit(turn, i, turn->wanted_mw[i], URGENCY_NONE);
  }
  return 1;
}

static void raise(turn_t *turn) {
  limits_t *limits = turn->limits;
  uint32_t i;
  for (uint64_t open = UINT64_MAX; (i = greatest(turn, open, rise_mw)) < LIMITS_MAX; open &= ~(1ull << i)) {
    limit_t *limit = &limits->devices[i];
    const uint32_t wish = turn->wanted_mw[i] - limit->requested_mw;
    const uint32_t rise = ramp_allows_mw(&limits->ramp, wish, turn->now_ns);
    if (wish && !rise) return;
    if (limit_counts(limit) && !make_room(turn, rise)) continue;
    if (is_paced(turn, i) && !purse_is_open(limits->purse)) return;
    const uint32_t before_mw = limit->requested_mw;
    const int held = write_limit(turn, i, before_mw + rise, is_paced(turn, i) ? URGENCY_NONE : URGENCY_LIMIT);
    ramp_count(&limits->ramp, rise, purse_clock_ns(limits->purse, turn->now_ns));
    if (held) limit->raised_ns = turn->now_ns;
  }
}

/* What nobody waits for comes last. */
static void tidy(turn_t *turn) {
  uint32_t i;
  for (uint64_t open = UINT64_MAX; (i = greatest(turn, open, idle_fall_mw)) < LIMITS_MAX; open &= ~(1ull << i)) {
    if (!purse_is_open(turn->limits->purse)) return;
    write_limit(turn, i, turn->wanted_mw[i], URGENCY_NONE);
  }
}

/* Who was left alone until now is looked at first: its owner may have set it since the last look, which is up to a
 * second old, and has not meddled with anything of ours. */
static void look_anew(const turn_t *turn) {
  for (uint32_t i = 0; i < turn->limits->count; i++) {
    const limit_t *limit = &turn->limits->devices[i];
    if (!turn->wanted_mw[i] || limit->wanted_mw || turn->limits->spared >> i & 1) continue;
    if (limit->requested_mw && limit->read_ns != turn->now_ns) limits_read(turn->limits, i, turn->now_ns);
  }
}

int limits_govern(limits_t *limits, const uint32_t *lease_mw, const uint32_t *safe_mw, uint64_t envelope_mw,
                  int64_t now_ns) {
  const uint64_t writes = limits->writes;
  turn_t turn = {.limits = limits, .leased = lease_mw != NULL, .envelope_mw = envelope_mw, .now_ns = now_ns};
  want(&turn, lease_mw, safe_mw);
  look_anew(&turn);
  for (uint32_t i = 0; i < limits->count; i++) note(&limits->devices[i], turn.wanted_mw[i], now_ns);
  cut(&turn);
  raise(&turn);
  tidy(&turn);
  return limits->writes != writes;
}
