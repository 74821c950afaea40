# native/plant/handle.pyx for the modules that have a class of their own on it.
from plant.host cimport plant_host_t


cdef class Handle:
    cdef plant_host_t *host
    cdef object path
    cdef plant_host_t *open_host(self) except NULL
    cdef int check(self, int code) except -1
