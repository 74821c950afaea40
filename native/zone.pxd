"""CPU packages as zone.h gives them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "zone.h" nogil:
    enum:
        ATTRIBUTE_PATH
        ZONE_LIMITS

    ctypedef struct zone_t:
        char energy_path[512]
        char enabled_path[512]
        char limit_path[2][512]
        uint32_t limits
        uint64_t owner_uw[2]
        uint64_t range_uj
