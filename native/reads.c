#include "reads.h"

#include <string.h>

#include "clock.h"

#define SAMPLES_MOST 240u
#define REFUSALS     3u

static uint16_t status_of(nvmlReturn_t code) {
  if (code == NVML_GIVEN_UP) return RING_DETACHED; /* which is no code of NVML's */
  switch (code) {
    case NVML_SUCCESS:
      return RING_OK;
    case NVML_ERROR_NOT_SUPPORTED:
    case NVML_ERROR_FUNCTION_NOT_FOUND:
      return RING_NOT_SUPPORTED;
    case NVML_ERROR_NO_PERMISSION:
      return RING_NO_PERMISSION;
    case NVML_ERROR_GPU_IS_LOST:
      return RING_GPU_LOST;
    case NVML_ERROR_TIMEOUT:
      return RING_TIMED_OUT;
    default:
      return RING_FAILED;
  }
}

static int64_t time_of(const reader_t *reader, int64_t now_ns) {
  return reader->virtual_time ? now_ns : clock_now_ns();
}

static int is_lacking(const lack_t *lack) {
  return !lack->was_there && lack->refused >= REFUSALS;
}

/* Returns whether it was there this time. */
static int note(lack_t *lack, nvmlReturn_t code) {
  if (code == NVML_SUCCESS) lack->was_there = 1;
  if (code == NVML_ERROR_NOT_SUPPORTED || code == NVML_ERROR_FUNCTION_NOT_FOUND) lack->refused++;
  return code == NVML_SUCCESS;
}

static void push(reader_t *reader, ring_record_t *record, nvmlReturn_t code) {
  if (code != NVML_SUCCESS) {
    record->status = status_of(code);
    record->value = 0;
    record->age = RING_AGE_UNKNOWN;
    if (record->status != RING_NOT_SUPPORTED && record->status != RING_DETACHED) reader->errors++;
  }
  reader->reads++;
  ring_push(reader->ring, record);
}

void reads_publish(reader_t *reader, uint16_t device, uint16_t channel, nvmlReturn_t code, int64_t value,
                   int64_t time_ns) {
  ring_record_t record = {
      .time_ns = time_ns, .value = value, .device = device, .channel = channel, .age = RING_AGE_UNKNOWN};
  push(reader, &record, code);
}

/* --- Power and energy --- */

typedef struct power_values {
  nvmlReturn_t power_code, energy_code;
  unsigned int power_mw;
  unsigned long long energy_mj;
} power_values_t;

static int ask_fields(reader_t *reader, gpu_reads_t *gpu, power_values_t *values) {
  if (is_lacking(&gpu->fields) || !reader->nvml->field_values) return 0;
  nvmlFieldValue_t fields[2];
  memset(fields, 0, sizeof fields);
  fields[0].fieldId = NVML_FI_DEV_POWER_INSTANT;
  fields[1].fieldId = NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION;
  const nvmlReturn_t code = reader->nvml->field_values(gpu->handle, 2, fields);
  const nvmlReturn_t power_code = code == NVML_SUCCESS ? fields[0].nvmlReturn : code;
  if (!note(&gpu->fields, power_code) && (code != NVML_SUCCESS || power_code == NVML_ERROR_NOT_SUPPORTED)) return 0;
  *values = (power_values_t){fields[0].nvmlReturn, fields[1].nvmlReturn, fields[0].value.uiVal, fields[1].value.ullVal};
  return 1;
}

static void ask_plainly(reader_t *reader, gpu_reads_t *gpu, power_values_t *values) {
  const nvml_t *nvml = reader->nvml;
  values->power_code = nvml->power_usage(gpu->handle, &values->power_mw);
  values->energy_code = NVML_ERROR_FUNCTION_NOT_FOUND;
  if (nvml->energy && !is_lacking(&gpu->counter)) values->energy_code = nvml->energy(gpu->handle, &values->energy_mj);
}

static int is_new(gpu_reads_t *gpu, const power_values_t *values) {
  const unsigned long long energy_mj = values->energy_code == NVML_SUCCESS ? values->energy_mj : gpu->energy_mj;
  const int changed = !gpu->is_shown || values->power_mw != gpu->power_mw || energy_mj != gpu->energy_mj;
  gpu->is_shown = 1;
  gpu->power_mw = values->power_mw;
  gpu->energy_mj = energy_mj;
  return changed;
}

