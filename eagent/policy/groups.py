"""Devices that are decided on together: the gangs of a host, and every other device alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eagent.model import DeviceState, HostState


def grouped(state: HostState, wanted: Callable[[DeviceState], bool]) -> Iterator[tuple[DeviceState, ...]]:
    """The wanted devices, those of a gang together; gangs that share a device are one."""
    gang_of: dict[str, set[str]] = {}
    for gang in state.gangs:
        merged = set(gang).union(*(gang_of.get(uuid, ()) for uuid in gang))
        gang_of.update(dict.fromkeys(merged, merged))
    done: set[str] = set()
    devices = [each for each in state.devices if wanted(each)]
    for each in devices:
        if each.device.uuid in done:
            continue
        mates = gang_of.get(each.device.uuid, {each.device.uuid})
        members = tuple(other for other in devices if other.device.uuid in mates)
        done.update(member.device.uuid for member in members)
        yield members
