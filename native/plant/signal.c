#include "plant/signal.h"

#include <errno.h>

#include "plant/session.h"

void signal_raise(plant_signals_t *signals, plant_signal_t signal) {
  signals->last[signals->count++ % PLANT_SIGNALS] = signal;
}

static int is_type(uint64_t type) {
  switch (type) {
    case PLANT_SIGNAL_PSTATE:
    case PLANT_SIGNAL_XID:
    case PLANT_SIGNAL_CLOCK:
    case PLANT_SIGNAL_MIG:
    case PLANT_SIGNAL_UNAVAILABLE:
    case PLANT_SIGNAL_RECOVERY:
      return 1;
    default:
      return 0;
  }
}

int plant_host_signal(plant_host_t *host, uint32_t gpu, uint64_t type, uint64_t data) {
  if (gpu >= plant_host_gpu_count(host)) return -ERANGE;
  if (!is_type(type)) return -EINVAL;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  signal_raise(&session.draft->signals,
               (plant_signal_t){.time_ns = session.now_ns, .type = type, .data = data, .gpu = gpu});
  return session_end(&session, 0);
}

int plant_host_next_signal(plant_host_t *host, uint64_t *next, plant_signal_t *signal, int *found) {
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  const plant_signals_t *signals = &session.state->signals;
  uint64_t oldest = signals->count > PLANT_SIGNALS ? signals->count - PLANT_SIGNALS : 0;
  if (*next < oldest) *next = oldest;
  *found = *next < signals->count;
  if (*found) *signal = signals->last[(*next)++ % PLANT_SIGNALS];
  return session_end(&session, 0);
}

int plant_host_signal_count(plant_host_t *host, uint64_t *count) {
  session_t session;
  int error = session_look_on(host, &session);
  if (error) return error;
  *count = session.state->signals.count;
  return session_end(&session, 0);
}
