"""The loop and its two halves, as hotloop.h, actuator.h, setpoints.h and sampler.h give them."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ceiling cimport ceiling_t, ceilings_t
from driver cimport driver_gpu_shown_t, driver_t
from exposure cimport exposure_t
from govern cimport limit_t, limits_t
from nvml cimport nvml_t, nvmlDevice_t
from ring cimport ring_t
from setting cimport setting_shown_t, setting_text_t, settings_t
from zone cimport zone_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef extern from "hotloop.h" nogil:
    ctypedef struct vector_t:
        uint32_t limit_mw[64]
        uint32_t clock_mhz[64]
        setting_text_t text[4096]

    ctypedef struct setpoints_t:
        vector_t lease
        vector_t fallback
        int64_t lease_until_ns
        uint64_t envelope_mw
        uint64_t owner_uw[64][2]
        uint32_t forgets[64]
        uint8_t mode[64]
        uint8_t presence[64]
        uint8_t capped[64]
        uint32_t limits_taken_back[64]
        uint32_t texts_taken_back
        uint32_t clocks_again[64]
        uint64_t generation

    ctypedef struct shown_t:
        limit_t limits[64]
        ceiling_t ceilings[64]
        setting_shown_t settings[4096]
        driver_gpu_shown_t lives[64]
        exposure_t exposures[64]
        uint64_t generation
        int64_t turned_ns

    ctypedef struct actuator_t:
        limits_t limits
        ceilings_t ceilings
        settings_t settings
        uint32_t gpus
        int64_t begun_ns
        pthread_mutex_t lock
        setpoints_t told
        shown_t shown

    setpoints_t *actuator_tell(actuator_t *actuator)
    void actuator_told(actuator_t *actuator)
    void actuator_listen(actuator_t *actuator)
    void actuator_show(actuator_t *actuator)

    ctypedef struct hotloop_t:
        nvml_t nvml
        driver_t driver
        ring_t ring
        actuator_t actuator

    void hotloop_init(hotloop_t *loop, uint32_t gpus, const nvmlDevice_t *handles, int64_t free_ns, int virtual_time)
    void hotloop_add_package(hotloop_t *loop, const zone_t *zone)
    int64_t hotloop_step(hotloop_t *loop, int64_t now_ns)
    void hotloop_sample(hotloop_t *loop)
    void hotloop_actuate(hotloop_t *loop)
    void hotloop_stop(hotloop_t *loop)
    void hotloop_destroy(hotloop_t *loop)
