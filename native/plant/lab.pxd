# native/plant/lab.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from plant.cpu cimport plant_cpu_model_t
from plant.host cimport plant_host_t, plant_permission
from plant.readings cimport plant_readings_t
from plant.wall cimport plant_supply_t


cdef extern from "plant/lab.h" nogil:
    const uint32_t PLANT_HEAT_STAGES
    const uint32_t PLANT_BATCH_MAX

    ctypedef enum plant_clock "enum plant_clock":
        PLANT_CLOCK_WALL
        PLANT_CLOCK_VIRTUAL

    ctypedef struct plant_model_t:
        char[64] name
        uint32_t architecture, brand, compute_major, compute_minor, pci_device_id, pci_subsystem_id
        uint64_t memory_total_b
        uint32_t limit_min_mw, limit_max_mw, limit_default_mw
        uint32_t clock_min_mhz, clock_max_mhz, clock_base_mhz, clock_idle_mhz, memory_clock_mhz, feed_mhz
        double clock_step_mhz
        double deep_idle_w, base_w, memory_w, compute_w, leak_w_per_k, leak_reference_c
        double rise_s, volt_min, volt_corner_mhz, volt_exponent
        double[3] heat_k_per_w, heat_s
        double inlet_c, slow_c, stop_c
        double cap_target, cap_clamp, cap_memory_s
        uint32_t cap_steps
        double[2] limit_delay_s, clock_delay_s
        double sensor_period_s, sensor_window_s, sensor_jitter, average_window_s, sample_period_s
        uint32_t has_counter, plain_is_average
        double[2] sensor_gain, sensor_offset_w
        double sensor_noise_w
        double[2] energy_gain
        double call_power_s, call_clock_s, call_utilisation_s, call_memory_s, call_other_s
        double[2] call_set_s

    ctypedef struct plant_description_t:
        uint32_t gpus
        uint64_t seed
        plant_permission permission
        plant_clock clock
        plant_model_t model
        plant_cpu_model_t cpu
        plant_supply_t supply

    int plant_host_create(const char *path, const plant_description_t *description)
    int plant_host_advance(plant_host_t *host, int64_t to_ns, int64_t most_ns, int64_t *now_ns,
                           plant_readings_t *readings)
    int plant_host_time(plant_host_t *host, int64_t *now_ns)
    plant_clock plant_host_clock(const plant_host_t *host)

    ctypedef struct plant_square_t:
        double period_s, duty, compute, memory, compute_fraction

    ctypedef struct plant_gang_t:
        double step_s, imbalance, compute, memory, compute_fraction, spin_compute, spin_memory, host_s

    ctypedef struct plant_serving_t:
        double prefill_s_per_token, prefill_compute, prefill_memory, prefill_compute_fraction
        double decode_s, decode_s_per_sequence, decode_s_per_context_token
        double decode_compute, decode_memory, decode_compute_fraction
        uint32_t batch_max
        double host_s

    ctypedef struct plant_request_t:
        int64_t arrival_ns
        uint32_t gpu, context_tokens, generated_tokens
        int64_t first_token_ns, done_ns
        uint32_t lost

    int plant_host_start_square(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid,
                                const plant_square_t *square)
    int plant_host_start_gang(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid, const plant_gang_t *gang)
    int plant_host_start_serving(plant_host_t *host, uint32_t gpus, int64_t at_ns, uint32_t pid,
                                 const plant_serving_t *serving, const plant_request_t *requests, uint32_t count)
    int plant_host_add_requests(plant_host_t *host, int64_t at_ns, const plant_request_t *requests, uint32_t count)
    int plant_host_stop(plant_host_t *host, uint32_t gpus)

    const uint32_t PLANT_LATENCY_BUCKETS

    ctypedef struct plant_latencies_t:
        uint64_t[23] counts
        double sum_s

    ctypedef enum plant_latency "enum plant_latency":
        PLANT_FIRST_TOKEN
        PLANT_BETWEEN_TOKENS
        PLANT_WHOLE_REQUEST

    ctypedef struct plant_engine_view_t:
        uint32_t running, waiting
        uint64_t prompt_tokens, tokens, requests_done
        plant_latencies_t[3] latencies

    int plant_host_engine(plant_host_t *host, uint32_t gpu, plant_engine_view_t *view)
    uint32_t plant_latency_bounds(plant_latency kind, const double **bounds_s)

    ctypedef enum plant_load_kind "enum plant_load_kind":
        PLANT_LOAD_SQUARE
        PLANT_LOAD_GANG
        PLANT_LOAD_SERVING

    ctypedef struct plant_progress_t:
        uint32_t kind, running, pid, gpus
        int64_t start_ns
        double[16] units
        uint64_t steps, tokens, requests_done, requests_lost
        double starved_s

    int plant_host_progress(plant_host_t *host, plant_progress_t *out, uint32_t room, uint32_t *count)
    int plant_host_requests(plant_host_t *host, uint32_t start, plant_request_t *out, uint32_t room, uint32_t *count)

    ctypedef enum plant_write "enum plant_write":
        PLANT_WRITE_LIMIT
        PLANT_WRITE_LOCK
        PLANT_WRITE_PERSISTENCE
        PLANT_WRITE_CPU_MIN
        PLANT_WRITE_CPU_MAX
        PLANT_WRITE_CPU_GOVERNOR
        PLANT_WRITE_CPU_EPP
        PLANT_WRITE_RAPL_LIMIT
        PLANT_WRITE_RAPL_WINDOW
        PLANT_WRITE_RAPL_ENABLED
        PLANT_WRITE_POWER
        PLANT_WRITE_MEMORY_LOCK
        PLANT_WRITE_APPLICATION
        PLANT_WRITE_RESTRICTION
        PLANT_WRITE_MIG

    ctypedef struct plant_event_t:
        int64_t time_ns
        uint32_t kind, gpu, pid, constraint, old_value, new_value, min_mhz, max_mhz

    int plant_host_events(plant_host_t *host, uint32_t start, plant_event_t *out, uint32_t room, uint32_t *count)
    int plant_host_power_log(plant_host_t *host, uint32_t start, float (*out)[16], uint32_t room, uint32_t *count)
    int plant_host_energy_true(plant_host_t *host, uint32_t gpu, double *energy_j)
    int plant_host_power_true(plant_host_t *host, uint32_t gpu, int64_t at_ns, double *power_w)
    int plant_host_logs_full(plant_host_t *host, int *events_full, int *power_full)
