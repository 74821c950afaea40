"""What the agent's loop needs of those it works with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from eagent.agent.warden import Hello, WardenStatus
from eagent.model import Budget, Device
from eagent.telemetry.records import Record
from eagent.wire import Message


class WardenLink(Protocol):
    """What the loop needs of the warden's client."""

    @property
    def connected(self) -> bool: ...
    @property
    def pid(self) -> int | None: ...
    def close(self) -> None: ...
    def notice(self) -> None: ...
    async def connect(self) -> Hello: ...
    async def status(self) -> WardenStatus: ...
    async def lease(
        self,
        limits_mw: Mapping[str, int],
        clocks_mhz: Mapping[str, int],
        preferences: Mapping[str, str],
        ttl_s: float,
    ) -> int: ...
    async def release(self) -> None: ...
    async def take_back(self, uuids: Collection[str] | None = None) -> None: ...
    async def lock_again(self, uuids: Collection[str]) -> None: ...
    async def set_budget(self, budget: Budget) -> bool: ...
    async def detach(self, uuid: str, by: str, why: str) -> Message: ...
    async def attach(self, uuid: str) -> Message: ...
    async def clear_budget(self) -> None: ...


class Tap(Protocol):
    """Who else wants to have what is drained from the ring."""

    def bind(self, devices: Sequence[Device], *, simulated: bool) -> None:
        """The devices that the records' places mean from now on."""

    def add(self, records: Sequence[Record]) -> None:
        """What has come."""
