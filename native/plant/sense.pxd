# native/plant/sense.h for Cython. Comments and units are there.
from libc.stdint cimport uint32_t, uint64_t

from plant.lab cimport plant_model_t


cdef extern from "plant/sense.h" nogil:
    ctypedef struct plant_board_t:
        double gain, offset_w, phase_s
        uint64_t seed

    ctypedef struct plant_reading_t:
        double time_s, instant_w, average_w

    int plant_sense(const plant_model_t *model, const plant_board_t *board, const double *power_w, uint32_t steps,
                    double step_s, plant_reading_t *out, uint32_t room, uint32_t *count)
