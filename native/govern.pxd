"""Power limits as govern.h gives them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from foreign cimport foreign_policy_t, foreign_t
from nvml cimport nvml_t, nvmlDevice_t, nvmlReturn_t
from purse cimport purse_t
from ramp cimport ramp_t
from written cimport written_t
from zone cimport zone_t

cdef extern from "govern.h" nogil:
    enum:
        LIMITS_MAX

    ctypedef struct limit_t:
        nvmlDevice_t handle
        zone_t *zone
        int write_error
        uint32_t highest_mw
        uint32_t requested_mw
        uint32_t enforced_mw
        nvmlReturn_t requested_code
        nvmlReturn_t enforced_code
        nvmlReturn_t write_code
        uint32_t written_mw
        bint is_uneven
        bint disagrees
        bint fresh
        bint capped
        uint32_t held_mw
        foreign_t foreign
        written_t written

    ctypedef struct limits_t:
        const nvml_t *nvml
        limit_t devices[64]
        uint32_t count
        purse_t *purse
        ramp_t ramp
        foreign_policy_t on_foreign
        uint64_t writes
        uint64_t write_errors

    void limits_read(limits_t *limits, uint32_t i, int64_t now_ns)
    void limits_resume(
        limits_t *limits, uint32_t i, uint32_t wish_mw, uint32_t done_mw, uint32_t prior_mw, int64_t now_ns
    )
    void limits_take_back(limits_t *limits, uint32_t i)
    int limits_govern(
        limits_t *limits, const uint32_t *lease_mw, const uint32_t *safe_mw, uint64_t envelope_mw, int64_t now_ns
    )
