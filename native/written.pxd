"""What was last written to a limit, as written.h has it."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "written.h" nogil:
    ctypedef struct written_place_t:
        uint64_t values
        uint64_t check

    ctypedef struct written_t:
        written_place_t *place
        uint64_t salt
        uint32_t done_mw
