"""Which simulated library a host's processes find: that with all names, or that of an older driver with fewer."""

from __future__ import annotations

from eagent.sim.host import LIBRARY_NAMES, SimulatedHost, library


def are_missing(host: SimulatedHost) -> bool:
    """Whether the host's library is that with fewer names."""
    return (host.lib / LIBRARY_NAMES[0]).resolve() == library("_nvml535")


def drop(host: SimulatedHost) -> None:
    """Let processes that start from now on find the library with fewer names.

    Raises:
        DriverError: it is not built.
    """
    _link(host, "_nvml535")


def restore(host: SimulatedHost) -> None:
    """Let processes that start from now on find the library with all names.

    Raises:
        DriverError: it is not built.
    """
    _link(host, "_nvml")


def _link(host: SimulatedHost, module: str) -> None:
    wanted = library(module)
    for name in LIBRARY_NAMES:
        fresh = host.lib / f"{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(wanted)
        fresh.replace(host.lib / name)
