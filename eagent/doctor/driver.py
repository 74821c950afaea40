"""What NVML says, asked in a process of its own, as types. It is independent of the warden's word: that is its use."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_S = 15.0  # a cold start of a driver without persistence mode takes seconds

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as NVML describes it. None is what NVML does not tell here."""

    index: int
    uuid: str | None = None
    name: str | None = None
    pci_bus_id: str | None = None
    min_limit_w: float | None = None
    max_limit_w: float | None = None
    default_limit_w: float | None = None
    requested_w: float | None = None
    enforced_w: float | None = None
    sm_clock_mhz: int | None = None
    persistence: bool | None = None
    mig: bool | None = None
    virtualization: int | None = None  # NVML's number: 1 passed through, 2 a vGPU, 3 hosts vGPUs, 4 so in software
    lost: bool = False  # counted, but it can't be opened


@dataclass(frozen=True, slots=True)
class Change:
    """A limit that was seen to change while we looked."""

    index: int
    before_w: float
    after_w: float


@dataclass(frozen=True, slots=True)
class Driver:
    """NVML on this host. `code` is how nvmlInit ended, None if it was not called."""

    library: str  # as configured
    silent: str = ""  # why there was no answer at all
    not_opened: str = ""  # the loader's reason
    path: str | None = None  # the file that the loader took
    simulated: bool = False
    missing: frozenset[str] = frozenset()
    kernel_driver: bool = False  # whether a kernel driver is loaded
    code: int | None = None
    text: str = ""
    driver_version: str | None = None
    nvml_version: str | None = None
    gpus: tuple[Gpu, ...] = ()
    changes: tuple[Change, ...] = ()


def ask(
    library: str, symbols: tuple[str, ...], *, kernel_driver: bool, watch_s: float = 0.0, timeout_s: float = ANSWER_S
) -> Driver:
    """Ask NVML, and look at the limits for `watch_s`.

    Args:
        library: NVML's name or path, as dlopen takes it.
        symbols: The names to look for in it.
        kernel_driver: Whether a kernel driver is loaded: without one a real library is opened, but not started.
        watch_s: How long to look for limits that change.
        timeout_s: How long to wait beyond that.
    """
    request = {"library": library, "symbols": symbols, "kernel_driver": kernel_driver, "watch_s": watch_s}
    # -P: nothing is imported from wherever a root shell happens to stand.
    command = [sys.executable, "-P", str(Path(__file__).with_name("oracle.py")), json.dumps(request)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=watch_s + timeout_s)
    except subprocess.TimeoutExpired:
        return Driver(library, silent=f"it did not answer within {timeout_s:g} s", kernel_driver=kernel_driver)
    finally:
        _end(process)
    try:
        return _driver(library, json.loads(out), kernel_driver=kernel_driver)
    except ValueError:
        why = f"signal {-process.returncode}" if process.returncode < 0 else (err.strip().splitlines() or ["?"])[-1]
        return Driver(library, silent=f"it crashed who asked it ({why})", kernel_driver=kernel_driver)


def _end(process: subprocess.Popen[str]) -> None:
    """Leave nothing behind, but do not wait for a process that hangs inside the kernel: SIGKILL can't end that."""
    if process.poll() is None:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _driver(library: str, told: Json, *, kernel_driver: bool) -> Driver:
    return Driver(
        library,
        not_opened=told.get("not_opened", ""),
        path=told.get("path"),
        simulated=told.get("simulated", False),
        missing=frozenset(told.get("missing", ())),
        kernel_driver=kernel_driver,
        code=told.get("code"),
        text=told.get("text", ""),
        driver_version=told.get("driver_version"),
        nvml_version=told.get("nvml_version"),
        gpus=tuple(_gpu(each) for each in told.get("gpus", ())),
        changes=tuple(Change(i, before / 1000, after / 1000) for i, before, after in told.get("changes", ())),
    )


def _gpu(told: Json) -> Gpu:
    return Gpu(
        index=told["index"],
        uuid=told.get("uuid"),
        name=told.get("name"),
        pci_bus_id=told.get("pci_bus_id"),
        min_limit_w=_watts(told.get("min_limit_mw")),
        max_limit_w=_watts(told.get("max_limit_mw")),
        default_limit_w=_watts(told.get("default_limit_mw")),
        requested_w=_watts(told.get("requested_mw")),
        enforced_w=_watts(told.get("enforced_mw")),
        sm_clock_mhz=told.get("sm_clock_mhz"),
        persistence=_flag(told.get("persistence")),
        mig=_flag(told.get("mig")),
        virtualization=told.get("virtualization"),
        lost=told.get("lost", False),
    )


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _flag(number: int | None) -> bool | None:
    return None if number is None else bool(number)
