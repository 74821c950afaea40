"""A program: asks NVML through NVIDIA's own bindings and prints what it says as JSON. Run by `driver.ask`.

It is a process of its own because a driver call may hang or crash, and because the doctor must outlive both. It loads
the standard library and pynvml, nothing of eagent, and calls no setter.

Its one argument is JSON: `library`, the `symbols` to look for, `kernel_driver` (whether one is loaded), and `watch_s`,
how long to look for limits that change.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pynvml

LOOK_EVERY_S = 0.1
CHANGES_MAX = 100

Json = dict[str, Any]


def main() -> None:
    """Answer the request in argv."""
    print(json.dumps(answer(json.loads(sys.argv[1]))))


def answer(request: Json) -> Json:
    """All that can be learnt; what comes after a failure is left out."""
    try:
        library = ctypes.CDLL(request["library"])
    except OSError as problem:
        return {"not_opened": str(problem)}
    told: Json = {
        "path": _path_of(library),
        "simulated": hasattr(library, "eagent_simulated_host"),
        "missing": [name for name in request["symbols"] if not hasattr(library, name)],
    }
    if not told["simulated"] and not request["kernel_driver"]:
        return told  # without a kernel driver root's nvmlInit would make /dev/nvidiactl, and fail
    pynvml.nvmlLib = library  # the library of the configuration, whatever its name
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as problem:
        return {**told, "code": problem.value, "text": _text(problem)}
    told["code"] = 0
    told["driver_version"] = _get(pynvml.nvmlSystemGetDriverVersion)
    told["nvml_version"] = _get(pynvml.nvmlSystemGetNVMLVersion)
    handles = [_get(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(_get(pynvml.nvmlDeviceGetCount) or 0)]
    told["gpus"] = [_describe(index, handle) for index, handle in enumerate(handles)]
    told["changes"] = _watch(handles, request["watch_s"])
    return told


def _describe(index: int, handle: Any) -> Json:
    if handle is None:  # lost, or not ours to see
        return {"index": index, "lost": True}
    limits_mw = _get(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle) or (None, None)
    pci = _get(pynvml.nvmlDeviceGetPciInfo, handle)
    return {
        "index": index,
        "uuid": _get(pynvml.nvmlDeviceGetUUID, handle),
        "name": _get(pynvml.nvmlDeviceGetName, handle),
        "pci_bus_id": None if pci is None else pci.busId,
        "min_limit_mw": limits_mw[0],
        "max_limit_mw": limits_mw[1],
        "default_limit_mw": _get(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle),
        "requested_mw": _get(pynvml.nvmlDeviceGetPowerManagementLimit, handle),
        "enforced_mw": _get(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle),
        "sm_clock_mhz": _get(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        "persistence": _get(pynvml.nvmlDeviceGetPersistenceMode, handle),
        "mig": (_get(pynvml.nvmlDeviceGetMigMode, handle) or [None])[0],
        "virtualization": _get(pynvml.nvmlDeviceGetVirtualizationMode, handle),
    }


def _watch(handles: list[Any], watch_s: float) -> list[list[int]]:
    """Each change of a limit that is seen: GPU, milliwatts before and after."""
    changes: list[list[int]] = []
    before = [_limit_mw(handle) for handle in handles]
    deadline = time.monotonic() + watch_s
    while handles and time.monotonic() < deadline:
        time.sleep(min(LOOK_EVERY_S, watch_s))
        for index, handle in enumerate(handles):
            now_mw, was_mw = _limit_mw(handle), before[index]
            if now_mw is not None and was_mw is not None and now_mw != was_mw and len(changes) < CHANGES_MAX:
                changes.append([index, was_mw, now_mw])
            before[index] = now_mw if now_mw is not None else was_mw
    return changes


def _limit_mw(handle: Any) -> int | None:
    return None if handle is None else _get(pynvml.nvmlDeviceGetPowerManagementLimit, handle)


def _get(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a getter says; None where it fails, whatever the reason: much is not supported somewhere."""
    try:
        value = function(*arguments)
    except pynvml.NVMLError:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _text(problem: Any) -> str:
    """The driver's own words; a library that lacks nvmlErrorString has none."""
    try:
        return str(problem)
    except Exception:
        return f"error {problem.value}"


class _DlInfo(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _path_of(library: ctypes.CDLL) -> str | None:
    """The file that the loader took, if the library has NVML's first function."""
    first = getattr(library, "nvmlInit_v2", None)
    found = _DlInfo()
    if first is None or not ctypes.CDLL(None).dladdr(ctypes.cast(first, ctypes.c_void_p), ctypes.byref(found)):
        return None
    return found.file.decode("utf-8", "replace") if found.file else None


if __name__ == "__main__":
    main()
