"""The bound on rises as ramp.h gives it."""

from libc.stdint cimport uint64_t

cdef extern from "ramp.h" nogil:
    ctypedef struct ramp_t:
        uint64_t most_mw
