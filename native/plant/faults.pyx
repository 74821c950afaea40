"""What goes wrong on a simulated host, and what its driver's calls cost and show.

See native/plant/fault.h, calls.h and shown.h.
"""

import errno

from cython cimport final

from libc.stdint cimport int64_t, uint32_t, uint64_t

from eagent.errors import DriverError, InputError

from eagent.sim._handle cimport Handle
from plant.calls cimport plant_calls_t, plant_host_calls
from plant.fault cimport *
from plant.host cimport plant_host_gpu_count, plant_host_t
from plant.shown cimport PLANT_SHOWN_AGES, plant_host_shown, plant_shown_t

# In the order of enum plant_fault_kind; the last eight strike, the others last.
KINDS = (
    "not-supported",
    "zero-power",
    "stuck-power",
    "gpu-lost",
    "reset-required",
    "no-permission",
    "slow-calls",
    "hung-calls",
    "outside-limit",
    "sysfs-read",
    "sysfs-write",
    "energy-reset",
    "rapl-wrap",
    "xid",
    "driver-reload",
    "gpu-reset",
    "settings-dropped",
    "foreign-limit",
    "foreign-lock",
)
FOREIGN_PID = PLANT_FOREIGN_PID
FAULTS_MAX = PLANT_FAULTS_MAX

_TAKES = {
    "not-supported": "a share, more than 0 and up to 1",
    "zero-power": "a share, more than 0 and up to 1",
    "stuck-power": "watts, and the bits of what is stuck",
    "slow-calls": "up to an hour",
    "outside-limit": "1 W or more",
    "sysfs-read": "an errno",
    "sysfs-write": "an errno",
    "rapl-wrap": "joules from 0 to the counter's range",
    "xid": "a number from 1 to 999",
    "foreign-limit": "watts within the GPU's limits",
    "foreign-lock": "MHz within the GPU's clocks, the lower first",
}
_TARGETS = ("host", "gpu", "cpu", "package")  # in the order of enum plant_fault_target
_CALLS = ("power", "clock", "utilisation", "memory", "temperature", "other", "set")  # in the order of enum plant_call
_YEARS_S = 1e9  # about the last time that a plant can keep


cdef int64_t _to_ns(what, seconds) except? -1:
    if not 0 <= seconds <= _YEARS_S:
        raise InputError(f"{what} {seconds!r}: must be a time in seconds")
    return <int64_t>(seconds * 1e9 + 0.5)


