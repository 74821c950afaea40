# native/plant/calls.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from plant.host cimport plant_host_t


cdef extern from "plant/calls.h" nogil:
    const uint32_t PLANT_CALLS

    ctypedef struct plant_calls_t:
        uint64_t[7] count
        int64_t[7] held_ns
        int64_t[7] waited_ns
        int64_t[7] worked_ns

    int plant_host_calls(plant_host_t *host, plant_calls_t *out)
