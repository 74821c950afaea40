# native/plant/shown.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from plant.host cimport plant_host_t


cdef extern from "plant/shown.h" nogil:
    const uint32_t PLANT_SHOWN_AGES

    ctypedef struct plant_shown_t:
        uint64_t last
        uint64_t[128] ages
        int64_t age_ns

    int plant_host_shown(plant_host_t *host, uint32_t gpu, plant_shown_t *shown, uint64_t *published)
