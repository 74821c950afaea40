"""What the role asks of every means to switch a host, and how it waits for one to get where it should."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from eagent.errors import UnavailableError

SECOND_NS = 1_000_000_000
HOST_CHARACTERS_MAX = 253  # RFC 1123
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class PowerState(StrEnum):
    """What a host's power is, as somebody else than the host says."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"  # nobody could say; never taken for either


class Adapter(Protocol):
    """One means to switch hosts. Each call ends within a bounded time, and may be cancelled at any point of it."""

    @property
    def off_s(self) -> float:
        """The longest that may pass until a host's power is taken: `state`, `power_w` and `off`, in seconds."""
        ...

    async def state(self, host: str) -> PowerState:
        """Whether the host has power.

        Raises:
            UnavailableError: who should know does not answer.
            RefusedError: it answers, and will not tell us.
        """
        ...

    async def off(self, host: str) -> None:
        """Switch the host off. That it is off, `state` tells.

        Raises:
            UnavailableError: who should do it does not answer.
            RefusedError: it will not do it.
        """
        ...

    async def on(self, host: str) -> None:
        """Switch the host on; the errors are those of `off`."""
        ...

    async def power_w(self, host: str) -> float | None:
        """What the host draws now, in watts; None where nobody measures it. The errors are those of `state`."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """How time is told and waited for: a test has its own."""

    now_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def await_state(
    read: Callable[[], Awaitable[PowerState]], wanted: PowerState, within_s: float, every_s: float, clock: Clock
) -> PowerState:
    """Read the state until it is the wanted one, or the time is over.

    A read that gets no answer is an unknown state: many BMCs fall silent for seconds while their host is switched.

    Returns:
        The last state that was read: at least one, and one at the end of the time. It overruns it by one read at most.

    Raises:
        RefusedError: the reader will not tell us.
    """
    end_ns = clock.now_ns() + round(within_s * SECOND_NS)
    while True:
        try:
            state = await read()
        except UnavailableError:
            state = PowerState.UNKNOWN
        if state is wanted or clock.now_ns() >= end_ns:
            return state
        await clock.sleep(min(every_s, max(0.0, (end_ns - clock.now_ns()) / SECOND_NS)))


def is_host_name(text: str) -> bool:
    """Whether it is a name that a host can have. Such a name is never an option, a path or several words."""
    return len(text) <= HOST_CHARACTERS_MAX and _HOST.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether it is a host's name, an IP address, or the MAC address that a host is woken by."""
    if _MAC.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return is_host_name(text)
    return "%" not in text
