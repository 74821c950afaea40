# native/plant/coarse.h for Cython. Comments and units are there.
from libc.stdint cimport uint8_t, uint32_t

from plant.lab cimport plant_description_t


cdef extern from "plant/coarse.h" nogil:
    const double COARSE_STEP_MIN_S, COARSE_STEP_MAX_S

    ctypedef struct coarse_t:
        uint32_t hosts, gpus
        double time_s
        uint8_t *resident
        double *compute
        double *memory
        double *compute_fraction
        double *busy
        double *burst_s
        double *limit_w
        double *ceiling_mhz
        double *clock_mhz
        double *power_w
        double *reading_w
        double *rate
        double *temperature_c
        double *energy_j
        double *work_s
        uint8_t *power
        double *wall_w
        double *wall_energy_j

    int coarse_create(const plant_description_t *description, uint32_t hosts, coarse_t **coarse)
    void coarse_free(coarse_t *coarse)
    void coarse_switch_off(coarse_t *coarse, uint32_t host)
    void coarse_switch_on(coarse_t *coarse, uint32_t host)
    int coarse_step(coarse_t *coarse, double span_s, uint32_t *gpu)