static uint16_t age_of(int64_t age_ns) {
  const int64_t units = age_ns / RING_AGE_UNIT;
  return age_ns < 0 || units >= (int64_t)RING_AGE_UNKNOWN ? RING_AGE_UNKNOWN : (uint16_t)units;
}

power_look_t reads_power(reader_t *reader, gpu_reads_t *gpu, int tracked, int64_t now_ns) {
  power_values_t values = {0};
  power_look_t look = {.seen = {CHANNEL_AGE_UNKNOWN, 0}};
  if (!ask_fields(reader, gpu, &values)) ask_plainly(reader, gpu, &values);
  const int64_t time_ns = time_of(reader, now_ns);
  note(&gpu->counter, values.energy_code);
  look.code = values.power_code;
  look.energy_code = values.energy_code;
  look.energy_mj = values.energy_mj;
  look.is_there = values.power_code == NVML_SUCCESS;
  if (look.is_there) look.changed = is_new(gpu, &values);
  if (look.is_there && tracked) look.seen = channel_look(&gpu->power, time_ns, look.changed);
  ring_record_t record = {.time_ns = time_ns,
                          .value = values.power_mw,
                          .device = gpu->device,
                          .channel = RING_POWER_INSTANT_MW,
                          .status = look.changed ? RING_OK : RING_SAME,
                          .age = age_of(look.seen.age_ns)};
  push(reader, &record, values.power_code);
  record = (ring_record_t){.time_ns = time_ns,
                           .value = (int64_t)values.energy_mj,
                           .device = gpu->device,
                           .channel = RING_ENERGY_MJ,
                           .status = look.changed ? RING_OK : RING_SAME,
                           .age = age_of(look.seen.age_ns)};
  push(reader, &record, values.energy_code);
  return look;
}

/* --- The rest --- */

void reads_activity(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns) {
  const nvml_t *nvml = reader->nvml;
  nvmlUtilization_t busy = {0};
  unsigned long long reasons = 0;
  unsigned int clock_mhz = 0;
  nvmlReturn_t code = NVML_ERROR_FUNCTION_NOT_FOUND;
  if (nvml->utilisation) {
    code = nvml->utilisation(gpu->handle, &busy);
    const int64_t time_ns = time_of(reader, now_ns);
    reads_publish(reader, gpu->device, RING_GPU_UTILISATION_PCT, code, busy.gpu, time_ns);
    reads_publish(reader, gpu->device, RING_MEMORY_UTILISATION_PCT, code, busy.memory, time_ns);
  }
  gpu->quiet = code == NVML_SUCCESS && busy.gpu == 0 ? gpu->quiet + 1 : 0;
  if (nvml->event_reasons) {
    code = nvml->event_reasons(gpu->handle, &reasons);
    reads_publish(reader, gpu->device, RING_EVENT_REASONS, code, (int64_t)reasons, time_of(reader, now_ns));
  }
  if (nvml->clock) {
    code = nvml->clock(gpu->handle, NVML_CLOCK_SM, &clock_mhz);
    reads_publish(reader, gpu->device, RING_SM_CLOCK_MHZ, code, clock_mhz, time_of(reader, now_ns));
  }
}

static void read_processes(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns) {
  nvmlProcessInfo_v2_t found[READS_PIDS];
  unsigned int count = READS_PIDS;
  nvmlReturn_t code = reader->nvml->compute_processes(gpu->handle, &count, found);
  const int are_too_many = code == NVML_ERROR_INSUFFICIENT_SIZE; /* their number is known all the same */
  if (are_too_many) code = NVML_SUCCESS;
  gpu->is_held = code == NVML_SUCCESS && count > 0;
  const int64_t time_ns = time_of(reader, now_ns);
  reads_publish(reader, gpu->device, RING_COMPUTE_PROCESSES, code, count, time_ns);
  if (code != NVML_SUCCESS || are_too_many) return;
  for (unsigned int i = 0; i < count && i < READS_PIDS; i++)
    reads_publish(reader, gpu->device, RING_COMPUTE_PID, NVML_SUCCESS, found[i].pid, time_ns);
}

