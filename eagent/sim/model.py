"""GPU models: the TOML files beside this package that give the plant its numbers."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagent.errors import InputError

MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class Number:
    """What a key may hold: a number, or `length` of them, within [low, high]; `rising`: in order."""

    low: float
    high: float
    whole: bool = False
    length: int | None = None
    rising: bool = False

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        if self.length is None:
            return None if self._fits(value) else f"must be {self._words()}"
        if not isinstance(value, list) or len(value) != self.length or not all(map(self._fits, value)):
            return f"must be a list of {self.length}, each {self._words()}"
        if self.rising and value != sorted(value):
            return "must be a range: the lower end first"
        return None

    def _fits(self, value: object) -> bool:
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def _words(self) -> str:
        return f"{'a whole number' if self.whole else 'a number'} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Word:
    """A key that holds one of a few words."""

    choices: tuple[str, ...]

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        return None if value in self.choices else f"must be one of {', '.join(self.choices)}"


def _whole(low: float, high: float) -> Number:
    return Number(low, high, whole=True)


def _range(low: float, high: float) -> Number:
    return Number(low, high, length=2, rising=True)


WATTS = Number(0, 10_000)
LIMIT = Number(1, 4_000)
CLOCK = _whole(1, 10_000)
CALL = Number(0, 1)
ID = _whole(0, 0xFFFFFFFF)

Sections = Mapping[str, Mapping[str, Number | Word | None]]

# What each number means stands in the files. None: a text.
KEYS: Sections = {
    "identity": {
        "name": None,
        "architecture": _whole(0, 255),
        "brand": _whole(0, 255),
        "compute_capability": Number(0, 99, whole=True, length=2),
        "pci_device_id": ID,
        "pci_subsystem_id": ID,
        "memory_b": _whole(2**30, 2**44),
    },
    "limits": {"min_w": LIMIT, "max_w": LIMIT, "default_w": LIMIT},
    "clocks": {
        "min_mhz": CLOCK,
        "max_mhz": CLOCK,
        "base_mhz": CLOCK,
        "step_mhz": Number(0.5, 1000),
        "idle_mhz": CLOCK,
        "memory_mhz": CLOCK,
        "feed_mhz": CLOCK,
        "delay_s": _range(0, 10),
    },
    "power": {
        "deep_idle_w": WATTS,
        "base_w": WATTS,
        "memory_w": WATTS,
        "compute_w": WATTS,
        "leak_w_per_k": Number(0, 100),
        "leak_reference_c": Number(-50, 150),
        "volt_min": Number(0, 1),
        "volt_corner_mhz": Number(0, 10_000),
        "volt_exponent": Number(0.1, 10),
        "rise_s": Number(0, 0.4),
    },
    "heat": {
        "resistance_k_per_w": Number(0, 10, length=3),
        "time_s": Number(0.005, 1e5, length=3),
        "inlet_c": Number(-50, 100),
        "slow_c": Number(0, 250),
        "stop_c": Number(0, 250),
    },
    "cap": {
        "target": Number(0.5, 1),
        "clamp": Number(1, 3),
        "steps": _whole(1, 100),
        "memory_s": Number(0.01, 10),
        "delay_s": _range(0, 10),
    },
    "sensor": {
        "period_s": Number(0.01, 0.5),
        "window_s": Number(0.005, 0.12),
        "jitter": Number(0, 0.1),
        "gain": _range(0.5, 2),
        "offset_w": _range(-50, 50),
        "noise_w": WATTS,
        "energy_gain": _range(0.9, 1.1),
        "average_window_s": Number(0, 1),
        "plain": Word(("instant", "average")),
        "counter": Word(("yes", "no")),
        "sample_period_s": Number(0.005, 0.5),
    },
    "calls": {
        "power_s": CALL,
        "clock_s": CALL,
        "utilisation_s": CALL,
        "memory_s": CALL,
        "other_s": CALL,
        "set_s": _range(0, 1),
    },
}


def names() -> tuple[str, ...]:
    """The models that there are."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.toml")))


