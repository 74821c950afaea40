/* What the person who runs a simulation may do and a client of the driver may not: make a host, move its clock, put
 * work on its GPUs, and look behind the sensors.
 *
 * Times are nanoseconds of simulated time since the host's creation. Functions return 0 or -errno unless they say
 * otherwise.
 */
#ifndef EAGENT_PLANT_LAB_H
#define EAGENT_PLANT_LAB_H

#include "plant/cpu.h"
#include "plant/readings.h"
#include "plant/wall.h"

#define PLANT_HEAT_STAGES 3u
#define PLANT_BATCH_MAX   128u

enum plant_clock { PLANT_CLOCK_WALL = 0, PLANT_CLOCK_VIRTUAL = 1 };

/* One kind of GPU. Where each number comes from stands beside it in eagent/sim/models. */
typedef struct plant_model {
  char name[64];
  uint32_t architecture, brand; /* NVML's numbers */
  uint32_t compute_major, compute_minor, pci_device_id, pci_subsystem_id;
  uint64_t memory_total_b;
  uint32_t limit_min_mw, limit_max_mw, limit_default_mw;
  uint32_t clock_min_mhz, clock_max_mhz, clock_base_mhz, clock_idle_mhz, memory_clock_mhz;
  double clock_step_mhz; /* the n-th clock is min + n * step, cut to whole MHz */
  uint32_t feed_mhz;     /* below this clock the cores cannot keep the memory busy */

  /* P = base(f) + memory * m + compute * u * drive(f) + leak * (T - leak_reference); deep_idle with no process. */
  /* drive(f) = (f/fmax) * v(f)^2; base(f) = base - (base - deep_idle) * (1 - drive(f)) / (1 - drive(fmin)), which is
   * what a process costs that runs nothing. Its shape is assumed (S), and that it is deep_idle at the lowest clock.
   * Where deep_idle is above base, base(f) is base. */
  double deep_idle_w, base_w, memory_w, compute_w, leak_w_per_k, leak_reference_c;
  double rise_s; /* how long power takes from 10 to 90 % of what a load's edge changes */
  double volt_min, volt_corner_mhz, volt_exponent; /* v(f) = min + (1 - min) * max(0, (f - corner)/(fmax - corner))^q */

  double heat_k_per_w[PLANT_HEAT_STAGES], heat_s[PLANT_HEAT_STAGES], inlet_c; /* a Foster chain over the inlet air */
  double slow_c, stop_c; /* from here on clocks fall, slowly; here they fall to the lowest at once */

  double cap_target;       /* the share of the limit at which the mean is held */
  double cap_clamp;        /* the share of the limit beyond which the fast clamp acts */
  double cap_memory_s;     /* how long the controller remembers what the load draws */
  uint32_t cap_steps;      /* clock steps it may move every 20 ms */
  double limit_delay_s[2]; /* a new limit acts after a time in this range */
  double clock_delay_s[2]; /* a new clock lock after a time whose median and 99th percentile these are */

  double sensor_period_s, sensor_window_s, sensor_jitter; /* jitter: share of the period, to both sides */
  double average_window_s;                                /* of the average field; 0: there is none */
  uint32_t has_counter;                                   /* of energy */
  uint32_t plain_is_average;                              /* what the plain power reading gives: average or instant */
  double sample_period_s;                                 /* of the driver's sample buffer */
  double sensor_gain[2], sensor_offset_w[2], sensor_noise_w, energy_gain[2]; /* ranges over boards */

  /* How long a call holds the driver's one lock: median of a read; range of a write. */
  double call_power_s, call_clock_s, call_utilisation_s, call_memory_s, call_other_s, call_set_s[2];
} plant_model_t;

typedef struct plant_description {
  uint32_t gpus;
  uint64_t seed;
  enum plant_permission permission;
  enum plant_clock clock;
  plant_model_t model;
  plant_cpu_model_t cpu;
  plant_supply_t supply;
} plant_description_t;

/* Make the file; -EEXIST if there is one, -EINVAL for numbers that describe no GPU or no processor. */
int plant_host_create(const char *path, const plant_description_t *description);

