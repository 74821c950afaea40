# native/plant/fault.h for Cython. Comments and units are there.
from libc.stdint cimport int64_t, uint32_t

from plant.host cimport plant_host_t


cdef extern from "plant/fault.h" nogil:
    const uint32_t PLANT_FAULTS_MAX
    const uint32_t PLANT_FAULT_KINDS
    const uint32_t PLANT_FOREIGN_PID

    ctypedef enum plant_fault_target "enum plant_fault_target":
        PLANT_FAULT_OF_HOST
        PLANT_FAULT_OF_GPU
        PLANT_FAULT_OF_CPU
        PLANT_FAULT_OF_PACKAGE

    ctypedef struct plant_fault_t:
        uint32_t id, kind, target, index
        int64_t from_ns, until_ns, every_ns
        double[2] value
        uint32_t begun

    int plant_host_inject(plant_host_t *host, const plant_fault_t *fault, uint32_t *id)
    int plant_host_clear_fault(plant_host_t *host, uint32_t id)
    int plant_host_faults(plant_host_t *host, plant_fault_t *out, uint32_t *count)
    int plant_host_file_trouble(plant_host_t *host, int writes, uint32_t target, uint32_t index, int *error)
