# native/plant/wall.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t

from plant.host cimport plant_host_t


cdef extern from "plant/wall.h" nogil:
    const uint32_t PLANT_POWERS

    ctypedef enum plant_power "enum plant_power":
        PLANT_POWER_OFF
        PLANT_POWER_BOOTING
        PLANT_POWER_ON

    ctypedef struct plant_supply_t:
        double standby_w, boot_w, boot_s, rest_w, fan_w, fan_min, fan_full_w, loss_w, loss_share, inlet_c

    ctypedef struct plant_wall_t:
        uint32_t power, boot
        int64_t since_ns
        char[37] boot_id
        double power_w
        int64_t[3] time_ns
        double[3] energy_j

    const plant_supply_t *plant_host_supply(const plant_host_t *host)
    int plant_host_switch_on(plant_host_t *host)
    int plant_host_switch_off(plant_host_t *host)
    int plant_host_wall(plant_host_t *host, plant_wall_t *out)
    int plant_host_wall_log(plant_host_t *host, uint32_t from_, float *out, uint32_t room, uint32_t *count)