/* By the counters: asking for a throughput takes the driver 20 ms, in which it measures. */
static void read_traffic(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns) {
  nvmlFieldValue_t fields[2];
  memset(fields, 0, sizeof fields);
  fields[0].fieldId = NVML_FI_DEV_PCIE_COUNT_TX_BYTES;
  fields[1].fieldId = NVML_FI_DEV_PCIE_COUNT_RX_BYTES;
  const nvmlReturn_t code = reader->nvml->field_values(gpu->handle, 2, fields);
  if (!note(&gpu->traffic, code == NVML_SUCCESS ? fields[0].nvmlReturn : code) && !gpu->traffic.was_there) return;
  const int64_t time_ns = time_of(reader, now_ns);
  for (int i = 0; i < 2; i++)
    reads_publish(reader, gpu->device, i ? RING_PCIE_RX_B : RING_PCIE_TX_B,
                  code == NVML_SUCCESS ? fields[i].nvmlReturn : code, (int64_t)fields[i].value.ullVal, time_ns);
}

/* Their times are of the wall clock. In virtual time there is none: the newest sample that ever came is of now. */
static int64_t samples_behind_ns(const reader_t *reader, const gpu_reads_t *gpu, int64_t newest_ns, int64_t now_ns) {
  if (!reader->virtual_time) return clock_of(CLOCK_REALTIME) - clock_now_ns();
  const int64_t behind_ns = newest_ns - now_ns;
  return gpu->sample_us && behind_ns < gpu->behind_ns ? gpu->behind_ns : behind_ns;
}

static void read_samples(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns) {
  nvmlSample_t found[SAMPLES_MOST];
  unsigned int count = SAMPLES_MOST;
  nvmlValueType_t type;
  const nvmlReturn_t code =
      reader->nvml->samples(gpu->handle, NVML_TOTAL_POWER_SAMPLES, gpu->sample_us, &type, &count, found);
  if (code != NVML_SUCCESS || count == 0 || count > SAMPLES_MOST) return;
  gpu->behind_ns = samples_behind_ns(reader, gpu, (int64_t)found[count - 1].timeStamp * 1000, now_ns);
  for (unsigned int i = 0; i < count; i++)
    reads_publish(reader, gpu->device, RING_POWER_SAMPLE_MW, NVML_SUCCESS, found[i].sampleValue.uiVal,
                  (int64_t)found[i].timeStamp * 1000 - gpu->behind_ns);
  gpu->sample_us = found[count - 1].timeStamp;
}

void reads_slow(reader_t *reader, gpu_reads_t *gpu, int64_t now_ns) {
  const nvml_t *nvml = reader->nvml;
  unsigned int celsius = 0;
  nvmlMemory_t memory = {0};
  if (nvml->temperature) {
    const nvmlReturn_t code = nvml->temperature(gpu->handle, NVML_TEMPERATURE_GPU, &celsius);
    reads_publish(reader, gpu->device, RING_TEMPERATURE_C, code, celsius, time_of(reader, now_ns));
  }
  if (nvml->memory) {
    const nvmlReturn_t code = nvml->memory(gpu->handle, &memory);
    reads_publish(reader, gpu->device, RING_MEMORY_USED_B, code, (int64_t)memory.used, time_of(reader, now_ns));
  }
  if (nvml->compute_processes) read_processes(reader, gpu, now_ns);
  if (nvml->field_values && !is_lacking(&gpu->traffic)) read_traffic(reader, gpu, now_ns);
  if (nvml->samples && is_lacking(&gpu->counter)) read_samples(reader, gpu, now_ns);
}

void reads_lost(reader_t *reader, gpu_reads_t *gpu, nvmlReturn_t code, int64_t now_ns) {
  static const uint16_t channels[] = {RING_POWER_INSTANT_MW,       RING_ENERGY_MJ,     RING_GPU_UTILISATION_PCT,
                                      RING_MEMORY_UTILISATION_PCT, RING_SM_CLOCK_MHZ,  RING_EVENT_REASONS,
                                      RING_TEMPERATURE_C,          RING_MEMORY_USED_B, RING_PCIE_TX_B,
                                      RING_COMPUTE_PROCESSES,      RING_PCIE_RX_B};
  for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
    reads_publish(reader, gpu->device, channels[i], code, 0, time_of(reader, now_ns));
}
