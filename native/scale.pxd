"""Scaling of limits as scale.h gives it."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "scale.h" nogil:
    void scale_limits(uint32_t *limit_mw, const uint32_t *safe_mw, uint32_t count, uint64_t envelope_mw)
