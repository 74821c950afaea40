"""What the warden's word adds to what the ring tells of a device, and which devices an operator's names mean. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eagent.agent.foreign import foreign_limit_w
from eagent.agent.names import find_device
from eagent.agent.warden import ClockStatus, KnobStatus, PreferenceStatus, Told
from eagent.aim import Aim as Named
from eagent.errors import InputError
from eagent.model import Device, DeviceKind, DeviceState, Knob, Reading
from eagent.policy.goals import Aim, Hint
from eagent.wire import watts


def as_told(device: Device, told: Told) -> Device:
    """A device whose knobs can be written or not as the warden says now: privilege, disks and drivers come and go."""
    return replace(
        device,
        power_limit=_knob(device.power_limit, told.limit),
        clock=_knob(device.clock, told.clock),
        preference=_knob(device.preference, told.preference),
    )


def _knob(known: Knob, told: KnobStatus | ClockStatus | PreferenceStatus | None) -> Knob:
    return known if told is None else Knob(told.writable, told.why)


def with_knobs(state: DeviceState, told: Told, frequency_mhz: Reading, *, is_read_back: bool) -> DeviceState:
    """A device's state with its knobs in it.

    Args:
        state: As the ring tells it.
        told: What the warden said last.
        frequency_mhz: How fast its CPUs run.
        is_read_back: Whether what a knob is at is read now.
    """
    limit, clock = told.limit, told.clock
    ceiling = clock if state.device.kind is DeviceKind.CPU and is_read_back else None
    return replace(
        state,
        prior_limit_w=None if limit is None or limit.baseline_mw is None else watts(limit.baseline_mw),
        foreign_limit_w=foreign_limit_w(limit),
        clock_held=clock is not None and clock.ours_mhz is not None,
        ceiling_mhz=None if ceiling is None else ceiling.held_mhz,
        prior_ceiling_mhz=None if ceiling is None else ceiling.baseline_mhz,
        frequency_mhz=frequency_mhz,
    )


def consented(devices: Sequence[Device], names: Sequence[str]) -> frozenset[str]:
    """The UUIDs of the devices that are named, or of all if "all" is. A name that is not here names nobody."""
    found = devices if "all" in names else _named(devices, names)
    return frozenset(device.uuid for device in found)


def aims(devices: Sequence[Device], wanted: Sequence[Named]) -> tuple[Aim, ...]:
    """What is wanted of some jobs, with the GPUs that are named; who is not here is left out."""
    return tuple(
        Aim(
            each.job,
            frozenset(device.uuid for device in _named(devices, each.gpus)) if each.gpus else None,
            each.slowdown,
            each.first_token_p99_s,
            each.between_tokens_p99_s,
        )
        for each in wanted
    )


def heeded(hints: Sequence[Hint], *, acts: bool) -> tuple[Hint, ...]:
    """The hints, with what they let others do only where they are acted on; what they ask for is told anyway."""
    return tuple(each if acts else replace(each, wish=each.wish.bounds) for each in hints)


def _named(devices: Sequence[Device], names: Sequence[str]) -> Iterator[Device]:
    for name in names:
        with contextlib.suppress(InputError):
            yield find_device(devices, name)


def resolve_gangs(
    devices: Sequence[Device], gangs: Sequence[Sequence[str]]
) -> tuple[tuple[frozenset[str], ...], str | None]:
    """The gangs as sets of UUIDs, without those that name somebody who is not here, of whom the second value tells."""
    resolved, problem = [], None
    gpus = [device for device in devices if device.kind is DeviceKind.GPU]
    for names in gangs:
        try:
            resolved.append(frozenset(find_device(gpus, name).uuid for name in names))
        except InputError as unknown:
            problem = f"gang {', '.join(names)} is ignored: {unknown}"
    return tuple(resolved), problem
