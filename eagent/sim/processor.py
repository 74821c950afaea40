"""Processor models: the TOML files in models/cpu that give the plant the host's CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eagent.errors import InputError
from eagent.sim import model
from eagent.sim.model import WATTS, Number

MODELS = model.MODELS / "cpu"
DRIVERS = ("acpi-cpufreq", "intel_pstate")
POWERCAPS = ("intel-rapl", "intel-rapl-mmio", "amd")
CPUS_MAX = 256

KHZ = Number(1, 20_000_000, whole=True)

# What each number means stands in the files. None: a text.
KEYS: model.Sections = {
    "identity": {"name": None, "driver": None, "powercap": None},
    "topology": {
        "packages": Number(1, 4, whole=True),
        "cores": Number(1, CPUS_MAX, whole=True),
        "threads_per_gpu": Number(0, CPUS_MAX),
    },
    "clocks": {"min_khz": KHZ, "max_khz": KHZ, "epp_drop": Number(0, 1)},
    "power": {
        "idle_w": WATTS,
        "core_w": Number(0, 100),
        "dram_idle_w": WATTS,
        "dram_w": WATTS,
        "volt_min": Number(0, 1),
        "volt_corner_khz": Number(0, 20_000_000),
        "volt_exponent": Number(0.1, 10),
    },
    "limits": {
        "power_uw": Number(1, 4_000_000_000, whole=True, length=2),
        "window_us": Number(1, 1_000_000_000, whole=True, length=2),
        "energy_range_uj": Number(1_000_000, 2**48, whole=True),
    },
}


def names() -> tuple[str, ...]:
    """The models that there are."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.toml")))


def load(name: str, powercap: str | None = None) -> dict[str, dict[str, Any]]:
    """Read one model by name, with another kind of powercap zones if that is asked for.

    Raises:
        InputError: there is no such model or kind, or the model's file is wrong.
    """
    if name not in names():
        raise InputError(f"no processor model {name!r}; there are: {', '.join(names())}")
    found = parse((MODELS / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
    if powercap is not None:
        found["identity"]["powercap"] = powercap
        _require_choices(found, "powercap")
    return found


def parse(text: str, where: str) -> dict[str, dict[str, Any]]:
    """Read a model from TOML and check each of its numbers.

    Returns:
        section -> key -> value, complete, in the units that the keys name.

    Raises:
        InputError: it is not TOML, a key is missing or unknown, or a number is impossible. `where` is named in it.
    """
    found = model.read(text, where, KEYS)
    require_sense(found, where)
    return found


def require_sense(found: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Check what must hold between the numbers of a model.

    Raises:
        InputError: it does not. `where` is named in it.
    """
    _require_choices(found, where)
    clocks, power, topology = found["clocks"], found["power"], found["topology"]
    if not 0.01 * clocks["max_khz"] <= clocks["min_khz"] < clocks["max_khz"]:
        raise InputError(f"{where}: [clocks] must have min_khz below max_khz and not below a hundredth of it")
    if power["volt_corner_khz"] >= clocks["max_khz"]:
        raise InputError(f"{where}: power.volt_corner_khz must be below clocks.max_khz")
    if topology["packages"] * topology["cores"] > CPUS_MAX:
        raise InputError(f"{where}: [topology] must have at most {CPUS_MAX} cores in all packages together")


def _require_choices(found: Mapping[str, Mapping[str, Any]], where: str) -> None:
    for key, choices in (("driver", DRIVERS), ("powercap", POWERCAPS)):
        if found["identity"][key] not in choices:
            raise InputError(f"{where}: {key} {found['identity'][key]!r}: must be one of {', '.join(choices)}")
