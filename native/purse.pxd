"""The time for writes as purse.h gives it."""

from libc.stdint cimport int64_t

cdef extern from "purse.h" nogil:
    ctypedef struct purse_t:
        bint virtual_time

    void purse_fill(purse_t *purse, int64_t now_ns)
