/* One look at a host, or one change of it: lock, integrate up to now, look or change, publish, unlock. */
#ifndef EAGENT_PLANT_SESSION_H
#define EAGENT_PLANT_SESSION_H

#include "plant/file.h"

typedef struct session {
  plant_file_t *file;
  const spec_t *spec;
  int64_t now_ns;
  const state_t *state; /* the truth, to look at */
  state_t *draft;       /* the same, to change; NULL in a session that only looks */
} session_t;

/* 0 with the lock held, or -errno without it. The second two are for clients of driver and kernel, which are there only
 * while the host is on (and if the handle is of one boot, in that one): -ENODEV. */
int session_look(plant_host_t *host, session_t *session);
int session_change(plant_host_t *host, session_t *session);
int session_look_on(plant_host_t *host, session_t *session);
int session_change_on(plant_host_t *host, session_t *session);
/* The same as session_look after a virtual clock has been moved to to_ns, but no further than by most_ns. -EINVAL for a
 * time that has passed. */
int session_advance(plant_host_t *host, int64_t to_ns, int64_t most_ns, session_t *session);
/* Ends any: publishes the change if `result` is 0, else forgets it. Returns `result`. */
int session_end(session_t *session, int result);

/* A simulated time as microseconds since 1970. */
uint64_t session_unix_us(const session_t *session, int64_t time_ns);

/* Enter a write into the host's log, with the caller's process id unless it names one. */
void session_log(session_t *session, plant_event_t event);

#endif
