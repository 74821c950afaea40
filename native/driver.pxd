"""The driver's life as driver.h gives it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from nvml cimport nvmlDevice_t, nvmlReturn_t

cdef extern from "driver.h" nogil:
    ctypedef struct driver_gpu_shown_t:
        nvmlReturn_t code
        int64_t void_ns
        uint32_t forgets
        int64_t forgot_ns
        bint is_kept
        uint32_t found_mw
        nvmlReturn_t mode_code
        int persistence
        bint is_gone

    enum driver_mode:
        DRIVER_MODE_LEFT
        DRIVER_MODE_ON
        DRIVER_MODE_OFF

    ctypedef struct driver_gpu_t:
        char uuid[96]
        char bus_id[32]
        nvmlDevice_t handle

    ctypedef struct driver_t:
        driver_gpu_t gpu[64]

    int driver_can_part(const driver_t *driver)
    int driver_enter(driver_t *driver)
    void driver_leave(driver_t *driver)
    uint32_t driver_limit_mw(driver_t *driver, uint32_t i)
    nvmlReturn_t driver_probe(driver_t *driver, uint32_t i, uint32_t limit_mw)
