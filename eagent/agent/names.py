"""Devices by the names that people have for them."""

from __future__ import annotations

from collections.abc import Sequence

from eagent.errors import NotFoundError
from eagent.model import Device, DeviceKind

UUID_PREFIX_MIN = 4  # shorter ones name a device by accident


def find_device(devices: Sequence[Device], name: str) -> Device:
    """The device called `name`: gpu0, cpu1, 0 (a GPU), a UUID or an unambiguous prefix of it, a PCI bus id.

    Raises:
        NotFoundError: none is called so, or more than one.
    """
    wanted = name.strip().lower()
    found = [device for device in devices if wanted in _names(device)]
    found = found or [device for device in devices if device.pci_bus_id and _pci(device.pci_bus_id) == _pci(wanted)]
    if not found and len(wanted.removeprefix("gpu-")) >= UUID_PREFIX_MIN:
        found = [device for device in devices if _bare(device.uuid).startswith(_bare(wanted))]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFoundError(f"{name!r} could be {' or '.join(device.label for device in found)}: give more of the UUID")
    known = ", ".join(device.label for device in devices) or "none yet: the warden has not answered"
    raise NotFoundError(f"no device {name!r}; known are {known}")


def _names(device: Device) -> tuple[str, ...]:
    """A bare number is a GPU's, as everywhere in the driver's tools."""
    number = (str(device.index),) if device.kind is DeviceKind.GPU else ()
    return (device.label, device.uuid.lower(), *number)


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-")


def _pci(bus_id: str) -> str:
    """A PCI bus id without a domain of zeros: tools write it with eight digits, with four, or not at all."""
    domain, _, rest = bus_id.strip().lower().rpartition(":")[0].rpartition(":")
    slot = bus_id.strip().lower().rpartition(":")[2]
    domain = domain.lstrip("0")
    return f"{domain}:{rest}:{slot}"
