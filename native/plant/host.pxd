# native/plant/host.h for Cython. Comments and units are there.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "plant/host.h" nogil:
    const uint32_t PLANT_GPUS_MAX

    ctypedef struct plant_host_t:
        pass

    ctypedef enum plant_permission "enum plant_permission":
        PLANT_PERMIT_ANYONE
        PLANT_PERMIT_ROOT
        PLANT_PERMIT_NOBODY

    ctypedef struct plant_gpu_view_t:
        char[64] name
        char[48] uuid
        uint32_t pci_domain, pci_bus, pci_device, pci_device_id, pci_subsystem_id
        uint32_t architecture, brand, compute_major, compute_minor
        uint64_t memory_total_b, memory_used_b
        uint32_t power_instant_mw, power_average_mw, has_average, has_counter, power_plain_mw
        uint64_t sensor_time_us, energy_mj
        uint32_t limit_requested_mw, limit_enforced_mw, limit_min_mw, limit_max_mw, limit_default_mw
        uint32_t sm_clock_mhz, sm_clock_min_mhz, sm_clock_max_mhz, sm_clock_base_mhz
        double sm_clock_step_mhz
        uint32_t memory_clock_mhz, memory_clock_max_mhz
        uint32_t locked_min_mhz, locked_max_mhz
        uint32_t gpu_utilisation_pct, memory_utilisation_pct
        uint32_t temperature_c, slow_c, stop_c
        uint64_t event_reasons
        uint32_t[8] pids
        uint32_t pid_count
        uint32_t persistence_mode, mig_mode

    const uint32_t PLANT_SAMPLES

    ctypedef struct plant_sample_t:
        uint64_t time_us
        uint32_t power_mw
        uint16_t clock_mhz
        uint8_t busy_pct, memory_pct

    plant_host_t *plant_host_open(const char *path, int *error)
    void plant_host_complaint(const char *path, int error, char *out, size_t room)
    void plant_host_close(plant_host_t *host)
    const char *plant_host_gpu_name(const plant_host_t *host)
    uint32_t plant_host_gpu_count(const plant_host_t *host)
    plant_permission plant_host_permission(const plant_host_t *host)
    int plant_host_boot_us(plant_host_t *host, uint64_t *unix_us)
    int plant_host_samples(plant_host_t *host, uint32_t gpu, uint64_t after_us, plant_sample_t *out, uint32_t *count)
    int plant_host_view(plant_host_t *host, uint32_t gpu, plant_gpu_view_t *view)
    int plant_host_set_power_limit(plant_host_t *host, uint32_t gpu, uint32_t limit_mw)
    int plant_host_lock_clocks(plant_host_t *host, uint32_t gpu, uint32_t min_mhz, uint32_t max_mhz)
    int plant_host_reset_clocks(plant_host_t *host, uint32_t gpu)
    int plant_host_set_persistence(plant_host_t *host, uint32_t gpu, uint32_t mode)
