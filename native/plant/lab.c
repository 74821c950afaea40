#include "plant/lab.h"

#include <errno.h>
#include <string.h>

#include "plant/advance.h"
#include "plant/session.h"

#define LONGEST_NS (int64_t)(1ll << 60) /* 36 years: sums of two times never overflow */

int plant_host_create(const char *path, const plant_description_t *description) {
  spec_t spec;
  int error = model_derive(description, &spec);
  return error ? error : file_create(path, &spec);
}

enum plant_clock plant_host_clock(const plant_host_t *host) {
  return host->file->spec.given.clock;
}

int plant_host_advance(plant_host_t *host, int64_t to_ns, int64_t most_ns, int64_t *now_ns,
                       plant_readings_t *readings) {
  if (plant_host_clock(host) != PLANT_CLOCK_VIRTUAL) return -EPERM;
  if (to_ns > LONGEST_NS) return -EINVAL;
  session_t session;
  int error = session_advance(host, to_ns, most_ns, &session);
  if (error) return error;
  *now_ns = session.now_ns;
  if (readings) readings_take(&session, readings);
  return session_end(&session, 0);
}

int plant_host_time(plant_host_t *host, int64_t *now_ns) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  *now_ns = session.now_ns;
  return session_end(&session, 0);
}

/* A place for a new load: a free one, else that of a load that has ended. There are as many as GPUs, so one is found.
 */
static uint32_t find_place(const state_t *state) {
  uint32_t ended = 0;
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    if (state->loads[i].progress.kind == PLANT_LOAD_NONE) return i;
    if (!state->loads[i].progress.running) ended = i;
  }
  return ended;
}

static int claim(session_t *session, uint32_t gpus, int64_t at_ns, const plant_progress_t *progress, load_t **claimed) {
  state_t *draft = session->draft;
  if (gpus == 0 || gpus >> session->spec->given.gpus) return -ERANGE;
  if (at_ns > LONGEST_NS) return -EINVAL;
  for (uint32_t i = 0; i < PLANT_GPUS_MAX; i++) {
    if (gpus >> i & 1 && draft->gpus[i].load) return -EBUSY;
  }
  uint32_t place = find_place(draft);
  load_t *load = &draft->loads[place];
  memset(load, 0, sizeof *load);
  if (at_ns < session->now_ns) at_ns = session->now_ns;
  load->start_tick = (at_ns + TICK_NS - 1) / TICK_NS;
  load->progress = *progress;
  load->progress.running = 1;
  load->progress.gpus = gpus;
  load->progress.start_ns = at_ns;
  for (uint32_t i = 0; i < PLANT_GPUS_MAX; i++) {
    if (gpus >> i & 1) draft->gpus[i].load = place + 1;
  }
  *claimed = load;
  return 0;
}

int plant_host_start_square(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid,
                            const plant_square_t *square) {
  if (!square_is_valid(square)) return -EINVAL;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  load_t *load = NULL;
  error = claim(&session, gpus, at_ns, &(plant_progress_t){.kind = PLANT_LOAD_SQUARE, .pid = pid}, &load);
  if (!error) load->with.square = *square;
  return session_end(&session, error);
}

int plant_host_start_gang(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid, const plant_gang_t *gang) {
  if (!gang_is_valid(gang)) return -EINVAL;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  load_t *load = NULL;
  error = claim(&session, gpus, at_ns, &(plant_progress_t){.kind = PLANT_LOAD_GANG, .pid = pid}, &load);
  if (!error) {
    load->with.gang = *gang;
    gang_begin(session.spec->given.seed, load);
  }
  return session_end(&session, error);
}

/* Which GPUs the requests name, into `gpus`; -EINVAL if one of them makes no sense. */
static int requests_gpus(const plant_request_t *requests, uint32_t count, uint32_t *gpus) {
  int64_t last_ns = 0;
  for (uint32_t i = 0; i < count; i++) {
    const plant_request_t *request = &requests[i];
    if (request->arrival_ns < last_ns || request->arrival_ns > LONGEST_NS || request->gpu >= PLANT_GPUS_MAX)
      return -EINVAL;
    if (request->context_tokens == 0 || request->context_tokens > 1u << 24) return -EINVAL;
    if (request->generated_tokens == 0 || request->generated_tokens > 1u << 24) return -EINVAL;
    last_ns = request->arrival_ns;
    *gpus |= 1u << request->gpu;
  }
  return 0;
}

static int make_room(session_t *session, uint32_t count) {
  if (count > REQUESTS_MAX - session->draft->requests) return -ENOSPC;
  return file_reserve(session->file, 0, 0, session->draft->requests + count);
}

/* The end of an engine's queue: where the number of the next request goes. Indices come from a mapped file. */
static uint32_t *tail(session_t *session, uint32_t gpu) {
  uint32_t *end = &session->draft->engines[gpu].waiting;
  for (uint32_t next = *end; next > 0 && next <= session->draft->requests; next = *end) {
    end = &session->file->requests[next - 1].next;
    if (*end <= next) break; /* a chain only leads on */
  }
  return end;
}

/* Put the requests behind those that are there and chain those of one GPU. */
static void enqueue(session_t *session, int64_t start_ns, const plant_request_t *requests, uint32_t count) {
  state_t *draft = session->draft;
  uint32_t after[PLANT_GPUS_MAX] = {0};
  for (uint32_t i = count; i-- > 0;) {
    plant_request_t *entry = &session->file->requests[draft->requests + i];
    *entry = requests[i];
    entry->arrival_ns += start_ns;
    entry->first_token_ns = entry->done_ns = -1;
    entry->lost = 0;
    entry->next = after[entry->gpu];
    after[entry->gpu] = draft->requests + i + 1;
  }
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (after[gpu]) *tail(session, gpu) = after[gpu];
  }
  draft->requests += count;
}

