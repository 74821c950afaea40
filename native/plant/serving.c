/* LLM serving with continuous batching: at each iteration's end an engine admits, in order of arrival, whoever fits
 * into its batch and prefills it alone; when nobody waits, one iteration decodes a token for every sequence of the
 * batch. An iteration begins with the processor's part, during which nothing runs on the GPU. */
#include <math.h>
#include <string.h>

#include "plant/load.h"

#define ITERATION_MIN_S 1e-5 /* of both parts together: keeps the number of iterations in a tick bounded */

static int is_share(double x) {
  return x >= 0 && x <= 1;
}
static int is_time(double x) {
  return x >= 0 && x <= 10;
}

int serving_is_valid(const plant_serving_t *serving) {
  return is_time(serving->prefill_s_per_token) && is_share(serving->prefill_compute) &&
         is_share(serving->prefill_memory) && is_share(serving->prefill_compute_fraction) &&
         is_time(serving->decode_s) && is_time(serving->decode_s_per_sequence) &&
         is_time(serving->decode_s_per_context_token) && is_share(serving->decode_compute) &&
         is_share(serving->decode_memory) && is_share(serving->decode_compute_fraction) && serving->batch_max >= 1 &&
         serving->batch_max <= PLANT_BATCH_MAX && is_time(serving->host_s);
}

/* The request at the head of the queue, or NULL. Indices come from a mapped file: none is trusted. */
static plant_request_t *head(const engine_t *engine, requests_t requests) {
  if (engine->waiting == 0 || engine->waiting > requests.count) return NULL;
  return &requests.table[engine->waiting - 1];
}

static void finish_request(load_t *load, engine_t *engine, plant_request_t *request, int64_t now_ns) {
  request->done_ns = now_ns;
  load->progress.requests_done++;
  engine->requests_done++;
  latency_count(engine->latencies, PLANT_WHOLE_REQUEST, now_ns - request->arrival_ns);
}

static void admit(engine_t *engine, const plant_request_t *request) {
  seat_t *seat = &engine->seats[engine->seated++];
  *seat = (seat_t){engine->waiting - 1, request->generated_tokens, request->context_tokens, 0};
  engine->context += seat->context;
  engine->waiting = request->next;
}

/* Choose what to do from now on. */
static void begin_iteration(const plant_serving_t *serving, engine_t *engine, requests_t requests, int64_t now_ns) {
  const plant_request_t *request = head(engine, requests);
  double whole_s; /* at full clocks */
  if (request && request->arrival_ns <= now_ns && engine->seated < serving->batch_max) {
    admit(engine, request);
    engine->phase = ENGINE_PREFILLS;
    whole_s = serving->prefill_s_per_token * request->context_tokens;
  } else if (engine->seated) {
    engine->phase = ENGINE_DECODES;
    whole_s = serving->decode_s + serving->decode_s_per_sequence * engine->seated +
              serving->decode_s_per_context_token * (double)engine->context;
  } else {
    engine->phase = ENGINE_WAITS;
    return;
  }
  engine->host_left_s = serving->host_s;
  engine->left_s = most(0, most(whole_s, ITERATION_MIN_S) - serving->host_s);
}

/* The first token waits from the request's arrival, each other one from the token before: also while the engine
 * prefills for somebody else. */
static void tell_token(engine_t *engine, seat_t *seat, plant_request_t *request, int64_t now_ns) {
  engine->tokens++;
  if (engine->phase == ENGINE_DECODES) {
    latency_count(engine->latencies, PLANT_BETWEEN_TOKENS, now_ns - seat->token_ns);
  } else if (request) {
    request->first_token_ns = now_ns;
    engine->prompt_tokens += request->context_tokens;
    latency_count(engine->latencies, PLANT_FIRST_TOKEN, now_ns - request->arrival_ns);
  }
  seat->token_ns = now_ns;
}

/* One more token for a seat; says whether that was its last. */
static int take_token(load_t *load, engine_t *engine, seat_t *seat, requests_t requests, int64_t now_ns) {
  plant_request_t *request = seat->request < requests.count ? &requests.table[seat->request] : NULL;
  load->progress.tokens++;
  tell_token(engine, seat, request, now_ns);
  seat->left--;
  seat->context++;
  engine->context++;
  if (seat->left) return 0;
  if (request) finish_request(load, engine, request, now_ns);
  engine->context -= seat->context;
  return 1;
}

static void end_iteration(load_t *load, engine_t *engine, requests_t requests, int64_t now_ns) {
  uint32_t from = engine->phase == ENGINE_PREFILLS ? engine->seated - 1 : 0; /* a prefill is the last seat's alone */
  uint32_t kept = from;
  for (uint32_t i = from; i < engine->seated; i++) {
    seat_t seat = engine->seats[i];
    if (!take_token(load, engine, &seat, requests, now_ns)) engine->seats[kept++] = seat;
  }
  engine->seated = kept;
}

