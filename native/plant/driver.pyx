"""What the simulated driver of a host holds beside power limits and clock locks: MIG, memory locks, application clocks,
times of throttling, signals, and the record of all that was set. See native/plant/{mig,knob,throttle,signal}.h."""

import errno
import os

from cython cimport final

from libc.stdint cimport uint32_t, uint64_t

from eagent.errors import DriverError, InputError

from eagent.sim._handle cimport Handle
from plant.host cimport plant_host_t
from plant.knob cimport *
from plant.lab cimport *
from plant.mig cimport *
from plant.signal cimport *
from plant.throttle cimport *

cdef int BATCH = 1024  # log entries fetched at a time

_SIGNALS = {
    "pstate": PLANT_SIGNAL_PSTATE, "xid": PLANT_SIGNAL_XID, "clock": PLANT_SIGNAL_CLOCK, "mig": PLANT_SIGNAL_MIG,
    "unavailable": PLANT_SIGNAL_UNAVAILABLE, "recovery": PLANT_SIGNAL_RECOVERY,
}
_VALUES = {
    PLANT_WRITE_LIMIT: "limit_mw", PLANT_WRITE_PERSISTENCE: "persistence_mode",
    PLANT_WRITE_APPLICATION: "application_mhz", PLANT_WRITE_RESTRICTION: "open",
}
_RANGES = {PLANT_WRITE_LOCK: "locked_mhz", PLANT_WRITE_MEMORY_LOCK: "memory_locked_mhz"}


@final
cdef class Driver(Handle):
    """A handle on a host's file, as eagent.sim._plant.Host is another."""

    cdef int expect(self, int code, what) except -1:
        if code == 0:
            return 0
        reason = {
            errno.ERANGE: "outside what the device takes",
            errno.EINVAL: "more than the GPU has",
            errno.ENOTSUP: "this kind of GPU has no MIG",
            errno.ENODEV: "the host is not on",
        }.get(-code, os.strerror(-code))
        if -code in (errno.ERANGE, errno.EINVAL, errno.ENOTSUP):
            raise InputError(f"{what}: {reason}")
        raise DriverError(f"{self.path}: {what}: {reason}")

    def divide(self, uint32_t gpu, uint32_t instances, uint32_t slices=1, uint64_t memory_b=0):
        """Turn MIG on, with `instances` of so many compute slices (of seven) and so much memory; 0 turns it off."""
        what = f"gpu {gpu}: {instances} instances of {slices} slices and {memory_b} bytes"
        self.expect(plant_host_divide(self.open_host(), gpu, instances, slices, memory_b), what)

    def mig(self, uint32_t gpu):
        """Keys and units as in native/plant/mig.h, and "ids" of the instances."""
        cdef plant_mig_t mig
        cdef char[48] name
        self.expect(plant_host_mig(self.open_host(), gpu, &mig), f"gpu {gpu}")
        ids = []
        for i in range(mig.instances):
            plant_host_mig_id(self.host, gpu, i, name)
            ids.append((<bytes>name).decode())
        return {**mig, "ids": tuple(ids)}

    def knobs(self, uint32_t gpu):
        """Keys and units as in native/plant/knob.h."""
        cdef plant_knobs_t knobs
        self.expect(plant_host_knobs(self.open_host(), gpu, &knobs), f"gpu {gpu}")
        return dict(knobs)

    def throttle(self, uint32_t gpu):
        """Keys and units as in native/plant/throttle.h."""
        cdef plant_throttle_t throttle
        self.expect(plant_host_throttle(self.open_host(), gpu, &throttle), f"gpu {gpu}")
        return dict(throttle)

    def signal(self, uint32_t gpu, type, uint64_t data=0):
        """Let the driver tell its clients of a "pstate", an "xid", a "clock", ...: see native/plant/signal.h."""
        if type not in _SIGNALS:
            raise InputError(f"signal {type!r}: must be one of {', '.join(_SIGNALS)}")
        self.expect(plant_host_signal(self.open_host(), gpu, _SIGNALS[type], data), f"gpu {gpu}")

    def signals(self):
        """The last that the driver told: (time_s, type, gpu, data)."""
        cdef plant_signal_t signal
        cdef uint64_t number = 0
        cdef int found = 1
        cdef plant_host_t *host = self.open_host()
        names = {bits: name for name, bits in _SIGNALS.items()}
        out = []
        while True:
            self.expect(plant_host_next_signal(host, &number, &signal, &found), "signals")
            if not found:
                return out
            out.append((signal.time_ns / 1e9, names.get(signal.type, "unknown"), signal.gpu, signal.data))

    def settings(self):
        """Every setting of a GPU that was changed, as the host logged it: (time_s, gpu, what, old, new, pid).

        Pid 0: nobody, by switching the host off or on. Clock locks have a pair as the new value and no old one, MIG
        has (mode, instances).
        """
        cdef plant_host_t *host = self.open_host()
        cdef plant_event_t found[1024]
        cdef uint32_t count = 0, start = 0
        cdef int code
        out = []
        while True:
            with nogil:
                code = plant_host_events(host, start, found, BATCH, &count)
            self.expect(code, "its log")
            for i in range(count):
                if (change := read_change(found[i])) is not None:
                    out.append((found[i].time_ns / 1e9, found[i].gpu, *change, found[i].pid))
            start += count
            if count == 0:
                return out


cdef object read_change(plant_event_t event):
    """What, old and new value; None for what is no setting of a GPU."""
    if event.kind in _VALUES:
        return _VALUES[event.kind], event.old_value, event.new_value
    if event.kind in _RANGES:
        return _RANGES[event.kind], None, (event.min_mhz, event.max_mhz)
    if event.kind == PLANT_WRITE_MIG:
        return "mig", (event.old_value & 0xff, event.old_value >> 8), (event.new_value & 0xff, event.new_value >> 8)
    return None
