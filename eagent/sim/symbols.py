"""Which simulated library a host's processes find: that with all names, or that of an older driver with fewer."""

from __future__ import annotations

from pathlib import Path

from eagent.errors import DriverError
from eagent.sim.host import LIBRARY_NAMES, SimulatedHost

WHOLE, OLDER = "_nvml.", "_nvml535."  # how the names of the two begin, which lie side by side


def are_missing(host: SimulatedHost) -> bool:
    """Whether the host's library is that with fewer names."""
    return _library(host).name.startswith(OLDER)


def drop(host: SimulatedHost) -> None:
    """Let processes that start from now on find the library with fewer names.

    Raises:
        DriverError: it is not built.
    """
    if not are_missing(host):
        _link(host, WHOLE, OLDER)


def restore(host: SimulatedHost) -> None:
    """Let processes that start from now on find the library with all names.

    Raises:
        DriverError: it is not built.
    """
    if are_missing(host):
        _link(host, OLDER, WHOLE)


def _library(host: SimulatedHost) -> Path:
    return (host.lib / LIBRARY_NAMES[0]).resolve()


def _link(host: SimulatedHost, before: str, after: str) -> None:
    library = _library(host)
    wanted = library.with_name(library.name.replace(before, after, 1))
    if not wanted.is_file():
        raise DriverError(f"{wanted} is not built: install eagent again")
    for name in LIBRARY_NAMES:
        fresh = host.lib / f"{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(wanted)
        fresh.replace(host.lib / name)
