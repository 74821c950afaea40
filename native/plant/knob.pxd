# native/plant/knob.h for Cython. Comments and units are there.
from libc.stdint cimport uint32_t

from plant.host cimport plant_host_t


cdef extern from "plant/knob.h" nogil:
    const uint32_t PLANT_OPEN_APPLICATION_CLOCKS

    ctypedef struct plant_knobs_t:
        uint32_t memory_min_mhz, memory_max_mhz, application_mhz, open

    int plant_host_knobs(plant_host_t *host, uint32_t gpu, plant_knobs_t *knobs)