/* How long an engine without work sleeps from `at_s` of this tick on; at most to the tick's end. */
static double wait_span(const engine_t *engine, requests_t requests, int64_t tick_ns, double at_s) {
  const plant_request_t *request = head(engine, requests);
  if (!request || request->arrival_ns >= tick_ns + TICK_NS) return TICK_S - at_s;
  if (request->arrival_ns <= tick_ns) return 0;
  return least(TICK_S, most(at_s, (double)(request->arrival_ns - tick_ns) * 1e-9)) - at_s;
}

/* The GPU awaits the processor from `at_s` of this tick on. Returns until when; at the longest, the tick's end. */
static double await_host(engine_t *engine, double pace, double at_s) {
  double span_s = engine->host_left_s / pace;
  if (span_s > TICK_S - at_s) {
    engine->host_left_s = most(0, engine->host_left_s - (TICK_S - at_s) * pace);
    return TICK_S;
  }
  engine->host_left_s = 0;
  return at_s + span_s;
}

static void engine_step(const shift_t *shift, uint32_t gpu, load_t *load, engine_t *engine, requests_t requests) {
  const plant_serving_t *serving = &load->with.serving;
  uint32_t step = shift->gpus[gpu].step;
  double prefill_rate = model_rate(shift->physics, step, serving->prefill_compute_fraction);
  double decode_rate = model_rate(shift->physics, step, serving->decode_compute_fraction);
  double spent_s[3] = {0}; /* by phase */
  int64_t tick_ns = shift->tick * TICK_NS;
  for (double at_s = 0; at_s < TICK_S;) {
    if (engine->phase == ENGINE_WAITS) {
      at_s += wait_span(engine, requests, tick_ns, at_s);
      if (at_s >= TICK_S) break;
      begin_iteration(serving, engine, requests, tick_ns + (int64_t)llround(at_s * 1e9));
    }
    at_s = await_host(engine, shift->pace[gpu], at_s);
    if (at_s >= TICK_S) break;
    double rate = engine->phase == ENGINE_PREFILLS ? prefill_rate : decode_rate;
    double span_s = engine->left_s / rate;
    if (span_s > TICK_S - at_s) {
      spent_s[engine->phase] += TICK_S - at_s;
      engine->left_s = most(0, engine->left_s - (TICK_S - at_s) * rate); /* rounding may go below */
      break;
    }
    spent_s[engine->phase] += span_s;
    at_s += span_s;
    int64_t now_ns = tick_ns + (int64_t)most(1, round(at_s * 1e9)); /* in this tick: see take_back_answers */
    end_iteration(load, engine, requests, now_ns);
    begin_iteration(serving, engine, requests, now_ns);
  }
  double prefill = spent_s[ENGINE_PREFILLS] / TICK_S, decode = spent_s[ENGINE_DECODES] / TICK_S;
  shift->out[gpu].compute = serving->prefill_compute * prefill + serving->decode_compute * decode;
  shift->out[gpu].memory = serving->prefill_memory * prefill + serving->decode_memory * decode;
  shift->out[gpu].busy = least(1, prefill + decode);
}

void serving_step(const shift_t *shift, load_t *load, engine_t *engines, requests_t requests) {
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (load_has(load, gpu)) engine_step(shift, gpu, load, &engines[gpu], requests);
  }
}

uint32_t serving_waiting(const engine_t *engine, requests_t requests, int64_t now_ns) {
  uint32_t waiting = 0;
  for (uint32_t next = engine->waiting; next > 0 && next <= requests.count; waiting++) {
    const plant_request_t *request = &requests.table[next - 1];
    if (request->arrival_ns > now_ns) break;
    next = request->next > next ? request->next : 0; /* as below */
  }
  return waiting;
}

static void lose(load_t *load, requests_t requests, uint32_t index, uint32_t n) {
  if (index >= requests.count || requests.table[index].done_ns >= 0) return;
  requests.table[index].lost = n;
  load->progress.requests_lost++;
}

void serving_lose(load_t *load, const engine_t *engines, requests_t requests, uint32_t n) {
  for (uint32_t gpu = 0; gpu < PLANT_GPUS_MAX; gpu++) {
    if (!load_has(load, gpu)) continue;
    const engine_t *engine = &engines[gpu];
    for (uint32_t i = 0; i < engine->seated; i++) lose(load, requests, engine->seats[i].request, n);
    for (uint32_t next = engine->waiting; next > 0 && next <= requests.count;) {
      lose(load, requests, next - 1, n);
      uint32_t after = requests.table[next - 1].next;
      next = after > next ? after : 0; /* a chain only leads on: one that turns back is damage, and would not end */
    }
  }
}
