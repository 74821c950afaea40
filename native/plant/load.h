/* What runs on the GPUs. A load owns its GPUs from its start until it is stopped; its pace follows from their clocks.
 */
#ifndef EAGENT_PLANT_LOAD_H
#define EAGENT_PLANT_LOAD_H

#include "plant/gpu.h"

#define LOADS_MAX PLANT_GPUS_MAX

/* One sequence in an engine's batch. */
typedef struct seat {
  uint32_t request; /* its index in the request table */
  uint32_t left;    /* tokens still to generate */
  uint32_t context; /* tokens that attention reads back */
  int64_t token_ns; /* when it got its last one */
} seat_t;

enum engine_phase { ENGINE_WAITS = 0, ENGINE_PREFILLS = 1, ENGINE_DECODES = 2 };

/* One GPU's serving engine: it prefills the request at the head of its queue, else decodes one token for its whole
 * batch; before either, the GPU awaits the processor. */
typedef struct engine {
  uint32_t waiting; /* 1 + index of the next request to be admitted, 0: none will come */
  uint32_t phase, seated, reserved;
  double host_left_s; /* of the present iteration: first the processor's part, at full CPU clock, ... */
  double left_s;      /* ... then the GPU's, at full clock */
  uint64_t context;   /* sum over the seats */
  uint64_t prompt_tokens, tokens, requests_done;
  plant_latencies_t latencies[PLANT_LATENCY_KINDS];
  seat_t seats[PLANT_BATCH_MAX];
} engine_t;

typedef struct load {
  plant_progress_t progress;
  int64_t start_tick;
  union {
    plant_square_t square;
    plant_gang_t gang;
    plant_serving_t serving;
  } with;
  double share_s[PLANT_GPUS_MAX];     /* gang: a GPU's work in each step, at full clock */
  double left_s[PLANT_GPUS_MAX];      /* gang: what it has still to do of this step */
  double host_left_s[PLANT_GPUS_MAX]; /* gang: what its processor has still to do of this step, at full CPU clock */
} load_t;

/* The request table of the host; the first `count` entries are valid. */
typedef struct requests {
  plant_request_t *table;
  uint32_t count;
} requests_t;

/* What every step function is given: the clocks come from gpus and pace (cores.h), the activities go to out; all are
 * indexed by GPU. */
typedef struct shift {
  const physics_t *physics;
  const gpu_t *gpus;
  const double *pace;
  int64_t tick;
  activity_t *out;
} shift_t;

static inline int load_has(const load_t *load, uint32_t gpu) {
  return load->progress.gpus >> gpu & 1;
}

int square_is_valid(const plant_square_t *square);
void square_step(const shift_t *shift, load_t *load);

int gang_is_valid(const plant_gang_t *gang);
void gang_begin(uint64_t seed, load_t *load);
void gang_step(const shift_t *shift, load_t *load);

int serving_is_valid(const plant_serving_t *serving);
/* Mark what it has not answered as lost by the host's n-th switching off. */
void serving_lose(load_t *load, const engine_t *engines, requests_t requests, uint32_t n);
void serving_step(const shift_t *shift, load_t *load, engine_t *engines, requests_t requests);
/* Requests that have come and are in no batch yet. */
uint32_t serving_waiting(const engine_t *engine, requests_t requests, int64_t now_ns);

void latency_count(plant_latencies_t *latencies, enum plant_latency kind, int64_t span_ns);

#endif
