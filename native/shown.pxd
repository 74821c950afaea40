"""What the loop's turns have left to be seen, as Python's objects; the meaning of each is told where loop.pyx asks."""

from libc.stdint cimport uint32_t
from libc.string cimport strerror

from ceiling cimport *
from driver cimport *
from exposure cimport *
from foreign cimport *
from govern cimport *
from nvml cimport *
from setting cimport *


cdef inline str reason(nvml_t *nvml, nvmlReturn_t code):
    """What the driver says of its refusal; None: it did not refuse."""
    return None if code == NVML_SUCCESS else nvml_text(nvml, code).decode("utf-8", "replace")


cdef inline tuple limit_shown(nvml_t *nvml, const limit_t *device):
    cdef str problem = reason(nvml, device.write_code)
    if device.write_error:
        problem = strerror(device.write_error).decode("utf-8", "replace")
    elif problem is None and device.disagrees:
        problem = f"wrote {device.written_mw} mW, read back {device.requested_mw} mW"
        if device.is_uneven:
            problem += ", and less of its other limit"
    return (
        device.requested_mw or None,
        device.enforced_mw or None,
        device.foreign.at_ns or None,
        problem,
        device.held_mw or None,
    )


cdef inline tuple ceiling_shown(nvml_t *nvml, const ceiling_t *device):
    return device.held_mhz or None, reason(nvml, device.code)


cdef inline tuple life_shown(nvml_t *nvml, const driver_gpu_shown_t *life):
    cdef str why = nvml_text(nvml, life.code).decode("utf-8", "replace") if life.void_ns else None
    return (
        why,
        life.void_ns or None,
        life.forgets,
        life.forgot_ns or None,
        bool(life.is_kept),
        life.found_mw or None,
        None if life.persistence < 0 else bool(life.persistence),
        reason(nvml, life.mode_code),
    )


cdef inline tuple exposure_shown(const exposure_t *one):
    return (
        one.exposed_ns / 1e9,
        one.exposed_uj / 1e6,
        one.since_ns or None,
        one.ended_ns or None,
        one.last_ns / 1e9,
        one.last_uj / 1e6,
    )


cdef inline tuple setting_shown(setting_shown_t *one):
    return one.held.decode("ascii", "replace") or None, one.error or None, one.foreign.at_ns or None


cdef inline tuple foreign_limit_shown(const foreign_t *foreign):
    return foreign.count, foreign.at_ns or None, foreign.value_mw, foreign.before_mw or None


cdef inline tuple foreign_text_shown(setting_foreign_t *foreign):
    cdef str before = foreign.before.decode("ascii", "replace")
    return foreign.count, foreign.at_ns or None, foreign.text.decode("ascii", "replace"), before or None