def load(name: str) -> dict[str, dict[str, Any]]:
    """Read one model by name.

    Raises:
        InputError: there is no such model, or its file is wrong.
    """
    if name not in names():
        raise InputError(f"no GPU model {name!r}{hint(name, names())}; there are: {', '.join(names())}")
    return parse((MODELS / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


def parse(text: str, where: str) -> dict[str, dict[str, Any]]:
    """Read a model from TOML and check each of its numbers.

    Returns:
        section -> key -> value, complete, in the units that the keys name.

    Raises:
        InputError: it is not TOML, a key is missing or unknown, or a number is impossible. `where` is named in it.
    """
    model = read(text, where, KEYS)
    require_sense(model, where)
    return model


def read(text: str, where: str, sections: Sections) -> dict[str, dict[str, Any]]:
    """Read TOML that holds exactly these sections and keys, each within its bounds.

    Raises:
        InputError: it does not.
    """
    return whole(document(text, where), where, sections)


def document(text: str, where: str) -> dict[str, Any]:
    """What TOML holds.

    Raises:
        InputError: it is none.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is one; a number of a million digits another
        raise InputError(f"{where}: not TOML: {error}") from None


def whole(found: Mapping[str, Any], where: str, sections: Sections) -> dict[str, dict[str, Any]]:
    """`found`, if it holds exactly these sections and keys, each within its bounds.

    Raises:
        InputError: it does not.
    """
    _require_known(found, sections, where)
    for section, keys in sections.items():
        _require_there(section, found, where, "section")
        for key in keys:
            _require_there(key, found[section], f"{where}: [{section}]", "key")
    return {section: dict(values) for section, values in found.items()}


def changed(
    model: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any], where: str, sections: Sections
) -> dict[str, dict[str, Any]]:
    """`model` with other values at some of its keys, each within its bounds; whether they make sense is not looked at.

    Raises:
        InputError: a section or key is unknown, or a value is impossible. `where` is named in it.
    """
    _require_known(changes, sections, where)
    return {section: {**keys, **changes.get(section, {})} for section, keys in model.items()}


def _require_known(found: Mapping[str, Any], sections: Sections, where: str) -> None:
    """Nothing stands there but these sections and keys, and each value fits."""
    for section, values in found.items():
        if section not in sections:
            raise InputError(f"{where}: unknown section {section!r}{hint(section, sections)}")
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: {section} must be a section")
        for key, value in values.items():
            if key not in sections[section]:
                raise InputError(f"{where}: [{section}]: unknown key {key!r}{hint(key, sections[section])}")
            _require_fit(value, sections[section][key], f"{where}: {section}.{key}")


def _require_there(name: str, found: Mapping[str, Any], where: str, what: str) -> None:
    if name not in found:
        raise InputError(f"{where}: {what} {name!r} is missing")


def _require_fit(value: object, kind: Number | Word | None, where: str) -> None:
    if kind is None:
        if not (isinstance(value, str) and 0 < len(value.encode()) < 64):
            raise InputError(f"{where} must be a text of 1 to 63 bytes")
    elif wrong := kind.wrong(value):
        raise InputError(f"{where} {wrong}")


def require_sense(model: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Check what must hold between the numbers of a model.

    Raises:
        InputError: it does not. `where` is named in it.
    """
    limits, clocks, power, heat = model["limits"], model["clocks"], model["power"], model["heat"]
    sensor = model["sensor"]
    if not limits["min_w"] <= limits["default_w"] <= limits["max_w"]:
        raise InputError(f"{where}: [limits] must have min_w <= default_w <= max_w")
    if not clocks["min_mhz"] <= clocks["idle_mhz"] < clocks["max_mhz"]:
        raise InputError(f"{where}: [clocks] must have min_mhz <= idle_mhz < max_mhz")
    if not clocks["min_mhz"] <= clocks["base_mhz"] <= clocks["max_mhz"]:
        raise InputError(f"{where}: [clocks] must have min_mhz <= base_mhz <= max_mhz")
    steps, rest = divmod(clocks["max_mhz"] - clocks["min_mhz"], clocks["step_mhz"])
    if rest or steps > 255:
        raise InputError(f"{where}: [clocks] must reach from min_mhz to max_mhz in at most 255 whole steps")
    if power["volt_corner_mhz"] >= clocks["max_mhz"]:
        raise InputError(f"{where}: power.volt_corner_mhz must be below clocks.max_mhz")
    if power["leak_w_per_k"] * sum(heat["resistance_k_per_w"]) >= 0.9:
        raise InputError(f"{where}: leakage makes more heat than the cooler sheds: the temperature would run away")
    if not heat["inlet_c"] < heat["slow_c"] <= heat["stop_c"]:
        raise InputError(f"{where}: [heat] must have inlet_c < slow_c <= stop_c")
    if sensor["plain"] == "average" and not sensor["average_window_s"]:
        raise InputError(f'{where}: sensor.plain = "average" needs sensor.average_window_s')


def hint(word: str, choices: Iterable[str]) -> str:
    """What somebody may have meant by a word that is none of the choices, for the end of an error."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