int plant_host_start_serving(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid,
                             const plant_serving_t *serving, const plant_request_t *requests, uint32_t count) {
  if (!serving_is_valid(serving) || requests_gpus(requests, count, &gpus)) return -EINVAL;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  load_t *load = NULL;
  error = make_room(&session, count);
  if (error) return session_end(&session, error);
  error = claim(&session, gpus, at_ns, &(plant_progress_t){.kind = PLANT_LOAD_SERVING, .pid = pid}, &load);
  if (!error) {
    load->with.serving = *serving;
    for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
      if (gpus >> gpu & 1) memset(&session.draft->engines[gpu], 0, sizeof session.draft->engines[gpu]);
    }
    enqueue(&session, load->progress.start_ns, requests, count);
  }
  return session_end(&session, error);
}

static int has_engine(const state_t *state, uint32_t gpu) {
  uint32_t place = state->gpus[gpu].load;
  return place > 0 && place <= LOADS_MAX && state->loads[place - 1].progress.kind == PLANT_LOAD_SERVING;
}

int plant_host_add_requests(plant_host_t *host, int64_t at_ns, const plant_request_t *requests, uint32_t count) {
  uint32_t gpus = 0;
  if (at_ns > LONGEST_NS || requests_gpus(requests, count, &gpus)) return -EINVAL;
  session_t session;
  int error = session_change_on(host, &session);
  if (error) return error;
  error = make_room(&session, count);
  if (error) return session_end(&session, error);
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (gpus >> gpu & 1 && !has_engine(session.draft, gpu)) return session_end(&session, -ENOENT);
  }
  enqueue(&session, at_ns < session.now_ns ? session.now_ns : at_ns, requests, count);
  return session_end(&session, 0);
}

int plant_host_engine(plant_host_t *host, uint32_t gpu, plant_engine_view_t *view) {
  if (gpu >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  if (!has_engine(session.state, gpu)) return session_end(&session, -ENOENT);
  const engine_t *engine = &session.state->engines[gpu];
  requests_t requests = {session.file->requests, session.state->requests};
  *view = (plant_engine_view_t){.running = engine->seated,
                                .waiting = serving_waiting(engine, requests, session.now_ns),
                                .prompt_tokens = engine->prompt_tokens,
                                .tokens = engine->tokens,
                                .requests_done = engine->requests_done};
  memcpy(view->latencies, engine->latencies, sizeof view->latencies);
  return session_end(&session, 0);
}

int plant_host_stop(plant_host_t *host, uint32_t gpus) {
  session_t session;
  int error = session_change(host, &session);
  if (error) return error;
  state_t *draft = session.draft;
  for (uint32_t i = 0; i < LOADS_MAX; i++) {
    if (!(draft->loads[i].progress.gpus & gpus)) continue;
    draft->loads[i].progress.running = 0;
    for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
      if (draft->gpus[gpu].load == i + 1) draft->gpus[gpu].load = draft->gpus[gpu].resident = 0;
    }
  }
  cores_update(session.spec, &draft->cpus, state_resident(draft), session.now_ns);
  return session_end(&session, 0);
}

int plant_host_progress(plant_host_t *host, plant_progress_t *out, uint32_t room, uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  *count = 0;
  for (uint32_t i = 0; i < LOADS_MAX && *count < room; i++) {
    const plant_progress_t *progress = &session.state->loads[i].progress;
    if (progress->kind != PLANT_LOAD_NONE) out[(*count)++] = *progress;
  }
  return session_end(&session, 0);
}

int plant_host_requests(plant_host_t *host, uint32_t from, plant_request_t *out, uint32_t room, uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  uint32_t total = session.state->requests;
  for (*count = 0; *count < room && from + *count < total; (*count)++)
    out[*count] = session.file->requests[from + *count];
  return session_end(&session, 0);
}

int plant_host_events(plant_host_t *host, uint32_t from, plant_event_t *out, uint32_t room, uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  uint32_t total = session.state->events;
  for (*count = 0; *count < room && from + *count < total; (*count)++)
    out[*count] = session.file->events[from + *count];
  return session_end(&session, 0);
}

int plant_host_power_log(plant_host_t *host, uint32_t from, float (*out)[PLANT_GPUS_MAX], uint32_t room,
                         uint32_t *count) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  int64_t rows = session.state->tick / ROW_TICKS;
  if (rows > ROWS_MAX) rows = ROWS_MAX;
  for (*count = 0; *count < room && from + *count < rows; (*count)++)
    memcpy(out[*count], session.file->power_w[from + *count], sizeof out[0]);
  return session_end(&session, 0);
}

int plant_host_energy_true(plant_host_t *host, uint32_t gpu, double *energy_j) {
  if (gpu >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  *energy_j = gpu_energy_j(session.spec, &session.state->gpus[gpu], session.state->tick);
  return session_end(&session, 0);
}

int plant_host_power_true(plant_host_t *host, uint32_t gpu, int64_t at_ns, double *power_w) {
  if (gpu >= plant_host_gpu_count(host)) return -ERANGE;
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  int64_t into_ns = at_ns - (session.state->tick - 1) * TICK_NS;
  if (into_ns < 0 || into_ns > TICK_NS) return session_end(&session, -EINVAL);
  *power_w = gpu_power_w(session.spec, &session.state->gpus[gpu], (double)into_ns * 1e-9);
  return session_end(&session, 0);
}

int plant_host_logs_full(plant_host_t *host, int *events_full, int *power_full) {
  session_t session;
  int error = session_look(host, &session);
  if (error) return error;
  *events_full = session.state->events_lost > 0;
  *power_full = session.state->tick / ROW_TICKS > ROWS_MAX;
  return session_end(&session, 0);
}
