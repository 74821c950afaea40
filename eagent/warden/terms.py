"""The power limits of a CPU package, one for each term: as they are now, and as the journal keeps them."""

from __future__ import annotations

from collections.abc import Collection

from eagent.errors import DriverError
from eagent.hardware import rapl
from eagent.hardware.package import Package
from eagent.warden.entry import PRIOR_MAX, Entry


def ceiling_mw(limits_uw: Collection[int]) -> int:
    """What a package with these limits may draw, in whole milliwatts as the loop counts them."""
    return -(-max(limits_uw, default=0) // 1000)


def limits_uw(package: Package) -> list[int]:
    """A package's power limits now; none if one can't be read, or is none that a host could have."""
    try:
        found = [rapl.limit_uw(package.zone, each.index) for each in package.limits] if package.zone else []
    except DriverError:
        return []
    return found if ceiling_mw(found) <= PRIOR_MAX else []


def texts_of(package: Package, limits_uw: Collection[int]) -> dict[str, str]:
    """What the journal keeps of them: each term by its name."""
    return {
        f"{path.parent.name}/{path.name}": str(uw) for path, uw in zip(package.limit_paths, limits_uw, strict=False)
    }


def owner_uw_of(package: Package, entry: Entry) -> list[int]:
    """What an entry says the limits were; none if it is not of the limits that are here."""
    found = [entry.texts.get(f"{path.parent.name}/{path.name}", "") for path in package.limit_paths]
    if not all(text.isdigit() and int(text) // 1000 <= PRIOR_MAX for text in found):
        return []
    return [int(text) for text in found]


def probe(package: Package) -> str | None:
    """Write the limits that are in force already; None if the kernel took them, else its reason."""
    assert package.zone is not None
    try:
        for each in package.limits:
            present_uw = rapl.limit_uw(package.zone, each.index)
            told_uw = rapl.set_limit_uw(package.zone, each.index, present_uw)
            if told_uw != present_uw:
                return f"wrote {present_uw / 1e6:g} W, read back {told_uw / 1e6:g} W"
    except DriverError as problem:
        return str(problem)
    return None
