"""A handle on a simulated host's file, on which each face of the plant stands. See native/plant/host.h."""

import os

from eagent.errors import DriverError

from plant.host cimport plant_host_close, plant_host_complaint, plant_host_open, plant_host_t


cdef class Handle:
    """An open file. Any number of processes may hold one; each sees the same state."""

    def __cinit__(self, path):
        cdef int error = 0
        cdef char[256] complaint
        encoded = os.fsencode(path)
        cdef const char *name = encoded
        self.path = str(path)
        with nogil:
            self.host = plant_host_open(name, &error)
        if self.host is NULL:
            plant_host_complaint(name, error, complaint, sizeof(complaint))
            raise DriverError(f"{path}: {complaint.decode()}")

    def __dealloc__(self):
        plant_host_close(self.host)

    def close(self):
        """Let go of the file. Idempotent."""
        plant_host_close(self.host)
        self.host = NULL

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    cdef plant_host_t *open_host(self) except NULL:
        if self.host is NULL:
            raise DriverError(f"{self.path}: this handle is closed")
        return self.host

    cdef int check(self, int code) except -1:
        """Turn a C function's -errno into an exception."""
        if code == 0:
            return 0
        raise DriverError(f"{self.path}: {os.strerror(-code)}")
