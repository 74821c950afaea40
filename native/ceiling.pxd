"""GPU clock ceilings as ceiling.h gives them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nvml cimport nvml_t, nvmlDevice_t, nvmlReturn_t
from purse cimport purse_t

cdef extern from "ceiling.h" nogil:
    enum:
        CEILINGS_MAX
    const uint32_t CEILING_FREE

    ctypedef struct ceiling_t:
        nvmlDevice_t handle
        uint32_t lowest_mhz
        uint32_t held_mhz
        nvmlReturn_t code
        int64_t written_ns

    ctypedef struct ceilings_t:
        const nvml_t *nvml
        ceiling_t devices[64]
        uint32_t count
        purse_t *purse
        uint64_t writes
        uint64_t write_errors

    int ceilings_govern(ceilings_t *ceilings, const uint32_t *wanted_mhz, int leased, int64_t now_ns)
