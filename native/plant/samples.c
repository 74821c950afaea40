#include "plant/samples.h"

#include <errno.h>
#include <math.h>

#include "plant/advance.h"
#include "plant/random.h"
#include "plant/session.h"
#include "plant/trouble.h"

/* No period is shorter than a tick. */
_Static_assert(SAMPLES_PLACES >= PLANT_SAMPLES + BUSY_TICKS_MAX, "what is shown outlives who dies unpublished");

static int64_t period_ns(const spec_t *spec) {
  return (int64_t)(spec->given.model.sample_period_s * 1e9);
}

static double noise_of(const board_t *board, int64_t number) {
  return random_normal(random_bits(board->seed, RANDOM_SAMPLE_NOISE, board->gpu, (uint64_t)number));
}

static uint8_t percent(double share) {
  return (uint8_t)(least(1, most(0, share)) * 100 + 0.5);
}

void samples_take(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t tick, const activity_t *activity,
                  samples_t *samples) {
  int64_t end_ns = (tick + 1) * TICK_NS, number = end_ns / period_ns(spec);
  if (number * period_ns(spec) <= end_ns - TICK_NS) return;
  samples->places[number & (SAMPLES_PLACES - 1)] = (sample_t){
      .power_mw = sensor_reads_mw(&spec->given.model, board, gpu->power_w, noise_of(board, number)),
      .clock_mhz = (uint16_t)model_clock_mhz(&spec->given.model, gpu->step),
      .busy_pct = percent(activity->busy),
      .memory_pct = percent(activity->memory),
  };
}

/* Of a GPU that slept then. */
static sample_t idle(const spec_t *spec, const board_t *board, int64_t number) {
  const plant_model_t *model = &spec->given.model;
  return (sample_t){.power_mw = sensor_reads_mw(model, board, model->deep_idle_w, noise_of(board, number)),
                    .clock_mhz = (uint16_t)model->clock_idle_mhz};
}

/* Of those that may be shown: the first's number, and the last's in *last. */
static int64_t shown(const spec_t *spec, int64_t tick, int64_t *last) {
  *last = tick * TICK_NS / period_ns(spec);
  return *last - (int64_t)PLANT_SAMPLES + 1;
}

static int slept(const gpu_t *gpu, int64_t time_ns) {
  return gpu->asleep && time_ns > gpu->asleep_since * TICK_NS;
}

void samples_wake(const spec_t *spec, const board_t *board, const gpu_t *gpu, int64_t tick, samples_t *samples) {
  int64_t last, number = shown(spec, tick, &last);
  for (; number <= last; number++) {
    if (slept(gpu, number * period_ns(spec)))
      samples->places[number & (SAMPLES_PLACES - 1)] = idle(spec, board, number);
  }
}

int plant_host_samples(plant_host_t *host, uint32_t index, uint64_t after_us, plant_sample_t out[PLANT_SAMPLES],
                       uint32_t *count) {
  if (index >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  const spec_t *spec = session.spec;
  const gpu_t *gpu = &session.state->gpus[index];
  int64_t last, number = shown(spec, session.state->tick, &last);
  int64_t first = session.state->supply.booted_ns / period_ns(spec) + 1;
  if (number < first) number = first;
  for (*count = 0; number <= last; number++) {
    int64_t time_ns = number * period_ns(spec);
    uint64_t time_us = session_unix_us(&session, time_ns);
    if (time_us <= after_us) continue;
    sample_t sample = slept(gpu, time_ns) ? idle(spec, &spec->boards[index], number)
                                          : session.file->samples[index].places[number & (SAMPLES_PLACES - 1)];
    out[(*count)++] = (plant_sample_t){
        .time_us = time_us,
        .power_mw = trouble_sample_mw(session.state, index, time_ns, sample.power_mw),
        .clock_mhz = sample.clock_mhz,
        .busy_pct = sample.busy_pct,
        .memory_pct = sample.memory_pct,
    };
  }
  return session_end(&session, 0);
}
