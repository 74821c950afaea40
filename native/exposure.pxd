"""How long limits were above what we held, as exposure.h gives it."""

from libc.stdint cimport int64_t, uint64_t

cdef extern from "exposure.h" nogil:
    ctypedef struct exposure_t:
        int64_t since_ns
        uint64_t exposed_ns
        uint64_t exposed_uj
        uint64_t last_ns
        uint64_t last_uj
        int64_t ended_ns
