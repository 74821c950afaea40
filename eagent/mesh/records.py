"""One record for each host: what it tells of itself. Only its owner makes versions; everybody else passes them on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from eagent.mesh.epoch import Standing


class Power(IntEnum):
    """Whether a host may be switched off, by its own word; the numbers are those of the wire."""

    AWAKE = 0
    YIELDING = 1  # idle: it hands over what it holds above its reserve, and asks for nothing
    YIELDED = 2  # nothing above its reserve and no duty token is left with it: it may be switched off


@dataclass(frozen=True, slots=True)
class Demand:
    """What a host would give away, or could use, in a domain; at least one of them is 0."""

    domain: str
    offers_mw: int = 0
    wants_mw: int = 0


@dataclass(frozen=True, slots=True)
class Payload:
    """What the record says. Rights, life and duty tokens stand in a standing for each domain."""

    power_w: float | None = None  # drawn by its devices, as they tell it; None: they don't
    limits_w: float | None = None  # the sum of the device limits in force; None: not read back
    power: Power = Power.AWAKE
    stale_after_s: int = 60  # how old it may be and still speak for now
    standings: tuple[Standing, ...] = ()
    demands: tuple[Demand, ...] = ()
    devices: int = 0  # that can do work
    busy: int = 0  # of these, the ones that do
    asleep: tuple[str, ...] = ()  # by the power role alone: the hosts that it has switched off and read back as off

    def standing(self, domain: str) -> Standing | None:
        """What the host announces in a domain; None if it is not in it."""
        return next((each for each in self.standings if each.domain == domain), None)

    def demand(self, domain: str) -> Demand:
        """What it offers or wants in a domain."""
        return next((each for each in self.demands if each.domain == domain), Demand(domain))


@dataclass(frozen=True, slots=True)
class Record:
    """A payload of one owner. The newest version wins.

    Versions go on across restarts: a process starts from the wall clock, and goes past what peers still hold of it.
    """

    owner: str
    version: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Held:
    """A record as one host holds it.

    `born_ns` is when its owner made it, by the holder's clock, as well as it can tell: time spent in other hosts is
    counted, time in the network is not.
    """

    record: Record
    born_ns: int

    def age_ns(self, now_ns: int) -> int:
        """How old it is, at least."""
        return max(0, now_ns - self.born_ns)

    def is_stale(self, now_ns: int) -> bool:
        """Whether it no longer speaks for now. Shown, and acted on with care: safety does not hang on it."""
        return self.age_ns(now_ns) > self.record.payload.stale_after_s * 1_000_000_000
