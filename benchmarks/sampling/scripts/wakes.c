/* Loaded before the C library (LD_PRELOAD), it sees every sleep of the process that has an absolute deadline, and keeps
 * when it was to end and when it did. And a loop that does nothing but sleep so: the best that a loop can do here.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROOM 65536u

typedef struct wake {
  int64_t due_ns, woke_ns, thread;
} wake_t;

static wake_t wakes[ROOM];
static uint32_t count;

static int64_t to_ns(struct timespec time) {
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *rest) {
  static int (*sleep_of_c)(clockid_t, int, const struct timespec *, struct timespec *);
  static __thread int64_t thread;
  if (!sleep_of_c) *(void **)&sleep_of_c = dlsym(RTLD_NEXT, "clock_nanosleep");
  const int64_t due_ns = to_ns(*until);
  const int result = sleep_of_c(clock, flags, until, rest);
  struct timespec now;
  clock_gettime(clock, &now);
  if (result != 0 || !(flags & TIMER_ABSTIME)) return result;
  if (!thread) thread = syscall(SYS_gettid);
  const uint32_t place = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
  if (place < ROOM) wakes[place] = (wake_t){due_ns, to_ns(now), thread};
  return result;
}

/* What was kept so far; how many. */
uint32_t wakes_kept(const wake_t **out) {
  const uint32_t kept = __atomic_load_n(&count, __ATOMIC_RELAXED);
  *out = wakes;
  return kept < ROOM ? kept : ROOM;
}

/* Absolute deadlines, and the kernel asked not to defer them, as the loop of eagent does. */
void bare_loop(int64_t period_ns, int64_t duration_ns) {
  struct timespec now;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t begun_ns = to_ns(now);
  for (int64_t due_ns = begun_ns + period_ns; due_ns < begun_ns + duration_ns; due_ns += period_ns) {
    const struct timespec until = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
}
