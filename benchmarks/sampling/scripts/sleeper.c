/* A loop that does nothing but wake up: as often a second, and for as many seconds, as it is told. Prints the share of a
 * core that it took: what a machine charges for waking up at all. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static long long now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  const long long period_ns = (long long)(1e9 / atof(arguments[1])), began_ns = now_ns(CLOCK_MONOTONIC);
  const long long end_ns = began_ns + (long long)(1e9 * atof(arguments[2]));
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  const long long spent_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
  for (long long due_ns = began_ns + period_ns; due_ns < end_ns; due_ns += period_ns) {
    const struct timespec due = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  const double share = (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - spent_ns) / (double)(end_ns - began_ns);
  printf("%.9f\n", share);
  return 0;
}
