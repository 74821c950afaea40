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


cdef inline dict facts_shown(nvml_about_t *about):
    return {
        "uuid": about.uuid.decode(),
        "name": about.name.decode(),
        "pci_bus_id": about.pci.busId.decode(),
        "architecture": about.architecture or None,
        "min_limit_mw": about.least_mw if about.most_mw else None,
        "max_limit_mw": about.most_mw or None,
        "default_limit_mw": about.default_mw or None,
        "limit_mw": about.limit_mw or None,
        "clocks_mhz": sorted([about.clocks_mhz[k] for k in range(about.clocks)]),
    }


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
        bool(life.is_gone),
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


cdef inline dict foreign_limits_shown(limit_t *shown, uint32_t count, tuple fates):
    cdef uint32_t i
    cdef foreign_t *foreign
    cdef dict found = {}
    for i in range(count):
        foreign = &shown[i].foreign
        if foreign.fate != FOREIGN_NEVER:
            values = (foreign.value_mw, foreign.before_mw or None)
            found[i] = (foreign.count, foreign.at_ns or None, *values, fates[<int> foreign.fate])
    return found


cdef inline dict foreign_texts_shown(setting_shown_t *shown, uint32_t count, tuple fates):
    cdef uint32_t i
    cdef setting_foreign_t *foreign
    cdef dict found = {}
    for i in range(count):
        foreign = &shown[i].foreign
        if foreign.fate != FOREIGN_NEVER:
            texts = (foreign.text.decode("ascii", "replace"), foreign.before.decode("ascii", "replace") or None)
            found[i] = (foreign.count, foreign.at_ns or None, *texts, fates[<int> foreign.fate])
    return found
