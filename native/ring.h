/* The sample ring: one writer (the hot loop), any number of readers, no locks.
 *
 * One file in the run directory, mapped by all. The writer fills a slot, then publishes `head` with release order. A
 * reader copies what lies behind `head`, then reads `head` again: a record older than capacity - 1 may have been
 * overwritten while it was copied and is counted as lost instead. Layout changes bump RING_VERSION.
 * docs/ring.md tells all of it, and why no lock is needed.
 */
#ifndef EAGENT_RING_H
#define EAGENT_RING_H

#include <stdint.h>

#define RING_MAGIC       0x31474e4952474145ull /* "EAGRING1" */
#define RING_VERSION     3u
#define RING_CAPACITY    65536u /* records; a power of two; 8 GPUs whose sensors publish at 50 Hz fill it in a minute */
#define RING_AGE_UNIT    10000  /* nanoseconds */
#define RING_AGE_UNKNOWN 0xffffu /* also an age that does not fit */
#define RING_LATENESSES  20u     /* the n-th counts wake-ups less than 2^n us late, the last one all others */

/* What a record tells. Numbers are append-only. The unit is in the name. */
enum ring_channel {
  RING_POWER_INSTANT_MW = 1,
  RING_POWER_AVERAGE_MW = 2,
  RING_ENERGY_MJ = 3,
  RING_SM_CLOCK_MHZ = 4,
  RING_GPU_UTILISATION_PCT = 5,
  RING_MEMORY_UTILISATION_PCT = 6,
  RING_TEMPERATURE_C = 7,
  RING_LIMIT_REQUESTED_MW = 8,
  RING_LIMIT_ENFORCED_MW = 9,
  RING_EVENT_REASONS = 10,     /* NVML's clocks event reasons, a bit mask */
  RING_COMPUTE_PROCESSES = 11, /* processes that hold a compute context */
  RING_COMPUTE_PID = 12,       /* one of them; a record each, after their number */
  RING_MEMORY_USED_B = 13,
  RING_PCIE_TX_B = 14, /* counters of bytes */
  RING_PCIE_RX_B = 15,
  RING_POWER_SAMPLE_MW = 16, /* of the driver's sample buffer: time_ns is when it was taken, not when it was read */
};

/* How the read went. Numbers are append-only. A value is meaningful only with RING_OK and RING_SAME. */
enum ring_status {
  RING_OK = 0,
  RING_NOT_SUPPORTED = 1,
  RING_NO_PERMISSION = 2,
  RING_GPU_LOST = 3,
  RING_TIMED_OUT = 4,
  RING_FAILED = 5,
  RING_SAME = 6,     /* it went well, and the sensor had published nothing since the record before */
  RING_DETACHED = 7, /* nobody asks: an operator has taken the GPU out */
};

typedef struct ring_record {
  int64_t time_ns; /* CLOCK_MONOTONIC just after the read returned */
  int64_t value;
  uint16_t device; /* the warden's device number, as in its hello */
  uint16_t channel;
  uint16_t status;
  uint16_t age; /* of the value at time_ns: since the sensor published it, as far as its times have been learnt */
} ring_record_t;

/* The loop's own cost and health; counters since the loop started. */
typedef struct ring_stats {
  int64_t started_ns;
  int64_t heartbeat_ns; /* end of the last step */
  uint64_t steps;
  uint64_t missed; /* wake-ups that came after the next one was due, too */
  uint64_t lateness_max_ns;
  uint64_t lateness[RING_LATENESSES]; /* of wake-ups against their deadline */
  uint64_t read_ns;                   /* time spent inside NVML's getters */
  uint64_t write_ns;                  /* time spent inside NVML's setters and their read-back */
  uint64_t cpu_ns;                    /* of the loop's threads */
  uint64_t reads, writes;
  uint64_t read_errors, write_errors;
  uint64_t refreshes;        /* publications of busy GPUs' power sensors that were seen */
  uint64_t refreshes_missed; /* and those that were not, as far as the sensors' times were learnt */
  uint64_t refreshes_shed;   /* of those missed, the ones passed over on purpose to stay within read_ns' budget */
  uint64_t changes;      /* of what the warden's status tells of knobs, lease and fallback; a lease prolonged is none */
  int64_t shed_since_ns; /* since when less is read than would be, to stay within that budget; 0: it is not */
  int64_t actuator_beat_ns; /* the actuator's last sign of life, by its own thread: the others are the sampler's */
} ring_stats_t;

typedef struct ring_header {
  uint64_t magic;
  uint32_t version;
  uint32_t record_size;
  uint32_t capacity;
  uint32_t writer_pid;
  uint64_t head; /* records ever published */
  ring_stats_t stats;
  uint8_t padding[512 - 32 - sizeof(ring_stats_t)];
} ring_header_t;

typedef struct ring {
  ring_header_t *header;
  ring_record_t *records;
  int fd;
} ring_t;

/* Make the file anew (a new inode: readers of an old ring notice by its silence) and map it. 0 or -errno. */
int ring_create(ring_t *ring, const char *path);
/* Map an existing ring read-only. 0, -errno, or -EPROTO for another version. */
int ring_open(ring_t *ring, const char *path);
/* When the writer of the ring at `path` was last there, monotonic ns; 0: there is none. */
int64_t ring_beaten_ns(const char *path);
void ring_close(ring_t *ring);

void ring_push(ring_t *ring, const ring_record_t *record);

/* Copy up to `room` records behind *cursor into out. Advances *cursor, adds what was overwritten before it could be
 * read to *lost, and returns how many are in out. */
uint32_t ring_drain(const ring_t *ring, uint64_t *cursor, ring_record_t *out, uint32_t room, uint64_t *lost);

#endif
