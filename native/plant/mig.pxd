# native/plant/mig.h for Cython. Comments and units are there.
from libc.stdint cimport uint32_t, uint64_t

from plant.host cimport plant_host_t


cdef extern from "plant/mig.h" nogil:
    const uint32_t PLANT_MIG_ID_BYTES

    ctypedef struct plant_mig_t:
        uint32_t mode, pending, instances, slices
        uint64_t memory_b

    int plant_host_mig(plant_host_t *host, uint32_t gpu, plant_mig_t *mig)
    int plant_host_divide(plant_host_t *host, uint32_t gpu, uint32_t instances, uint32_t slices, uint64_t memory_b)
    void plant_host_mig_id(const plant_host_t *host, uint32_t gpu, uint32_t instance, char *id)
