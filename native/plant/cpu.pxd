# native/plant/cpu.h for Cython. Comments and units are there.
from libc.stdint cimport uint32_t, uint64_t

from plant.host cimport plant_host_t


cdef extern from "plant/cpu.h" nogil:
    const uint32_t PLANT_RAPL_LIMITS

    ctypedef struct plant_cpu_model_t:
        char[64] name
        uint32_t driver, powercap, packages, cores, min_khz, max_khz
        double idle_w, core_w, dram_idle_w, dram_w
        double volt_min, volt_corner_khz, volt_exponent, epp_drop
        double threads
        uint64_t[2] limit_uw, window_us, limit_max_uw
        uint64_t energy_range_uj

    ctypedef struct plant_cpu_view_t:
        uint32_t package, governor, epp
        uint32_t min_khz, max_khz, min_request_khz, max_request_khz, current_khz
        double busy, busy_s, idle_s

    ctypedef struct plant_rapl_view_t:
        uint64_t energy_uj, dram_uj
        uint64_t[2] limit_uw, window_us
        uint32_t enabled

    const plant_cpu_model_t *plant_host_cpu_model(const plant_host_t *host)
    int plant_host_cpu_view(plant_host_t *host, uint32_t cpu, plant_cpu_view_t *view)
    int plant_host_rapl_view(plant_host_t *host, uint32_t package, plant_rapl_view_t *view)
    int plant_host_set_cpu(plant_host_t *host, uint32_t cpu, uint32_t what, uint32_t value, uint32_t pid)
    int plant_host_set_rapl(plant_host_t *host, uint32_t package, uint32_t what, uint32_t constraint, uint64_t value,
                            uint32_t pid)
    int plant_host_cpu_energy_true(plant_host_t *host, uint32_t package, double *package_j, double *dram_j)
    int plant_host_cpu_power_log(plant_host_t *host, uint32_t start, float (*out)[4], uint32_t room, uint32_t *count)
