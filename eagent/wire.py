"""The messages between agent and warden: msgpack maps over a SOCK_SEQPACKET unix socket, one message per packet.

Every message is a map with `v` (version). A request names its operation in `op`; a reply has `ok`, and if that is
false `error`, one line for a person. Watts are whole milliwatts, as the hardware takes them. Fields are append-only.

    op            request                                              reply
    hello         -                                                    devices, boot_id, simulated, ttl_max_s, budget
    status        -                                                    knobs, clocks, preferences, budget, lease,
                                                                       alarms, kept (what can't be put back: lines)
    lease         limits_mw {uuid: mW} (every writable device), ttl_s  until_ns
                  clocks_mhz {uuid: MHz} (the ceilings)
                  preferences {uuid: name} (of CPU packages)
    release       -                                                    -
    budget_set    budget_mw, fixed_mw, safe_caps_mw {uuid: mW}         in_force
    budget_clear  -                                                    -
    detach        uuid (of a GPU), by, why (texts for a person)        why (the line that is told of it), already
    attach        uuid                                                 already
"""

from __future__ import annotations

from typing import Any

import msgpack

from eagent.errors import ProtocolError
from eagent.model import NO_PREFERENCE, Budget, Device, DeviceKind, Knob

VERSION = 1
MESSAGE_MAX_BYTES = 65_536
NESTED_MAX = 16  # maps and lists within one another: what is nested deeper than Python's stack can't even be shown

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Pack one message.

    Raises:
        ProtocolError: it would not fit into one packet.
    """
    packed: bytes = msgpack.packb({"v": VERSION, **message})
    if len(packed) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"message of {len(packed)} bytes; the most is {MESSAGE_MAX_BYTES}")
    return packed


def decode(packet: bytes) -> Message:
    """Unpack one message and check its frame; the fields are the receiver's to check.

    Raises:
        ProtocolError: not a message of this version.
    """
    if len(packet) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"message of {len(packet)} bytes; the most is {MESSAGE_MAX_BYTES}")
    try:
        message = msgpack.unpackb(packet, strict_map_key=True)
    except Exception as problem:  # msgpack documents only Exception as the base of what it raises
        raise ProtocolError(f"not a msgpack message: {type(problem).__name__}") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ProtocolError("a message is a map with text keys")
    if _is_nested_deeper(message, NESTED_MAX):
        raise ProtocolError(f"a message nested deeper than {NESTED_MAX}")
    if message.get("v") != VERSION:
        raise ProtocolError(
            f"message of version {message.get('v')!r}; this is version {VERSION}: restart agent and warden"
        )
    return message


def _is_nested_deeper(value: object, most: int) -> bool:
    """Whether more than `most` maps and lists stand within one another. Goes level by level, and never deeper."""
    level = [value]
    for _ in range(most + 1):
        if not level:
            return False
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def mw(watts: float) -> int:
    """Milliwatts as the hardware takes them."""
    return round(watts * 1000)


def watts(milliwatts: int) -> float:
    """Watts as people read them."""
    return milliwatts / 1000


def pack_device(device: Device) -> Message:
    """A device as a map, for hello."""
    return {
        "uuid": device.uuid,
        "index": device.index,
        "name": device.name,
        "pci_bus_id": device.pci_bus_id,
        "min_limit_mw": mw(device.min_limit_w),
        "max_limit_mw": mw(device.max_limit_w),
        "default_limit_mw": mw(device.default_limit_w),
        "power_window_s": device.power_window_s,
        "power_period_s": device.power_period_s,
        "power_limit": {"writable": device.power_limit.writable, "why": device.power_limit.why},
        "clock": {"writable": device.clock.writable, "why": device.clock.why},
        "clocks_mhz": device.clocks_mhz,
        "kind": str(device.kind),
        "preference": {"writable": device.preference.writable, "why": device.preference.why},
        "preferences": device.preferences,
        "cpus": device.cpus,
    }


def unpack_device(message: Message) -> Device:
    """The device that `pack_device` packed."""
    return Device(
        uuid=message["uuid"],
        index=message["index"],
        name=message["name"],
        pci_bus_id=message["pci_bus_id"],
        min_limit_w=watts(message["min_limit_mw"]),
        max_limit_w=watts(message["max_limit_mw"]),
        default_limit_w=watts(message["default_limit_mw"]),
        power_window_s=message["power_window_s"],
        power_period_s=message["power_period_s"],
        power_limit=Knob(**message["power_limit"]),
        clock=Knob(**message["clock"]),
        clocks_mhz=tuple(message["clocks_mhz"]),
        # Absent in what a warden says that knows of no packages.
        kind=DeviceKind(message.get("kind", DeviceKind.GPU)),
        preference=Knob(**message["preference"]) if "preference" in message else NO_PREFERENCE,
        preferences=tuple(message.get("preferences", ())),
        cpus=message.get("cpus", 0),
    )


def pack_budget(budget: Budget) -> Message:
    """A budget as a map."""
    return {
        "budget_mw": mw(budget.budget_w),
        "fixed_mw": mw(budget.fixed_w),
        "safe_caps_mw": {uuid: mw(cap_w) for uuid, cap_w in budget.safe_caps_w.items()},
    }


def unpack_budget(message: Message) -> Budget:
    """The budget that `pack_budget` packed.

    Raises:
        ProtocolError: a field is missing or of the wrong type.
    """
    try:
        caps = {str(uuid): watts(_whole(cap)) for uuid, cap in message["safe_caps_mw"].items()}
        return Budget(watts(_whole(message["budget_mw"])), watts(_whole(message["fixed_mw"])), caps)
    except (KeyError, AttributeError, TypeError) as problem:
        raise ProtocolError(f"not a budget: {problem}") from None


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number of milliwatts")
    return value
