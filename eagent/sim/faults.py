"""What can be made to go wrong on a simulated host, in words.

One is a matter of the host's directory: `eagent.sim.symbols`. All others are in its plant and keep simulated time:
`eagent.sim._faults.Faults` injects, lists and clears them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MISSING_SYMBOLS = "missing-symbols"
STUCK = {"power": 1, "time": 2, "energy": 4, "clock": 8}  # PLANT_STUCK_* of native/plant/fault.h
STUCK_USUALLY = ("power", "clock")  # R: as it was seen on a real board, for 700 s
FILE_ERRORS = {name: getattr(errno, name) for name in ("EIO", "EBUSY", "ENOENT", "EACCES")}

GPU, FILES, PACKAGE, HOST = ("gpu",), ("cpu", "package"), ("package",), ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. `parts` are what it may be of beside the whole host; `show` tells its two values."""

    summary: str
    parts: tuple[str, ...]
    strikes: bool = False  # at once, and again where told to; the others last
    show: Callable[[float, float], str] = lambda first, second: ""  # noqa: ARG005  # most have no values


def _share(share: float, _: float) -> str:
    return f"{share:.3g} of readings"


def _stuck(power_w: float, parts: float) -> str:
    what = ", ".join(name for name, bit in STUCK.items() if int(parts) & bit)
    return f"{what}; at {power_w:g} W" if power_w else what


def _watts(power_w: float, _: float) -> str:
    return f"{power_w:g} W"


def _errno(number: float, _: float) -> str:
    return errno.errorcode.get(int(number), f"errno {number:g}")


# One line an entry, in the order in which they are shown.
KINDS: Mapping[str, Kind] = {
    "not-supported": Kind("a share of sensor readings is refused as not supported", GPU, show=_share),
    "zero-power": Kind("a share of readings says 0 W", GPU, show=_share),
    "stuck-power": Kind("the power sensor shows the same for ever, and asking for a clock fails", GPU, show=_stuck),
    "gpu-lost": Kind("the GPU has fallen off the bus, until the host is powered on anew", GPU),
    "reset-required": Kind("the GPU answers that it must be reset, until it is or the driver is reloaded", GPU),
    "no-permission": Kind("whoever sets anything is refused", GPU),
    "slow-calls": Kind("each call of the driver takes long, and others wait for it", GPU, show=lambda s, _: f"{s:g} s"),
    "hung-calls": Kind("calls of the driver do not end, nor does who waits behind them, until this is cleared", GPU),
    "outside-limit": Kind("a power limit set past the driver, as by a BMC: the lower one holds", GPU, show=_watts),
    "sysfs-read": Kind("reading the kernel's cpufreq and powercap files fails", FILES, show=_errno),
    "sysfs-write": Kind("writing the kernel's cpufreq and powercap files fails", FILES, show=_errno),
    "energy-reset": Kind("the driver's energy counter begins anew", GPU, strikes=True),
    "rapl-wrap": Kind("a package's energy counters wrap soon", PACKAGE, strikes=True, show=lambda j, _: f"{j:g} J"),
    "xid": Kind("the driver reports an error of the GPU", GPU, strikes=True, show=lambda number, _: f"XID {number:g}"),
    "driver-reload": Kind("all settings and counters are back at their defaults, and open handles void", HOST, True),
    "gpu-reset": Kind("a GPU's settings and counters are back at their defaults", GPU, strikes=True),
    "settings-dropped": Kind("limit, clock lock and persistence mode are silently forgotten", GPU, strikes=True),
    "foreign-limit": Kind("somebody else sets the power limit", GPU, strikes=True, show=_watts),
    "foreign-lock": Kind(
        "somebody else locks the clocks", GPU, strikes=True, show=lambda low, high: f"{low:g} to {high:g} MHz"
    ),
    MISSING_SYMBOLS: Kind("processes that start from now on find a library of driver 535, with fewer names", HOST),
}
