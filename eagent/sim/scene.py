"""What goes on in a simulated host, at one instant: the truth beside what its sensors say, its work, who wrote what.

The result is a document of plain values, fit for JSON. What can't be known is None: a host that is off has no driver
that could be asked, and a GPU that is lost answers nobody.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eagent.errors import DriverError, InputError
from eagent.sim import symbols
from eagent.sim._faults import FOREIGN_PID, Faults
from eagent.sim._plant import Host
from eagent.sim._watch import Watch
from eagent.sim.faults import MISSING_SYMBOLS
from eagent.sim.host import SimulatedHost

WRITES_S = 10.0  # how long a write is told of
WRITES_MAX = 256  # of them, the last
PROC = Path("/proc")  # the watcher's own: who writes runs where it runs

# NVML's clocks event reasons, by bit.
REASONS = {
    0x1: "idle",
    0x2: "clocks set",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat",
    0x40: "heat, in hardware",
    0x80: "power brake",
}

# What a write is of, where that is no CPU.
PARTS = {
    **dict.fromkeys(("limit", "lock", "persistence", "memory_lock", "application_mhz", "open_to_anyone", "mig"), "gpu"),
    **dict.fromkeys(("limit_uw", "window_us", "enabled"), "package"),
    "power": "",  # the host itself
}
LOCKS = ("lock", "memory_lock")
SILENCES = ("gpu-lost", "reset-required")  # faults of a GPU that then answers nobody

# The fault that is none of the plant's, as those are told.
LACKING = {
    "number": None,
    "kind": MISSING_SYMBOLS,
    "target": "host",
    "index": 0,
    "values": (0.0, 0.0),
    "from_s": 0.0,
    "until_s": None,
    "every_s": None,
    "begun": True,
}

Json = dict[str, Any]


class Scene:
    """A host that is watched."""

    def __init__(self, host: SimulatedHost) -> None:
        """Open it.

        Raises:
            DriverError: its file is of another version.
        """
        self._host = host
        self._watch = Watch(host.plant)
        self._faults = Faults(host.plant)
        self._plant = Host(host.plant)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        for handle in (self._plant, self._faults, self._watch):
            handle.close()

    def look(self) -> Json:
        """All of it, now.

        Raises:
            InputError: the host has been deleted.
        """
        if not self._host.plant.exists():
            raise InputError(f"simulated host {self._host.name!r} has been deleted")
        loads = [dict(load) for load in self._plant.progress()]
        truth = self._watch.look()
        faults = self._all_faults()
        silences = [fault for fault in faults if fault["begun"] and fault["kind"] in SILENCES]
        silent = {None if fault["target"] == "host" else fault["index"] for fault in silences}
        return {
            "simulated": True,
            "host": self._host.name,
            "clock": self._plant.clock,
            "time_s": truth["time_s"],
            "power": truth["power"],
            "since_s": truth["since_s"],
            "wall_w": truth["wall_w"],
            "gpus": [
                self._gpu(number, gpu, loads, bool({None, number} & silent)) for number, gpu in enumerate(truth["gpus"])
            ],
            "packages": [{"package": number, "power_w": power_w} for number, power_w in enumerate(truth["package_w"])],
            "loads": loads,
            "faults": faults,
            "writes": self._writes(truth["time_s"], truth["writes"]),
            "full_logs": list(self._plant.full_logs),
        }

    def _all_faults(self) -> list[Json]:
        faults: list[Json] = [dict(fault) for fault in self._faults.all()]
        return [*faults, LACKING] if symbols.are_missing(self._host) else faults

    def _gpu(self, number: int, truth: Any, loads: list[Json], is_silent: bool) -> Json:
        running = (place for place, load in enumerate(loads) if load["running"] and number in load["gpus"])
        out: Json = {
            "gpu": number,
            "load": next(running, None),  # its place among the loads
            "power_true_w": truth["power_w"],
            "temperature_true_c": truth["temperature_c"],
            "reading_age_s": None,
            "power_reading_w": None,
            "temperature_c": None,
            "clock_mhz": None,
            "locked_mhz": None,
            "limit_requested_w": None,
            "limit_enforced_w": None,
            "busy": None,
            "reasons": None,
        }
        if is_silent:
            return out
        with contextlib.suppress(DriverError):  # no driver: the host is not on
            view = self._plant.view(number)
            out |= {
                "reading_age_s": truth["sensor_age_s"],
                "power_reading_w": view["power_plain_mw"] / 1000,
                "temperature_c": view["temperature_c"],
                "clock_mhz": view["sm_clock_mhz"],
                "locked_mhz": [view["locked_min_mhz"], view["locked_max_mhz"]] if view["locked_max_mhz"] else None,
                "limit_requested_w": view["limit_requested_mw"] / 1000,
                "limit_enforced_w": view["limit_enforced_mw"] / 1000,
                "busy": view["gpu_utilisation_pct"] / 100,
                "reasons": [word for bit, word in REASONS.items() if view["event_reasons"] & bit],
            }
        return out

    def _writes(self, now_s: float, count: int) -> list[Json]:
        """Those of the last seconds, the oldest first."""
        recent = self._watch.writes(max(0, count - WRITES_MAX))
        return [_written(*write) for write in recent if write[0] > now_s - WRITES_S]


def _written(time_s: float, what: str, index: int, old: int, new: int, min_mhz: int, max_mhz: int, pid: int) -> Json:
    part = PARTS.get(what, "cpu")
    return {
        "time_s": time_s,
        "device": f"{part}{index}" if part else "host",
        "what": what,
        "old": old,
        "new": [min_mhz, max_mhz] if what in LOCKS else new,
        "pid": pid,
        "command": _command(pid),
    }


def _command(pid: int) -> str | None:
    """The name of a process that still runs, or that it is one only by way of a fault."""
    if pid == FOREIGN_PID:
        return "a fault"
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip() if pid else None
    except OSError:
        return None
