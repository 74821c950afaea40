#include "sampler.h"

#include "clock.h"

#define QUIET_READINGS 3u

static const int64_t ACTIVITY_PERIOD_NS = 250000000; /* event reasons and clocks: a capped second shows in four looks */
static const int64_t SLOW_PERIOD_NS = 1000000000;
static const int64_t PACKAGE_PERIOD_NS = 100000000; /* of a counter that the hardware updates each millisecond */
static const int64_t TOLERANCE_NS = 10000000;       /* of these three: they share a wake-up with others */
static const int64_t TURN_MOST_NS = 100000000;
static const int64_t AGAIN_NS = 5000000; /* after a turn without the driver */
static const int64_t LEARN_STEP_NS = 4000000;
static const int64_t LEARN_SHARE = 25; /* learning takes at most one part in so many of the driver's time */

/* Who is held may get work at any moment, and what it then draws begins between two looks. */
static int is_quiet(const gpu_reads_t *gpu) {
  return gpu->quiet >= QUIET_READINGS && !gpu->is_held;
}

static int64_t learn_step_ns(const sampler_t *sampler) {
  const int64_t step_ns = sampler->call_ns * sampler->gpus * LEARN_SHARE;
  return step_ns > LEARN_STEP_NS ? step_ns : LEARN_STEP_NS;
}

static void begin_power(sampler_t *sampler, gpu_reads_t *gpu, int64_t now_ns) {
  channel_begin(&gpu->power, now_ns, learn_step_ns(sampler), sampler->free_ns);
}

/* Learning is short and takes little by itself: it is no reason to shed. */
static void account_power(sampler_t *sampler, enum channel_mode mode, int64_t spent_ns) {
  sampler->call_ns += (spent_ns - sampler->call_ns) / 128;
  if (mode != CHANNEL_LEARNING) sampler->shed.power.spent_ns += (uint64_t)spent_ns;
}

/* What a look at power tells of the GPU's life. */
static void note_life(sampler_t *sampler, uint32_t i, const power_look_t *look) {
  if (!look->is_there) driver_suspect(sampler->driver, i, look->code);
  if (look->energy_code == NVML_SUCCESS) driver_count(sampler->driver, i, look->energy_mj);
}

static void read_power(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  gpu_reads_t *gpu = &sampler->gpu[i];
  ring_stats_t *stats = &sampler->reader.ring->header->stats;
  const enum channel_mode mode = gpu->power.mode;
  const int64_t begun_ns = clock_now_ns();
  const power_look_t look = reads_power(&sampler->reader, gpu, 1, now_ns);
  account_power(sampler, mode, clock_now_ns() - begun_ns);
  note_life(sampler, i, &look);
  if (!look.is_there) { /* not at once again: what fails may take long */
    gpu->power.due_ns = now_ns + sampler->free_ns;
    gpu->power.latest_ns = gpu->power.due_ns + TOLERANCE_NS;
    return;
  }
  stats->refreshes += (uint64_t)look.changed;
  stats->refreshes_missed += look.seen.missed;
  const uint32_t shed = sampler->shed.power.stride - 1;
  if (!look.changed || shed == 0) return;
  if (gpu->power.mode == CHANNEL_TRACKING) {
    const uint32_t skipped = channel_skip(&gpu->power, shed);
    stats->refreshes_missed += skipped;
    stats->refreshes_shed += skipped;
  } else if (gpu->power.mode == CHANNEL_FREE) {
    gpu->power.due_ns = now_ns + sampler->free_ns * sampler->shed.power.stride;
    gpu->power.latest_ns = gpu->power.due_ns + TOLERANCE_NS;
  }
}

static void read_others(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  gpu_reads_t *gpu = &sampler->gpu[i];
  due_t *due = &sampler->due[i];
  const int was_quiet = is_quiet(gpu);
  const int64_t begun_ns = clock_now_ns(), rarely = sampler->shed.other.stride;
  if (now_ns >= due->slow_ns) {
    reads_slow(&sampler->reader, gpu, now_ns);
    due->slow_ns = now_ns + SLOW_PERIOD_NS * rarely - TOLERANCE_NS;
  }
  if (now_ns >= due->activity_ns) {
    reads_activity(&sampler->reader, gpu, now_ns);
    due->activity_ns = now_ns + (is_quiet(gpu) ? SLOW_PERIOD_NS : ACTIVITY_PERIOD_NS) * rarely - TOLERANCE_NS;
  }
  if (is_quiet(gpu) && (now_ns >= due->quiet_ns || !was_quiet)) {
    const power_look_t look = reads_power(&sampler->reader, gpu, 0, now_ns);
    note_life(sampler, i, &look);
    due->quiet_ns = now_ns + SLOW_PERIOD_NS * rarely - TOLERANCE_NS;
  }
  if (was_quiet && !is_quiet(gpu)) { /* work that comes, or a process, ends the slow pace at once */
    begin_power(sampler, gpu, now_ns);
    due->activity_ns = due->slow_ns = now_ns;
  }
  sampler->shed.other.spent_ns += (uint64_t)(clock_now_ns() - begun_ns);
}