/* Virtual clock only (-EPERM otherwise); -EINVAL for a time that has passed. Goes no further than most_ns at a time,
 * and says how far it came; `readings`, if any, are then taken. */
int plant_host_advance(plant_host_t *host, int64_t to_ns, int64_t most_ns, int64_t *now_ns, plant_readings_t *readings);
int plant_host_time(plant_host_t *host, int64_t *now_ns);
enum plant_clock plant_host_clock(const plant_host_t *host);

/* ---- work. A share beta of its time scales with the clock: rate = 1 / (1 + beta * (fmax/f - 1)), slower below
 * feed_mhz. -- */

typedef struct plant_square {
  double period_s, duty;   /* busy for duty * period, then quiet */
  double compute, memory;  /* activity while busy, 0 to 1 */
  double compute_fraction; /* beta */
} plant_square_t;

typedef struct plant_gang {
  double step_s;    /* mean compute time of one step at full clock */
  double imbalance; /* a GPU's share of it is drawn once from 1 +- imbalance */
  double compute, memory, compute_fraction;
  double spin_compute, spin_memory; /* activity of those that wait for the slowest */
  double host_s; /* a GPU's processor work for each step, at full CPU clock, done meanwhile: a step ends after both */
} plant_gang_t;

typedef struct plant_serving {
  double prefill_s_per_token, prefill_compute, prefill_memory, prefill_compute_fraction;
  double decode_s, decode_s_per_sequence, decode_s_per_context_token; /* one iteration, at full clock */
  double decode_compute, decode_memory, decode_compute_fraction;
  uint32_t batch_max;
  double host_s; /* at full CPU clock: an iteration's first part, in which the GPU awaits the processor. It is within
                    the times above, the rest of which is the GPU's; no iteration is shorter */
} plant_serving_t;

typedef struct plant_request {
  int64_t arrival_ns; /* in: after the load's start; out: simulated time */
  uint32_t gpu, context_tokens, generated_tokens;
  uint32_t next;                   /* 1 + index of the same GPU's next request, 0: none; set by the plant */
  int64_t first_token_ns, done_ns; /* -1: not yet; set by the plant */
  uint32_t lost, reserved;         /* not 0: the host was switched off before it was answered; set by the plant */
} plant_request_t;

/* A load begins at at_ns (or now, if that has passed) and stays until plant_host_stop. -EBUSY: a GPU has a load
 * already, -ERANGE: no such GPU, -EINVAL: impossible numbers, -ENOSPC: the file holds no more requests, -ENODEV: the
 * host is not on. */
int plant_host_start_square(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid,
                            const plant_square_t *square);
int plant_host_start_gang(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid, const plant_gang_t *gang);
/* Requests must be in order of arrival; the GPUs that they name, and those of `gpus`, get an engine each. */
int plant_host_start_serving(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid,
                             const plant_serving_t *serving, const plant_request_t *requests, uint32_t count);
/* More requests for engines that run, behind those that they have; they come from at_ns (or now) on. -ENOENT: a GPU has
 * no engine. */
int plant_host_add_requests(plant_host_t *host, int64_t at_ns, const plant_request_t *requests, uint32_t count);
/* End all loads that have one of `gpus`, on all of theirs. */
int plant_host_stop(plant_host_t *host, uint32_t gpus);

#define PLANT_LATENCY_BUCKETS 23u

/* How often a latency of one kind fell into each bucket since the server was started, as servers tell it. */
typedef struct plant_latencies {
  uint64_t counts[PLANT_LATENCY_BUCKETS]; /* of each bucket alone; bounds as of plant_latency_bounds */
  double sum_s;
} plant_latencies_t;

enum plant_latency { PLANT_FIRST_TOKEN = 0, PLANT_BETWEEN_TOKENS = 1, PLANT_WHOLE_REQUEST = 2 };
#define PLANT_LATENCY_KINDS 3u

/* What the engine of one GPU tells of itself, as the server's own metrics would. */
typedef struct plant_engine_view {
  uint32_t running, waiting;
  uint64_t prompt_tokens, tokens, requests_done;
  plant_latencies_t latencies[PLANT_LATENCY_KINDS];
} plant_engine_view_t;

