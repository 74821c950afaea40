"""NVML as nvml.h gives it."""

from libc.stdint cimport uint32_t

cdef extern from "nvml.h" nogil:
    ctypedef int nvmlReturn_t
    ctypedef struct nvmlDevice_st:
        pass
    ctypedef nvmlDevice_st *nvmlDevice_t
    ctypedef struct nvmlPciInfo_t:
        char busId[32]
    enum:
        NVML_SUCCESS
        NVML_ERROR_FUNCTION_NOT_FOUND

    ctypedef struct nvml_t:
        const char *(*simulated_host)() noexcept nogil
        nvmlReturn_t (*device_count)(unsigned int *) noexcept nogil
        nvmlReturn_t (*device_by_index)(unsigned int, nvmlDevice_t *) noexcept nogil
        nvmlReturn_t (*device_uuid)(nvmlDevice_t, char *, unsigned int) noexcept nogil
        nvmlReturn_t (*device_name)(nvmlDevice_t, char *, unsigned int) noexcept nogil
        nvmlReturn_t (*device_pci)(nvmlDevice_t, nvmlPciInfo_t *) noexcept nogil
        nvmlReturn_t (*limit_get)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_range)(nvmlDevice_t, unsigned int *, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_default)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_set)(nvmlDevice_t, unsigned int) noexcept nogil
        # These may be NULL.
        nvmlReturn_t (*architecture)(nvmlDevice_t, unsigned int *) noexcept nogil

    int nvml_open(nvml_t *nvml, const char *library, char *problem, size_t room)
    void nvml_close(nvml_t *nvml)
    uint32_t nvml_clocks(const nvml_t *nvml, nvmlDevice_t device, unsigned int *out, unsigned int room)
    const char *nvml_text(const nvml_t *nvml, nvmlReturn_t code)
