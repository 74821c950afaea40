"""The reading half of the loop, as sampler.h gives it."""

from libc.stdint cimport int64_t, uint32_t

from govern cimport limits_t
from nvml cimport nvml_t
from ring cimport ring_t

cdef extern from "sampler.h" nogil:
    ctypedef struct sampler_t:
        const nvml_t *nvml
        ring_t *ring
        limits_t *limits
        uint32_t gpus
        int64_t period_ns
        bint virtual_time

    void sampler_read(sampler_t *sampler, int64_t now_ns)
    void sampler_publish_limits(sampler_t *sampler, int64_t now_ns)
    int64_t sampler_clock_ns()