/* -ENOENT: the GPU has no engine. */
int plant_host_engine(plant_host_t *host, uint32_t gpu, plant_engine_view_t *view);
/* The upper bounds of a kind's buckets in seconds, ascending; the bucket behind the last of them has none. */
uint32_t plant_latency_bounds(enum plant_latency kind, const double **bounds_s);

enum plant_load_kind { PLANT_LOAD_NONE = 0, PLANT_LOAD_SQUARE = 1, PLANT_LOAD_GANG = 2, PLANT_LOAD_SERVING = 3 };

typedef struct plant_progress {
  uint32_t kind, running, pid, gpus; /* gpus: a bit mask */
  int64_t start_ns;
  double units[PLANT_GPUS_MAX];   /* square: seconds of work, as at full clock */
  uint64_t steps;                 /* gang */
  double starved_s;               /* gang: how long its GPUs stood still because a processor was not done */
  uint64_t tokens, requests_done; /* serving */
  uint64_t requests_lost;         /* serving: by switching the host off */
} plant_progress_t;

/* Loads that run, and those that ended and whose place was not needed since. */
int plant_host_progress(plant_host_t *host, plant_progress_t *out, uint32_t room, uint32_t *count);
/* Requests in the order they were given, over all loads. */
int plant_host_requests(plant_host_t *host, uint32_t from, plant_request_t *out, uint32_t room, uint32_t *count);

/* ---- the truth behind the sensors
 * ------------------------------------------------------------------------------------ */

enum plant_write {
  PLANT_WRITE_LIMIT = 1,
  PLANT_WRITE_LOCK = 2,
  PLANT_WRITE_PERSISTENCE = 3,
  PLANT_WRITE_CPU_MIN = 4, /* kHz */
  PLANT_WRITE_CPU_MAX = 5,
  PLANT_WRITE_CPU_GOVERNOR = 6, /* enum plant_governor */
  PLANT_WRITE_CPU_EPP = 7,      /* 0 to 255 */
  PLANT_WRITE_RAPL_LIMIT = 8,   /* microwatts */
  PLANT_WRITE_RAPL_WINDOW = 9,  /* microseconds */
  PLANT_WRITE_RAPL_ENABLED = 10,
  PLANT_WRITE_POWER = 11, /* enum plant_power; that a boot has ended is nobody's write: pid 0 */
  PLANT_WRITE_MEMORY_LOCK = 20,
  PLANT_WRITE_APPLICATION = 21, /* MHz; 0: as it came */
  PLANT_WRITE_RESTRICTION = 22, /* PLANT_OPEN_* */
  PLANT_WRITE_MIG = 23,         /* mode | instances << 8 */
};

typedef struct plant_event {
  int64_t time_ns;
  uint32_t kind, gpu,
      pid; /* pid 0: by switching the host off or on. gpu: of CPU writes the CPU, of RAPL writes the package */
  uint32_t constraint;           /* of a RAPL limit or window */
  uint32_t old_value, new_value; /* limit: mW; persistence: mode; the rest as at enum plant_write */
  uint32_t min_mhz, max_mhz;     /* of a lock of either clock; both 0: reset */
} plant_event_t;

int plant_host_events(plant_host_t *host, uint32_t from, plant_event_t *out, uint32_t room, uint32_t *count);
/* Mean true watts per 100 ms since creation, as far as the log reaches: rows of PLANT_GPUS_MAX. */
int plant_host_power_log(plant_host_t *host, uint32_t from, float (*out)[PLANT_GPUS_MAX], uint32_t room,
                         uint32_t *count);
int plant_host_energy_true(plant_host_t *host, uint32_t gpu, double *energy_j);
/* True watts at an instant within the last 5 ms that are integrated; -EINVAL for another. */
int plant_host_power_true(plant_host_t *host, uint32_t gpu, int64_t at_ns, double *power_w);
/* Whether a log has been filled and what came later is missing from it. */
int plant_host_logs_full(plant_host_t *host, int *events_full, int *power_full);

#endif
