"""class/powercap of a simulated host: a RAPL zone for each package and, where it has one, its DRAM.

What a file refuses, and with which errno, is that of drivers/powercap of Linux 6: whatever goes wrong beneath a limit
is ENODATA, beneath `enabled` it is ENOSYS.
"""

from __future__ import annotations

import errno
import os
from functools import partial

from eagent.sim._plant import Host
from eagent.sim.attribute import Attribute, Link, Tree, constant, invalid, read_write, truth, whole_number

CLASS = "class/powercap"
DEVICES = "devices/virtual/powercap"
PREFIXES = {"intel-rapl": "intel-rapl", "intel-rapl-mmio": "intel-rapl-mmio", "amd": "intel-rapl"}
CONSTRAINTS = ("long_term", "short_term")


def tree(host: Host) -> Tree:
    """All files of the class; none for a host without processors."""
    processor = host.processor
    if processor is None:
        return {}
    prefix = PREFIXES[processor["powercap"]]
    reads_only = processor["powercap"] == "amd"
    files: Tree = {
        f"{CLASS}/{prefix}": Link(f"../../{DEVICES}/{prefix}"),
        f"{DEVICES}/{prefix}/enabled": constant(1),
    }
    for package in range(processor["packages"]):
        zone = f"{prefix}:{package}"
        place = f"{prefix}/{zone}"
        files[f"{CLASS}/{zone}"] = Link(f"../../{DEVICES}/{place}")
        own = _package(host, package, processor["limit_max_uw"]) if not reads_only else {"enabled": _locked(0)}
        own |= _counter(host, package, f"package-{package}", "energy_uj", processor["energy_range_uj"])
        files |= {f"{DEVICES}/{place}/{name}": attribute for name, attribute in own.items()}
        if not reads_only:
            files[f"{CLASS}/{zone}:0"] = Link(f"../../{DEVICES}/{place}/{zone}:0")
            dram = _dram() | _counter(host, package, "dram", "dram_uj", processor["energy_range_uj"])
            files |= {f"{DEVICES}/{place}/{zone}:0/{name}": attribute for name, attribute in dram.items()}
    return files


def _counter(host: Host, package: int, name: str, key: str, range_uj: int) -> dict[str, Attribute]:
    return {
        "name": constant(name),
        "max_energy_range_uj": constant(range_uj),
        "energy_uj": Attribute(0o400, lambda: host.rapl_view(package)[key]),  # type: ignore[literal-required]
    }


def _package(host: Host, package: int, most_uw: tuple[int, int]) -> dict[str, Attribute]:
    files: dict[str, Attribute] = {
        "enabled": read_write(
            lambda: host.rapl_view(package)["enabled"],
            lambda text, pid: host.set_rapl_enabled(package, truth(text), pid),
        )
    }
    for index, name in enumerate(CONSTRAINTS):
        show_limit = partial(_see, host, package, "limit_uw", index)
        show_window = partial(_see, host, package, "window_us", index)
        store_limit = partial(_store_limit, host, package, index)
        store_window = partial(_store_window, host, package, index)
        files |= {
            f"constraint_{index}_name": constant(name),
            f"constraint_{index}_power_limit_uw": read_write(show_limit, store_limit),
            f"constraint_{index}_max_power_uw": constant(most_uw[index]),
            f"constraint_{index}_time_window_us": read_write(show_window, store_window),
        }
    return files


def _see(host: Host, package: int, key: str, index: int) -> object:
    return host.rapl_view(package)[key][index]  # type: ignore[literal-required]


def _store_limit(host: Host, package: int, index: int, text: str, pid: int) -> None:
    host.set_rapl_limit_uw(package, index, _microunits(text), pid)


def _store_window(host: Host, package: int, index: int, text: str, pid: int) -> None:
    window_us = _microunits(text)
    if window_us >= 2**32:
        raise _no_data()
    host.set_rapl_window_us(package, index, window_us, pid)


def _microunits(text: str) -> int:
    try:
        return whole_number(text)
    except OSError:
        raise invalid(repr(text)) from None


def _dram() -> dict[str, Attribute]:
    """A limit that the firmware has locked, as it is on most servers: it can be read, and nothing can be written."""

    def refuse(text: str, pid: int) -> None:  # noqa: ARG001  # the shape of a store
        _microunits(text)
        raise _no_data()

    return {
        "enabled": _locked(0),
        "constraint_0_name": constant(CONSTRAINTS[0]),
        "constraint_0_power_limit_uw": read_write(lambda: 0, refuse),
        "constraint_0_time_window_us": read_write(lambda: 976, refuse),
        "constraint_0_max_power_uw": constant(41_250_000),
    }


def _locked(value: int) -> Attribute:
    def refuse(text: str, pid: int) -> None:  # noqa: ARG001  # the shape of a store
        truth(text)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    return read_write(lambda: value, refuse)


def _no_data() -> OSError:
    return OSError(errno.ENODATA, os.strerror(errno.ENODATA))
