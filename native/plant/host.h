/* One simulated host: the state behind NVML.
 *
 * It is one mapped file, seen by every process on the simulated host as the driver's state is seen on a real one. There
 * is no daemon: whoever asks first integrates the physics up to now. The state is kept twice and flipped, so a process
 * that dies in the middle of an integration leaves the last whole state behind.
 */
#ifndef EAGENT_PLANT_HOST_H
#define EAGENT_PLANT_HOST_H

#include <stddef.h>
#include <stdint.h>

#define PLANT_GPUS_MAX 16u
#define PLANT_PIDS_MAX 8u

typedef struct plant_host plant_host_t;

/* Who may set knobs, as the driver would decide it. */
enum plant_permission { PLANT_PERMIT_ANYONE = 0, PLANT_PERMIT_ROOT = 1, PLANT_PERMIT_NOBODY = 2 };

/* All that a client of the driver can see of one GPU, at one instant. */
typedef struct plant_gpu_view {
  char name[64];
  char uuid[48]; /* "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" */
  uint32_t pci_domain, pci_bus, pci_device, pci_device_id, pci_subsystem_id;
  uint32_t architecture, brand; /* NVML_DEVICE_ARCH_* and NVML_BRAND_*; Ampere is 7, GeForce 5 */
  uint32_t compute_major, compute_minor;
  uint64_t memory_total_b, memory_used_b;
  uint32_t power_instant_mw; /* as the sensor last published it, noise and board gain included */
  uint32_t power_average_mw; /* likewise, over a longer window; has_average 0: there is no such field */
  uint32_t has_average;
  uint32_t has_counter;    /* 0: energy_mj is not shown */
  uint32_t power_plain_mw; /* what nvmlDeviceGetPowerUsage gives */
  uint64_t sensor_time_us; /* when that was, microseconds since 1970 */
  uint64_t energy_mj;      /* the driver's counter, refreshed with the sensor */
  uint32_t limit_requested_mw, limit_enforced_mw, limit_min_mw, limit_max_mw, limit_default_mw;
  uint32_t sm_clock_mhz, sm_clock_min_mhz, sm_clock_max_mhz, sm_clock_base_mhz;
  double sm_clock_step_mhz; /* the n-th clock is min + n * step, cut to whole MHz */
  uint32_t memory_clock_mhz, memory_clock_max_mhz;
  uint32_t locked_min_mhz, locked_max_mhz; /* both 0: not locked */
  uint32_t gpu_utilisation_pct, memory_utilisation_pct;
  uint32_t temperature_c, slow_c, stop_c; /* thresholds of slowdown and shutdown */
  uint64_t event_reasons;                 /* NVML clocks event reasons: 1 idle, 4 software power cap, ... */
  uint32_t pids[PLANT_PIDS_MAX],
      pid_count; /* processes that hold a context; the caller drops those that no longer live */
  uint32_t persistence_mode;
  uint32_t mig_mode;      /* 1: divided into MIG instances (mig.h), or to be divided */
  uint64_t sensor_number; /* the lab's, which no client sees: which publication this is, counted from 1; ... */
  int64_t sensor_age_ns;  /* ... and how long ago it was made, whatever a fault makes of sensor_time_us */
} plant_gpu_view_t;

/* Open an existing host file. Returns NULL with *error = errno-style positive code: EINVAL: no simulated host,
 * EPROTONOSUPPORT: made by another version of eagent, EBADMSG: damaged; ENOENT, EACCES, ... */
plant_host_t *plant_host_open(const char *path, int *error);
/* Why it could not be opened, for a person: the end of a line that begins with the path. */
void plant_host_complaint(const char *path, int error, char *out, size_t room);
void plant_host_close(plant_host_t *host);

/* From now on the handle speaks with the present boot only, as a process of that boot does. 0, or -ENODEV if the host
 * is not on. */
int plant_host_bind(plant_host_t *host);
/* Which boot that is, counted from 1, and how often the driver had been loaded anew in it. */
void plant_host_bound(const plant_host_t *host, uint32_t *boot, uint32_t *reloads);
/* 0 while driver and kernel are there, to be looked at and changed; else -ENODEV, as from all that follows. */
int plant_host_is_there(plant_host_t *host);

const char *plant_host_gpu_name(const plant_host_t *host);
uint32_t plant_host_gpu_count(const plant_host_t *host);
enum plant_permission plant_host_permission(const plant_host_t *host);

/* When the host last came up, which at first is simulated time 0: microseconds since 1970. 0 or -errno. */
int plant_host_boot_us(plant_host_t *host, uint64_t *unix_us);
/* What the host's clock shows, likewise. */
int plant_host_now_us(plant_host_t *host, uint64_t *unix_us);

/* Integrate up to now (wall clock, or the caller's clock in virtual time) and look. 0 or -errno. */
int plant_host_view(plant_host_t *host, uint32_t gpu, plant_gpu_view_t *view);

/* One entry of the driver's sample buffer. */
typedef struct plant_sample {
  uint64_t time_us; /* microseconds since 1970 */
  uint32_t power_mw;
  uint16_t clock_mhz;
  uint8_t busy_pct, memory_pct;
} plant_sample_t;

#define PLANT_SAMPLES 120u /* so many are kept */

/* Those later than after_us, oldest first. 0 or -errno. */
int plant_host_samples(plant_host_t *host, uint32_t gpu, uint64_t after_us, plant_sample_t out[PLANT_SAMPLES],
                       uint32_t *count);

/* Setters. -ERANGE: outside what the device takes; -ENODEV: the host is not on. Each change is entered in the host's
 * own log with the caller's pid.
 */
int plant_host_set_power_limit(plant_host_t *host, uint32_t gpu, uint32_t limit_mw);
int plant_host_lock_clocks(plant_host_t *host, uint32_t gpu, uint32_t min_mhz, uint32_t max_mhz);
int plant_host_reset_clocks(plant_host_t *host, uint32_t gpu);
int plant_host_set_persistence(plant_host_t *host, uint32_t gpu, uint32_t mode);

#endif
