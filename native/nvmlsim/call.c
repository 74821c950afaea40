#include "nvmlsim/call.h"

#include <time.h>

#define SECOND_NS    1000000000ll
#define SPIN_MOST_NS 100000ll   /* a sleep ends about this late: shorter waits spin */
#define SLICE_NS     10000000ll /* so often a call that is held up looks whether it still is */

static int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static int64_t monotonic_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static void wait_until(int64_t time_ns) {
  const struct timespec until = {.tv_sec = time_ns / SECOND_NS, .tv_nsec = time_ns % SECOND_NS};
  while (time_ns - monotonic_ns() > SPIN_MOST_NS) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  while (monotonic_ns() < time_ns) continue;
}

/* As long as a fault says so. A call that hangs does on a virtual clock too; one that is slow is charged there. */
static void be_held_up(call_t *call, uint32_t gpu) {
  const int64_t since_ns = call->begun_ns;
  for (;;) {
    double slow_s;
    int hangs;
    if (plant_host_delay(call->host, gpu, &slow_s, &hangs) != 0) return;
    const int64_t slow_ns = (int64_t)(slow_s * 1e9);
    if (!hangs && slow_ns > 0 && !plant_host_calls_take_time(call->host)) {
      call->takes_ns += slow_ns;
      return;
    }
    const int64_t now_ns = hangs || slow_ns > 0 ? monotonic_ns() : since_ns;
    const int64_t left_ns = hangs ? SLICE_NS : since_ns + slow_ns - now_ns;
    if (left_ns <= 0) return;
    wait_until(now_ns + (left_ns < SLICE_NS ? left_ns : SLICE_NS));
  }
}

int call_begin(call_t *call, plant_host_t *host, uint32_t gpu, enum plant_call kind) {
  const int takes_time = plant_host_calls_take_time(host);
  const int64_t asked_ns = takes_time ? monotonic_ns() : 0;
  *call = (call_t){.host = host, .kind = kind};
  const int error = plant_host_enter_driver(host);
  if (error != 0) {
    call->host = NULL;
    return error;
  }
  call->begun_ns = takes_time ? monotonic_ns() : 0;
  call->waited_ns = call->begun_ns - asked_ns;
  call->cpu_ns = plant_host_weighs(host, kind) ? clock_ns(CLOCK_THREAD_CPUTIME_ID) : -1;
  call->takes_ns = plant_host_call_ns(host, kind);
  be_held_up(call, gpu);
  return plant_host_answer(host, gpu, kind);
}

void call_end(call_t *call) {
  if (call->host == NULL) return; /* the lock could not be had */
  int64_t held_ns = call->takes_ns;
  if (plant_host_calls_take_time(call->host)) {
    wait_until(call->begun_ns + call->takes_ns);
    held_ns = monotonic_ns() - call->begun_ns;
  }
  plant_host_charge(call->host, call->kind, held_ns, call->waited_ns);
  plant_host_leave_driver(call->host);
  if (call->cpu_ns >= 0)
    plant_host_charge_work(call->host, call->kind, clock_ns(CLOCK_THREAD_CPUTIME_ID) - call->cpu_ns);
}
