# native/plant/signal.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from plant.host cimport plant_host_t


cdef extern from "plant/signal.h" nogil:
    ctypedef enum plant_signal_type "enum plant_signal_type":
        PLANT_SIGNAL_PSTATE
        PLANT_SIGNAL_XID
        PLANT_SIGNAL_CLOCK
        PLANT_SIGNAL_MIG
        PLANT_SIGNAL_UNAVAILABLE
        PLANT_SIGNAL_RECOVERY

    ctypedef struct plant_signal_t:
        int64_t time_ns
        uint64_t type, data
        uint32_t gpu

    int plant_host_signal(plant_host_t *host, uint32_t gpu, uint64_t type, uint64_t data)
    int plant_host_next_signal(plant_host_t *host, uint64_t *next, plant_signal_t *signal, int *found)
