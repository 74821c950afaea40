"""The reading end of the sample ring: what ring.h gives, as Python tuples."""

cimport cython
from libc.errno cimport EPROTO
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ring cimport *

import os

from eagent.errors import ProtocolError, UnavailableError

cdef enum:
    CHUNK = 512  # records copied out of the ring at a time: 12 KiB that stay in the cache


cdef class RingReader:
    """One reader of one ring file. It starts with the oldest record that the ring holds."""

    cdef ring_t _ring
    cdef bint _open
    cdef uint64_t _cursor
    cdef uint64_t _lost
    cdef object _inode
    cdef readonly str path

    def __cinit__(self, path):
        """Map the ring at `path`.

        Raises:
            UnavailableError: there is no ring, or it may not be read.
            ProtocolError: the file is not a ring of this version.
        """
        self.path = os.fspath(path)
        cdef bytes name = os.fsencode(self.path)
        cdef int code = ring_open(&self._ring, name)
        if code == -EPROTO:
            raise ProtocolError(f"{self.path}: not a ring of version {RING_VERSION}: restart agent and warden")
        if code:
            raise UnavailableError(f"{self.path}: no sample ring: {os.strerror(-code)}")
        self._open = True
        self._inode = os.fstat(self._ring.fd).st_ino
        # What was overwritten before we came is history, not a loss of ours.
        cdef uint64_t head = self._ring.header.head
        self._cursor = head - (RING_CAPACITY - 1) if head > RING_CAPACITY - 1 else 0

    def __dealloc__(self):
        if self._open:
            ring_close(&self._ring)

    @cython.critical_section
    def close(self):
        """Unmap the ring. Nothing else works afterwards; closing twice does."""
        if self._open:
            self._open = False
            ring_close(&self._ring)

    @cython.critical_section
    def drain(self):
        """All records published since the last drain, oldest first; not more than the ring holds, give or take a chunk.

        Returns:
            A list of (time_ns, value, device, channel, status, age_ns); an age of -1 is not known.

        Raises:
            UnavailableError: the reader is closed.
        """
        cdef ring_record_t chunk[CHUNK]
        cdef ring_record_t *one
        cdef uint32_t taken, i
        cdef int64_t age_ns
        cdef uint64_t end
        cdef list records = []
        self._check()
        # A writer that is faster than we are must not keep us here: stop at the head of when we came.
        end = self._ring.header.head
        while self._cursor < end:
            taken = ring_drain(&self._ring, &self._cursor, chunk, CHUNK, &self._lost)
            for i in range(taken):
                one = &chunk[i]
                age_ns = -1 if one.age == RING_AGE_UNKNOWN else <int64_t> one.age * RING_AGE_UNIT
                records.append((one.time_ns, one.value, one.device, one.channel, one.status, age_ns))
        return records

    @property
    def lost(self):
        """How many records were overwritten before this reader came to them."""
        return self._lost

    @property
    @cython.critical_section
    def stats(self):
        """The loop's own cost and health: the fields of ring_stats_t, times in monotonic nanoseconds."""
        self._check()
        return <dict> self._ring.header.stats

    @property
    @cython.critical_section
    def head(self):
        """How many records were ever published."""
        self._check()
        return self._ring.header.head

    @property
    @cython.critical_section
    def writer_pid(self):
        """The process that made the ring."""
        self._check()
        return self._ring.header.writer_pid

    def replaced(self):
        """Whether `path` names another file by now, or none: a new warden makes a new ring."""
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    cdef _check(self):
        if not self._open:
            raise UnavailableError(f"{self.path}: the ring reader is closed")
