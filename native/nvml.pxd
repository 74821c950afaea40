"""NVML as nvml.h gives it."""

cdef extern from "nvml.h" nogil:
    ctypedef int nvmlReturn_t
    ctypedef struct nvmlDevice_st:
        pass
    ctypedef nvmlDevice_st *nvmlDevice_t
    ctypedef struct nvmlPciInfo_t:
        char busId[32]
    ctypedef struct nvmlUtilization_t:
        unsigned int gpu
        unsigned int memory
    ctypedef union nvmlValue_t:
        unsigned int uiVal
        unsigned long long ullVal
    ctypedef struct nvmlFieldValue_t:
        unsigned int fieldId
        unsigned int scopeId
        long long timestamp
        nvmlReturn_t nvmlReturn
        nvmlValue_t value

    enum:
        NVML_SUCCESS
        NVML_ERROR_NOT_SUPPORTED
        NVML_ERROR_NO_PERMISSION
        NVML_ERROR_INSUFFICIENT_SIZE
        NVML_ERROR_TIMEOUT
        NVML_ERROR_GPU_IS_LOST
        NVML_ERROR_FUNCTION_NOT_FOUND
        NVML_CLOCK_SM
        NVML_TEMPERATURE_GPU
        NVML_FI_DEV_POWER_INSTANT
        NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION

    ctypedef struct nvml_t:
        const char *(*simulated_host)() noexcept nogil
        nvmlReturn_t (*device_count)(unsigned int *) noexcept nogil
        nvmlReturn_t (*device_by_index)(unsigned int, nvmlDevice_t *) noexcept nogil
        nvmlReturn_t (*device_uuid)(nvmlDevice_t, char *, unsigned int) noexcept nogil
        nvmlReturn_t (*device_name)(nvmlDevice_t, char *, unsigned int) noexcept nogil
        nvmlReturn_t (*device_pci)(nvmlDevice_t, nvmlPciInfo_t *) noexcept nogil
        nvmlReturn_t (*power_usage)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_get)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_range)(nvmlDevice_t, unsigned int *, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_default)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_set)(nvmlDevice_t, unsigned int) noexcept nogil
        # These may be NULL.
        nvmlReturn_t (*architecture)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*limit_enforced)(nvmlDevice_t, unsigned int *) noexcept nogil
        nvmlReturn_t (*energy)(nvmlDevice_t, unsigned long long *) noexcept nogil
        nvmlReturn_t (*field_values)(nvmlDevice_t, int, nvmlFieldValue_t *) noexcept nogil
        nvmlReturn_t (*clock)(nvmlDevice_t, unsigned int, unsigned int *) noexcept nogil
        nvmlReturn_t (*clock_lock)(nvmlDevice_t, unsigned int, unsigned int) noexcept nogil
        nvmlReturn_t (*clock_reset)(nvmlDevice_t) noexcept nogil
        nvmlReturn_t (*memory_clocks)(nvmlDevice_t, unsigned int *, unsigned int *) noexcept nogil
        nvmlReturn_t (*graphics_clocks)(nvmlDevice_t, unsigned int, unsigned int *, unsigned int *) noexcept nogil
        nvmlReturn_t (*compute_processes)(nvmlDevice_t, unsigned int *, void *) noexcept nogil
        nvmlReturn_t (*utilisation)(nvmlDevice_t, nvmlUtilization_t *) noexcept nogil
        nvmlReturn_t (*temperature)(nvmlDevice_t, unsigned int, unsigned int *) noexcept nogil
        nvmlReturn_t (*event_reasons)(nvmlDevice_t, unsigned long long *) noexcept nogil

    int nvml_open(nvml_t *nvml, const char *library, char *problem, size_t room)
    void nvml_close(nvml_t *nvml)
    const char *nvml_text(const nvml_t *nvml, nvmlReturn_t code)
