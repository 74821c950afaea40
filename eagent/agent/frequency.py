"""How fast the CPUs of each package run, looked at about once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eagent.model import Reading, Status

SECOND_NS = 1_000_000_000
LOOK_EVERY_NS = 950_000_000
SENSOR = "kernel cpufreq"


class Frequencies:
    """The last look. Asked more often, it answers what it read last, and how old that is."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Nothing is read yet; `read` gives the MHz of each package that can tell, by its UUID."""
        self._read = read
        self._mhz: Mapping[str, float] = {}
        self._looked_ns: int | None = None

    def look(self, now_ns: int) -> Mapping[str, Reading]:
        """The packages' frequencies in MHz at the monotonic time `now_ns`, of those that can tell."""
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._mhz = self._read()
            self._looked_ns = now_ns
        age_s = max(0, now_ns - self._looked_ns) / SECOND_NS
        return {uuid: Reading(mhz, Status.OK, SENSOR, age_s=age_s) for uuid, mhz in self._mhz.items()}
