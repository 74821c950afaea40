# native/plant/readings.h for Cython. Comments and units are there.
from libc.stdint cimport uint32_t, uint64_t

from plant.host cimport plant_host_t


cdef extern from "plant/readings.h" nogil:
    ctypedef struct plant_readings_t:
        uint64_t[16] sensor_time_us, energy_mj, event_reasons
        uint32_t[16] power_plain_mw, sm_clock_mhz, temperature_c, gpu_utilisation_pct, memory_utilisation_pct
        uint32_t is_there

    int plant_host_readings(plant_host_t *host, plant_readings_t *readings)