static int64_t earlier(int64_t one_ns, int64_t other_ns) {
  return one_ns < other_ns ? one_ns : other_ns;
}

/* There is none now, and who comes back is read as a new one. */
static int64_t lost_turn(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  due_t *due = &sampler->due[i];
  if (now_ns < due->slow_ns) return due->slow_ns + TOLERANCE_NS;
  const nvmlReturn_t code = sampler->driver->given_up >> i & 1 ? NVML_GIVEN_UP : NVML_ERROR_GPU_IS_LOST;
  reads_lost(&sampler->reader, &sampler->gpu[i], code, now_ns);
  due->slow_ns = now_ns + SLOW_PERIOD_NS - TOLERANCE_NS;
  return due->slow_ns + TOLERANCE_NS;
}

/* A busy GPU's other readings come along with its power where they can. */
static int64_t gpu_turn(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  gpu_reads_t *gpu = &sampler->gpu[i];
  due_t *due = &sampler->due[i];
  if (!gpu->handle) return lost_turn(sampler, i, now_ns);
  if (gpu->power.step_ns == 0) begin_power(sampler, gpu, now_ns);
  if (!is_quiet(gpu) && now_ns >= gpu->power.due_ns) read_power(sampler, i, now_ns);
  if (now_ns >= earlier(earlier(due->activity_ns, due->slow_ns), is_quiet(gpu) ? due->quiet_ns : due->slow_ns))
    read_others(sampler, i, now_ns);
  const int64_t others_ns = earlier(due->activity_ns, due->slow_ns) + 2 * TOLERANCE_NS;
  return is_quiet(gpu) ? earlier(others_ns, due->quiet_ns + 2 * TOLERANCE_NS)
                       : earlier(others_ns, gpu->power.latest_ns);
}

static int64_t package_turn(sampler_t *sampler, uint32_t i, int64_t now_ns) {
  due_t *due = &sampler->due[i];
  if (now_ns >= due->activity_ns) {
    due->activity_ns = now_ns + PACKAGE_PERIOD_NS - TOLERANCE_NS;
    uint64_t energy_mj = 0, mean_mw = 0;
    const int error = zone_read_energy(&sampler->zones[i], now_ns, &energy_mj, &mean_mw);
    const int64_t time_ns = sampler->reader.virtual_time ? now_ns : clock_now_ns();
    const nvmlReturn_t code = limits_code(error);
    reads_publish(&sampler->reader, (uint16_t)i, RING_ENERGY_MJ, code, (int64_t)energy_mj, time_ns);
    if (error || mean_mw)
      reads_publish(&sampler->reader, (uint16_t)i, RING_POWER_INSTANT_MW, code, (int64_t)mean_mw, time_ns);
  }
  return due->activity_ns + TOLERANCE_NS;
}

static void take_handles(sampler_t *sampler) {
  sampler->generation = sampler->driver->generation;
  for (uint32_t i = 0; i < sampler->gpus; i++) {
    gpu_reads_t *gpu = &sampler->gpu[i];
    gpu->handle = sampler->driver->gpu[i].handle;
    gpu->power.step_ns = 0; /* when its sensor publishes is learnt anew */
    gpu->quiet = 0;
  }
}

/* Returns when the next turn must come for the GPUs. While somebody has the driver alone they are not read. */
static int64_t gpus_turn(sampler_t *sampler, int64_t now_ns) {
  int64_t next_ns = now_ns + TURN_MOST_NS;
  if (!driver_enter(sampler->driver)) return now_ns + AGAIN_NS;
  if (sampler->generation != sampler->driver->generation) take_handles(sampler);
  for (uint32_t i = 0; i < sampler->gpus; i++) next_ns = earlier(next_ns, gpu_turn(sampler, i, now_ns));
  driver_leave(sampler->driver);
  return next_ns;
}

int64_t sampler_turn(sampler_t *sampler, int64_t now_ns) {
  ring_stats_t *stats = &sampler->reader.ring->header->stats;
  const int64_t begun_ns = clock_now_ns();
  shed_account(&sampler->shed, now_ns);
  int64_t next_ns = gpus_turn(sampler, now_ns);
  stats->read_ns += (uint64_t)(clock_now_ns() - begun_ns);
  for (uint32_t i = sampler->gpus; i < sampler->devices; i++)
    next_ns = earlier(next_ns, package_turn(sampler, i, now_ns));
  stats->reads = sampler->reader.reads;
  stats->read_errors = sampler->reader.errors;
  stats->shed_since_ns = sampler->shed.since_ns;
  return next_ns;
}

void sampler_publish_limit(sampler_t *sampler, uint32_t i, const limit_t *limit, int64_t now_ns) {
  reader_t *reader = &sampler->reader;
  const int64_t time_ns = reader->virtual_time ? now_ns : clock_now_ns();
  reads_publish(reader, (uint16_t)i, RING_LIMIT_REQUESTED_MW, limit->requested_code, limit->requested_mw, time_ns);
  if (!limit->zone)
    reads_publish(reader, (uint16_t)i, RING_LIMIT_ENFORCED_MW, limit->enforced_code, limit->enforced_mw, time_ns);
}
