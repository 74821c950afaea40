"""What somebody else writes to a knob, as foreign.h gives it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "foreign.h" nogil:
    ctypedef enum foreign_policy_t:
        FOREIGN_OVERRULE
        FOREIGN_RESPECT
        FOREIGN_REPORT

    ctypedef enum foreign_fate_t:
        FOREIGN_NEVER
        FOREIGN_STANDS
        FOREIGN_OVERRULED
        FOREIGN_MOVED_BACK
        FOREIGN_TAKEN_BACK
        FOREIGN_FORGOTTEN

    ctypedef struct foreign_t:
        uint64_t count
        int64_t at_ns
        uint32_t value_mw
        uint32_t before_mw
        int is_uneven
        foreign_fate_t fate
