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
        NVML_INIT_FLAG_NO_ATTACH

    ctypedef struct nvml_t:
        const char *(*simulated_host)() noexcept nogil
        nvmlReturn_t (*device_count)(unsigned int *) noexcept nogil
        nvmlReturn_t (*device_by_index)(unsigned int, nvmlDevice_t *) noexcept nogil
        nvmlReturn_t (*device_uuid)(nvmlDevice_t, char *, unsigned int) noexcept nogil
        nvmlReturn_t (*limit_get)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_set)(nvmlDevice_t, unsigned int) noexcept nogil

    ctypedef struct nvml_about_t:
        const char *asked_for
        char uuid[96]
        char name[96]
        nvmlPciInfo_t pci
        unsigned int architecture
        unsigned int least_mw
        unsigned int most_mw
        unsigned int default_mw
        unsigned int limit_mw
        unsigned int clocks_mhz[512]
        uint32_t clocks

    nvmlReturn_t nvml_at(const nvml_t *nvml, const char *bus_id, const char *uuid, nvmlDevice_t *device)
    nvmlReturn_t nvml_describe(const nvml_t *nvml, nvmlDevice_t device, nvml_about_t *about)
    int nvml_open(nvml_t *nvml, const char *library, unsigned int flags, char *problem, size_t room)
    void nvml_close(nvml_t *nvml)
    const char *nvml_text(const nvml_t *nvml, nvmlReturn_t code)
