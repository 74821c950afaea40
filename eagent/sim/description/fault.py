"""What goes wrong on a host, and when, as far as that is known before it is made.

A library that lacks symbols is not among it: `eagent sim fault` puts that into the host's directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eagent.errors import InputError
from eagent.sim import faults
from eagent.sim._faults import Faults
from eagent.sim.description.parts import Numbers
from eagent.sim.description.values import YEAR_S, Indices, Kind, Words, require_fit, require_known
from eagent.sim.model import CLOCK, LIMIT, Number, Word

SHARE = Number(1e-6, 1)
PARTS: Mapping[str, Kind] = {"gpus": Indices(), "cpus": Indices(), "packages": Indices()}
TIMES: Mapping[str, Kind] = {
    "at_s": Number(0, YEAR_S),
    "for_s": Number(1e-3, YEAR_S),
    "every_s": Number(1e-3, YEAR_S),
}
KEYS: Mapping[str, Kind] = {
    "kind": Word(tuple(kind for kind in faults.KINDS if kind != faults.MISSING_SYMBOLS)),
    **PARTS,
    **TIMES,
}

# Of the kinds that must be told more: what, and what it is if it is not said. None: it must be said.
VALUES: Mapping[str, Mapping[str, tuple[Kind, object]]] = {
    "not-supported": {"share": (SHARE, 0.1)},
    "zero-power": {"share": (SHARE, 1.0)},
    "stuck-power": {
        "power_w": (Number(0, 10_000), 0.0),
        "stuck": (Words(tuple(faults.STUCK)), list(faults.STUCK_USUALLY)),
    },
    "slow-calls": {"take_s": (Number(1e-6, 3600), 0.1)},
    "outside-limit": {"power_limit_w": (LIMIT, None)},
    "sysfs-read": {"error": (Word(tuple(faults.FILE_ERRORS)), "EIO")},
    "sysfs-write": {"error": (Word(tuple(faults.FILE_ERRORS)), "EIO")},
    "rapl-wrap": {"left_j": (Number(0, 1e9), 100.0)},
    "xid": {"number": (Number(1, 999, whole=True), 79)},
    "foreign-limit": {"power_limit_w": (LIMIT, None)},
    "foreign-lock": {"lock_mhz": (Number(CLOCK.low, CLOCK.high, whole=True, length=2, rising=True), None)},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault of some parts of a host, or of all of it."""

    kind: str
    gpus: tuple[int, ...] | None = None
    cpus: tuple[int, ...] | None = None
    packages: tuple[int, ...] | None = None
    at_s: float = 0.0  # after the host was made
    for_s: float | None = None  # None: until it is cleared
    every_s: float | None = None  # of those that strike; None: once
    values: Mapping[str, object] = field(default_factory=dict)  # what VALUES says of the kind

    def __post_init__(self) -> None:
        """Check all that can be without a host, and fill in the values that are not said."""
        require_fit({key: getattr(self, key) for key in KEYS}, KEYS)
        kind, wanted = faults.KINDS[self.kind], VALUES.get(self.kind, {})
        for part in PARTS:
            if getattr(self, part) is not None and part.removesuffix("s") not in kind.parts:
                right = " or ".join(f"{each}s" for each in kind.parts)
                raise InputError(f"{part}: {self.kind} is of {right or 'the whole host'}")
        if self.every_s is not None and not kind.strikes:
            raise InputError(f"every_s: {self.kind} lasts, it does not strike again")
        if kind.strikes and self.for_s is not None and self.every_s is None:
            raise InputError(f"for_s: {self.kind} strikes once; with every_s it strikes until then")
        require_known(self.values, wanted)
        require_fit(self.values, {key: fits for key, (fits, _) in wanted.items()})
        values = {key: self.values.get(key, default) for key, (_, default) in wanted.items()}
        for key, value in values.items():
            if value is None:
                raise InputError(f"{key} is missing: {self.kind} needs it")
        object.__setattr__(self, "values", values)

    def table(self) -> dict[str, object]:
        """As in a file, complete."""
        parts = {part: None if getattr(self, part) is None else list(getattr(self, part)) for part in PARTS}
        return {"kind": self.kind, **parts, **{key: getattr(self, key) for key in TIMES}, **self.values}

    def check(self, gpu_count: int, cpu: Numbers) -> None:
        """Check it against a host.

        Raises:
            InputError: the host has not all its parts.
        """
        packages = cpu["topology"]["packages"]
        counts = {"gpus": gpu_count, "cpus": packages * cpu["topology"]["cores"], "packages": packages}
        for part, count in counts.items():
            last = max(getattr(self, part) or (0,))
            if last >= count:
                raise InputError(f"{part}: the host has {count}, from 0 to {count - 1}, and not {last}")

    def inject(self, opened: Faults) -> None:
        """Enter it into the host's table.

        Raises:
            InputError: a value makes no sense, or the table is full.
        """
        until_s = 0.0 if self.for_s is None else self.at_s + self.for_s
        numbers = [number for value in self.values.values() for number in _numbers(value)]
        for target, index in self._targets():
            opened.inject(self.kind, target, index, numbers, self.at_s, until_s, self.every_s or 0.0)

    def _targets(self) -> list[tuple[str, int]]:
        chosen = [(part.removesuffix("s"), index) for part in PARTS for index in getattr(self, part) or ()]
        return chosen or [("host", 0)]


def _numbers(value: object) -> list[float]:
    """A value as the plant's numbers."""
    if isinstance(value, str):
        return [faults.FILE_ERRORS[value]]
    if isinstance(value, (list, tuple)) and isinstance(value[0], str):
        return [sum(faults.STUCK[word] for word in value)]
    if isinstance(value, (list, tuple)):
        return [float(number) for number in value]
    assert isinstance(value, (int, float))
    return [float(value)]


def read(table: Mapping[str, Any]) -> Fault:
    """A fault from a file's table; lists of parts are tuples already.

    Raises:
        InputError: it is none.
    """
    if "kind" not in table:
        raise InputError(f"kind is missing, such as {', '.join(list(faults.KINDS)[:3])}")
    require_fit({"kind": table["kind"]}, KEYS)
    values = VALUES.get(table["kind"], {})
    require_known(table, {**KEYS, **values})
    return Fault(
        **{key: table[key] for key in KEYS if key in table},
        values={key: table[key] for key in values if key in table},
    )