@final
cdef class Faults(Handle):
    """A handle on a host's file, as eagent.sim._plant.Host is another. It answers whether the host is on or not."""

    def inject(self, kind, target="host", index=0, values=(), from_s=0.0, until_s=0.0, every_s=0.0):
        """Let something go wrong, and return the fault's number.

        Args:
            kind: One of KINDS.
            target: "host", "gpu", "cpu" or "package".
            index: Which of them.
            values: Up to two numbers; what they mean stands at the kind in native/plant/fault.h.
            from_s: Simulated time; what has passed, as 0 always has, is now.
            until_s: Simulated time; 0 is for ever.
            every_s: Of those that strike: again after this; 0 is once.

        Raises:
            InputError: it makes no sense, the host has no such part, or too many faults.
            DriverError: the host is not on, or its file is damaged.
        """
        if kind not in KINDS or target not in _TARGETS:
            raise InputError(f"a fault {kind!r} of a {target!r}: there is no such thing")
        cdef plant_host_t *host = self.open_host()
        cdef plant_fault_t fault
        cdef uint32_t number = 0
        fault.id = fault.begun = 0
        fault.kind, fault.target, fault.index = KINDS.index(kind), _TARGETS.index(target), index
        fault.from_ns, fault.until_ns = _to_ns("from_s", from_s), _to_ns("until_s", until_s)
        fault.every_ns = _to_ns("every_s", every_s)
        first, second = (*values, 0.0, 0.0)[:2]
        fault.value[0], fault.value[1] = first, second
        cdef int code
        with nogil:
            code = plant_host_inject(host, &fault, &number)
        if code == -errno.EINVAL:
            raise InputError(
                f"{kind} of a {target}, from {from_s:g} to {until_s:g} s, every {every_s:g} s: there is no such fault"
            )
        if code == -errno.EDOM:
            raise InputError(f"{kind} of {', '.join(f'{value:g}' for value in values)}: it "
                             f"takes {_TAKES.get(kind, 'no number')}")
        if code == -errno.ERANGE:
            raise InputError(f"{kind}: the host has no {target} {index}")
        if code == -errno.ENOSPC:
            raise InputError(f"{kind}: the host has {FAULTS_MAX} faults already")
        if code == -errno.ENODEV:
            raise DriverError(f"{kind}: the host is not on")
        self.check(code)
        return number

    def clear(self, number=0):
        """End the fault of that number, or all.

        Raises:
            InputError: there is none of that number.
        """
        cdef plant_host_t *host = self.open_host()
        cdef uint32_t which = number
        cdef int code
        with nogil:
            code = plant_host_clear_fault(host, which)
        if code == -errno.ENOENT:
            raise InputError(f"no fault has the number {number}")
        self.check(code)

    def all(self):
        """The faults that last or have yet to come, in the order in which they were injected."""
        cdef plant_host_t *host = self.open_host()
        cdef plant_fault_t found[32]
        cdef uint32_t count = 0, i
        cdef int code
        with nogil:
            code = plant_host_faults(host, found, &count)
        self.check(code)
        return tuple(
            {
                "number": found[i].id,
                "kind": KINDS[found[i].kind],
                "target": _TARGETS[found[i].target],
                "index": found[i].index,
                "values": (found[i].value[0], found[i].value[1]),
                "from_s": found[i].from_ns / 1e9,
                "until_s": found[i].until_ns / 1e9 or None,
                "every_s": found[i].every_ns / 1e9 or None,
                "begun": bool(found[i].begun),
            }
            for i in range(count)
        )

    def file_errno(self, writes, target, index):
        """The errno of reading or writing a kernel's file of a "cpu" or a "package"; 0: it is in order."""
        cdef plant_host_t *host = self.open_host()
        cdef int error = 0, code, is_write = writes
        cdef uint32_t what = PLANT_FAULT_OF_CPU if target == "cpu" else PLANT_FAULT_OF_PACKAGE
        cdef uint32_t which = index
        with nogil:
            code = plant_host_file_trouble(host, is_write, what, which, &error)
        self.check(code)
        return error

    def calls(self):
        """What all clients' calls of the driver have cost so far, by kind: (calls, s with its lock, s waiting for it).

        "set" are the writes, all others reads.
        """
        cdef plant_calls_t calls
        self.check(plant_host_calls(self.open_host(), &calls))
        return {
            name: (calls.count[i], calls.held_ns[i] / 1e9, calls.waited_ns[i] / 1e9) for i, name in enumerate(_CALLS)
        }

    def worked_s(self):
        """How much of processors' time clients have spent within these calls, by kind: the simulator's own, estimated.

        One call in 17 is weighed and stands for all. Nothing on a virtual clock.
        """
        cdef plant_calls_t calls
        self.check(plant_host_calls(self.open_host(), &calls))
        return {name: calls.worked_ns[i] / 1e9 for i, name in enumerate(_CALLS)}

    def shown(self):
        """What clients have been shown of each GPU's power sensor so far, and what it has published by now.

        "published" and "last" are the numbers of the last publication, and of the last that was shown. "ages" counts
        those shown by their age then, in whole milliseconds, its last all that were older; "age_s" is the sum of their
        ages. Each counts once; see native/plant/shown.h.
        """
        cdef plant_host_t *host = self.open_host()
        cdef plant_shown_t shown
        cdef uint64_t published = 0
        cdef uint32_t gpu
        cdef int code
        found = []
        for gpu in range(plant_host_gpu_count(host)):
            with nogil:
                code = plant_host_shown(host, gpu, &shown, &published)
            self.check(code)
            ages = tuple(shown.ages[i] for i in range(PLANT_SHOWN_AGES))
            found.append(
                {"published": published, "last": shown.last, "ages": ages, "age_s": shown.age_ns / 1e9}
            )
        return tuple(found)
