/* What is read of one GPU, in groups that are read together, and published to the ring.
 *
 * A failed read is published as failed, and never as the value before. What a driver lacks is asked for once.
 */
#ifndef EAGENT_READS_H
#define EAGENT_READS_H

#include "channel.h"
#include "nvml.h"
#include "ring.h"

#define READS_PIDS 64u /* processes of one GPU that are told apart */

/* What the reads of all devices share. */
typedef struct reader {
  const nvml_t *nvml;
  ring_t *ring;
  int virtual_time; /* times are the caller's, never the clock's */
  uint64_t reads, errors;
} reader_t;

/* Whether a driver has something: one that is polled hard has been seen to say now and then that it has not. */
typedef struct lack {
  int was_there;
  uint32_t refused; /* times in a row, from the first on */
} lack_t;

typedef struct gpu_reads {
  nvmlDevice_t handle;
  uint16_t device; /* its number in the ring */
  channel_t power; /* when its power sensor publishes */
  uint32_t quiet;  /* readings of utilisation in a row that were 0 */
  int is_held;     /* a process is there, by the last look; 0 where that can't be told */

  lack_t fields, counter, traffic; /* what the driver may not have for this GPU */
  int is_shown;                    /* the sensor's last values, to know a new one */
  uint32_t power_mw;
  unsigned long long energy_mj;
  unsigned long long sample_us; /* the last sample of the driver's buffer that was published */
  int64_t behind_ns;            /* how much their times are ahead of the loop's */
} gpu_reads_t;

/* How the look at the power sensor went. */
typedef struct power_look {
  nvmlReturn_t code, energy_code;
  unsigned long long energy_mj;
  int is_there, changed;
  channel_seen_t seen;
} power_look_t;

/* Power and energy, in one call where the driver has it. `tracked`: the channel is told, and says how old it is. */
power_look_t reads_power(reader_t *reader, gpu_reads_t *gpu, int tracked, int64_t now_ns);
/* Utilisation, clock and event reasons. Keeps `quiet`: what can't be told is not quiet. */
void reads_activity(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns);
/* Temperature, memory, PCIe traffic, processes; and the driver's samples of power where there is no counter. */
void reads_slow(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns);

/* There is no GPU to ask now, for this reason: say so. */
void reads_lost(reader_t *reader, gpu_reads_t *gpu, nvmlReturn_t code, int64_t now_ns);

/* Publish one value of unknown age, or the failure to read it. */
void reads_publish(reader_t *reader, uint16_t device, uint16_t channel, nvmlReturn_t code, int64_t value,
                   int64_t time_ns);

#endif
