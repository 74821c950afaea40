#include "plant/session.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "plant/advance.h"

#define CLOCK_SET_NS     1000000ll           /* a wall clock that is off by more has been set */
#define VIRTUAL_EPOCH_US 1767225600000000ull /* simulated time 0 of a virtual clock: 2026-01-01 */

int session_look(plant_host_t *host, session_t *session) {
  plant_file_t *file = host->file;
  *session = (session_t){.file = file, .spec = &file->spec};
  int error = file_lock(file);
  if (error) return error;
  const state_t *truth = file_state(file);
  error = truth ? advance_now(file, truth, &session->now_ns) : -EIO;
  if (error) {
    file_unlock(file);
    return error;
  }
  session->state = &file->states[file->active & 1];
  return 0;
}

/* What is integrated is checked as a draft: the truth need not be, too. */
static int pass(plant_file_t *file, int64_t to_ns, int64_t most_ns, int64_t *now_ns) {
  const state_t *truth = &file->states[file->active & 1];
  if (to_ns < truth->now_ns) return -EINVAL;
  if (to_ns == truth->now_ns && !file_state(file)) return -EIO;
  *now_ns = truth->now_ns < to_ns - most_ns ? truth->now_ns + most_ns : to_ns;
  return advance_to(file, truth, *now_ns);
}

int session_advance(plant_host_t *host, int64_t to_ns, int64_t most_ns, session_t *session) {
  plant_file_t *file = host->file;
  *session = (session_t){.file = file, .spec = &file->spec};
  int error = file_lock(file);
  if (error) return error;
  error = pass(file, to_ns, most_ns, &session->now_ns);
  session->state = &file->states[file->active & 1];
  return error ? session_end(session, error) : 0;
}

int session_look_on(plant_host_t *host, session_t *session) {
  int error = session_look(host, session);
  if (error) return error;
  const state_t *state = session->state;
  int is_ours = host->boot == 0 || (host->boot == state->supply.boot && host->reloads == state->faults.reloads);
  int is_there = state->supply.power == PLANT_POWER_ON && is_ours;
  return is_there ? 0 : session_end(session, -ENODEV);
}

static int begin_change(session_t *session) {
  int error = file_reserve(session->file, 0, session->state->events + EVENTS_AHEAD, 0);
  if (error) return session_end(session, error);
  session->draft = file_begin(session->file);
  return session->draft ? 0 : session_end(session, -EIO);
}

int session_change(plant_host_t *host, session_t *session) {
  int error = session_look(host, session);
  return error ? error : begin_change(session);
}

int session_change_on(plant_host_t *host, session_t *session) {
  int error = session_look_on(host, session);
  return error ? error : begin_change(session);
}

int session_end(session_t *session, int result) {
  if (session->draft && result == 0) file_publish(session->file);
  file_unlock(session->file);
  return result;
}

/* Kept in the file, so that what was published bears the same time whoever looks, and measured anew once somebody has
 * set the clock. The two clocks can't be read at once: what lies between the readings says nothing. */
static int64_t unix_offset_ns(plant_file_t *file) {
  struct timespec now;
  int64_t before_ns = file_monotonic_ns();
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t doubt_ns = file_monotonic_ns() - before_ns + CLOCK_SET_NS;
  int64_t measured_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - before_ns;
  int64_t *kept_ns = &file->driver.unix_offset_ns;
  if (*kept_ns < measured_ns - doubt_ns || *kept_ns > measured_ns + doubt_ns) *kept_ns = measured_ns;
  return *kept_ns;
}

uint64_t session_unix_us(const session_t *session, int64_t time_ns) {
  if (session->spec->given.clock == PLANT_CLOCK_VIRTUAL) return VIRTUAL_EPOCH_US + (uint64_t)(time_ns / 1000);
  return (uint64_t)(unix_offset_ns(session->file) + session->state->origin_ns + time_ns) / 1000;
}

void session_log(session_t *session, plant_event_t event) {
  event.time_ns = session->now_ns;
  if (event.pid == 0) event.pid = (uint32_t)getpid();
  file_enter(session->file, session->draft, event);
}
