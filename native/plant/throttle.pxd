# native/plant/throttle.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t

from plant.host cimport plant_host_t


cdef extern from "plant/throttle.h" nogil:
    ctypedef struct plant_throttle_t:
        int64_t power_ns, sw_thermal_ns, hw_thermal_ns, held_ns, below_base_ns

    int plant_host_throttle(plant_host_t *host, uint32_t gpu, plant_throttle_t *throttle)
