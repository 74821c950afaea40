"""Whether a budget can be kept on these devices, and a lease under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eagent.errors import ProtocolError, RefusedError
from eagent.model import Budget, Device, DeviceKind
from eagent.warden import durable
from eagent.wire import mw, unpack_budget, watts

BUDGET_MAX_W = 1_000_000.0  # a host; more is a mistake


def safe_cap_mw(budget: Budget, device: Device) -> int:
    """Where a device falls to under a budget; another one may stand in its place now, with other limits.

    A package's least limit is no bound of the hardware's, and moves with what its owner has set.
    """
    least_w = 0.0 if device.kind is DeviceKind.CPU else device.min_limit_w
    return mw(min(max(budget.safe_cap_w(device), least_w), device.max_limit_w))


def uncapped_mw(budget: Budget, devices: Sequence[Device]) -> int:
    """What of the envelope is not to be had for limits, because it can't be limited."""
    return sum(mw(budget.uncapped_w(device)) for device in devices) + mw(budget.absent_w(devices))


def left_alone_mw(count: int, devices: Sequence[Device]) -> int:
    """What so many GPUs may draw that did not answer at the start, as far as those tell that did."""
    return count * max((mw(device.max_limit_w) for device in devices), default=0)


def check_budget(budget: Budget, devices: Sequence[Device], left_alone: int = 0) -> None:
    """Refuse a budget that could not be kept when nobody governs: safe caps, what can't be capped, and fixed draw.

    Args:
        budget: The budget.
        devices: All that are governed.
        left_alone: What GPUs may draw that are not, because they did not answer, in mW.

    Raises:
        RefusedError: one line with what is wrong and what would be right.
    """
    if not 0 < budget.budget_w <= BUDGET_MAX_W or not 0 <= budget.fixed_w <= BUDGET_MAX_W:
        raise RefusedError(
            f"a budget of {budget.budget_w:g} W with {budget.fixed_w:g} W fixed draw: must be above 0, "
            f"the fixed draw at least 0, and neither above {BUDGET_MAX_W:g} W"
        )
    strangers = budget.safe_caps_w.keys() - {device.uuid for device in devices}
    if strangers and not left_alone:  # they may be those that do not answer
        raise RefusedError(f"safe caps for {len(strangers)} devices that are not here, such as {min(strangers)[:80]!r}")
    writable = [device for device in devices if device.power_limit.writable]
    if not writable:
        reasons = "; ".join(f"{device.label} power limit: {device.power_limit.why}" for device in devices)
        raise RefusedError(f"no power limit can be set on this host, so no budget can be kept: {reasons}")
    for device in devices:
        if not device.max_limit_w and device.kind is DeviceKind.GPU:
            raise RefusedError(
                f"{device.label} tells no maximum draw, so no budget can be kept: {device.power_limit.why}"
            )
    for device in writable:
        if device.uuid in budget.safe_caps_w:
            check_range(device, mw(budget.safe_caps_w[device.uuid]), "safe cap")
    safe_w = watts(sum(safe_cap_mw(budget, device) for device in writable))
    uncapped_w = sum(budget.uncapped_w(device) for device in devices)
    least_w = safe_w + uncapped_w + watts(left_alone) + budget.fixed_w
    if mw(budget.budget_w) < mw(least_w):  # to the milliwatt: sums of floats are off by less
        parts = f"{safe_w:g} W of safe caps + {budget.fixed_w:g} W fixed draw"
        if uncapped_w:
            parts += f" + {uncapped_w:g} W of devices that can't be capped"
        if left_alone:
            parts += f" + {watts(left_alone):g} W of GPUs that do not answer"
        raise RefusedError(
            f"a budget of {budget.budget_w:g} W can't be kept: {parts} are {least_w:g} W; set at least that"
        )


def load_budget(path: Path, devices: Sequence[Device], left_alone: int = 0) -> tuple[Budget | None, str]:
    """The budget that stands on the disk, None if there is none; and what is wrong with it, "" if nothing is.

    `left_alone` is as in `check_budget`.
    """
    try:
        content = durable.load(path)
        if content is None:
            return None, ""
        budget = unpack_budget(content)
    except (ProtocolError, OSError) as problem:
        # What was promised is unknown: the least that the devices can be held at keeps whatever it was.
        least = Budget(0.0, 0.0, {each.uuid: each.min_limit_w for each in devices if each.power_limit.writable})
        least_w = sum(least.safe_caps_w.values()) + watts(uncapped_mw(least, devices) + left_alone)
        return replace(least, budget_w=least_w), (
            f"the budget can't be read, all limits are held at their minimum: {problem}"
        )
    try:
        check_budget(budget, devices, left_alone)
    except RefusedError as problem:  # it was set when it could be kept: what can be is, and it is said
        return budget, f"the budget that stands can't be kept as it is: {problem}"
    return budget, ""


def check_lease(
    limits_mw: Mapping[str, int],
    ttl_s: float,
    ttl_max_s: float,
    devices: Sequence[Device],
    envelope_mw: int | None,
    uncapped: int,
) -> None:
    """Refuse a lease that breaks a promise.

    Args:
        limits_mw: What it holds, per UUID.
        ttl_s: For how long.
        ttl_max_s: And for how long at most.
        devices: All that are governed.
        envelope_mw: What a budget leaves for the limits of all; None: there is none.
        uncapped: What of it is not to be had for limits, in mW.

    Raises:
        RefusedError: not the whole vector, out of range, or above the envelope.
    """
    writable = {device.uuid: device for device in devices if device.power_limit.writable}
    if not 0 < ttl_s <= ttl_max_s:
        raise RefusedError(f"a lease of {ttl_s:g} s: must be above 0 and at most {ttl_max_s:g} s")
    for device in devices:
        if device.uuid in limits_mw and device.uuid not in writable:
            raise RefusedError(
                f"a lease names {device.label}, whose power limit can't be set: {device.power_limit.why}"
            )
    if envelope_mw is not None and limits_mw.keys() != writable.keys():
        raise RefusedError(f"under a budget a lease names each of the {len(writable)} writable devices and no other")
    if not limits_mw.keys() <= writable.keys():
        raise RefusedError("a lease names a device that is not here or whose power limit can't be set")
    for uuid, limit_mw in limits_mw.items():
        check_range(writable[uuid], limit_mw)
    total_mw = sum(limits_mw.values()) + uncapped
    if envelope_mw is not None and total_mw > envelope_mw:
        raise RefusedError(f"limits of {watts(total_mw):g} W in sum are above the envelope of {watts(envelope_mw):g} W")


def check_range(device: Device, limit_mw: int, what: str = "limit") -> None:
    """Refuse a limit that the device does not take.

    Raises:
        RefusedError: it is outside of the device's range, or a package's is not in whole watts.
    """
    if not mw(device.min_limit_w) <= limit_mw <= mw(device.max_limit_w):
        raise RefusedError(
            f"{device.label}: a {what} of {watts(limit_mw):g} W is outside of its range, "
            f"{device.min_limit_w:g} to {device.max_limit_w:g} W"
        )
    if device.kind is DeviceKind.CPU and limit_mw % 1000 and limit_mw != mw(device.max_limit_w):
        raise RefusedError(f"{device.label}: a {what} of {watts(limit_mw):g} W: of a CPU it must be in whole watts")
