"""The kernel's time: what the hot loop's deadlines and every time stamp rest on."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from pathlib import Path

STA_UNSYNC = 0x40
_TIME_ERROR = 5
_TIMEX_BYTES = 208  # struct timex on every 64-bit Linux
_STATUS_OFFSET = 40  # modes (int, padded), offset, freq, maxerror, esterror (long each), then status (int)


@dataclass(frozen=True, slots=True)
class Timer:
    """`resolution_s` of the monotonic clock, where it comes from, and whether the time of day is kept in step."""

    resolution_s: float
    source: str = ""  # empty: the kernel does not tell
    synchronised: bool | None = None


def look_at_timer(sysfs: Path) -> Timer:
    """Ask the kernel; nothing is adjusted."""
    try:
        source = (sysfs / "devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    except OSError:
        source = ""
    return Timer(time.clock_getres(time.CLOCK_MONOTONIC), source, _synchronised())


def _synchronised() -> bool | None:
    """adjtimex(2) with no mode set reads, and needs no privilege."""
    timex = (ctypes.c_byte * _TIMEX_BYTES)()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(timex, _STATUS_OFFSET).value
    return state != _TIME_ERROR and not status & STA_UNSYNC
