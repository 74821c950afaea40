# native/plant/truth.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t

from plant.host cimport plant_host_t


cdef extern from "plant/truth.h" nogil:
    ctypedef struct plant_gpu_truth_t:
        double power_w, temperature_c
        int64_t sensor_age_ns

    ctypedef struct plant_truth_t:
        int64_t time_ns, since_ns
        uint32_t power, events
        double wall_w
        plant_gpu_truth_t[16] gpus
        double[4] package_w

    int plant_host_truth(plant_host_t *host, plant_truth_t *out)
