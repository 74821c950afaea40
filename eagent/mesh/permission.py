"""Rule 3: from limits on devices to watts at the wall, and back. Integer milliwatts, rounded to the safe side."""

from __future__ import annotations

from collections.abc import Iterable


def permission_mw(uncontrolled_mw: int, limits_mw: Iterable[int], efficiency_permille: int) -> int:
    """What a host may draw at the wall: its worst uncontrolled watts + device limits over PSU efficiency.

    Args:
        uncontrolled_mw: The most that all that is not capped draws at the wall.
        limits_mw: The limits in force of its devices, behind the power supply.
        efficiency_permille: The power supply's worst efficiency, 1 to 1000.
    """
    return uncontrolled_mw - (-sum(limits_mw) * 1000 // efficiency_permille)


def limits_mw(permission_mw: int, uncontrolled_mw: int, efficiency_permille: int) -> int:
    """The greatest sum of device limits that stays within a permission at the wall; 0 if nothing is left for them."""
    return max(0, (permission_mw - uncontrolled_mw) * efficiency_permille // 1000)


def binding_mw(ceilings_mw: Iterable[int]) -> int:
    """The permission of a host that belongs to several domains: independent counters, the minimum binds."""
    return min(ceilings_mw)
