"""A keeper with hosts of its own: their power, what they tell, and a time that only tests move."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.engines.power.adapter import Clock, PowerState
from eagent.engines.power.config import Watching
from eagent.engines.power.role import Switch
from eagent.engines.power.wishes import SECOND_NS, Rules
from eagent.errors import UnavailableError
from eagent.mesh import documents, signer
from eagent.mesh.messages import Document
from eagent.mesh.node import Node
from eagent.mesh.records import Held
from eagent.mesh.table import Table
from eagent.mesh.trade import Terms
from eagent.power.keeper import Keeper
from eagent.power.papers import Papers
from eagent.power.record import Record
from tests.power.site import NOW_NS, standing, table, told, yielded

ACT = Rules(act=True, least_on_s=0, least_off_s=0)
HOSTS = ("n1", "n2", "n3")


class Site:
    """Three hosts of one rack, awake and idle, and a keeper that has heard of them."""

    off_s = 60.0

    def __init__(self, path: Path, rules: Rules = ACT, watching: Watching | None = None) -> None:
        pytest.importorskip("cryptography")
        self.path = path
        self.now_ns = NOW_NS
        self.states = dict.fromkeys(HOSTS, PowerState.ON)
        self.calls: list[tuple[str, str]] = []
        self.looked: list[str] = []
        self.silent: set[str] = set()  # whose BMC does not answer
        self.mute: set[str] = set()  # who says nothing, though it has power
        self.slow: asyncio.Event | None = None  # switching waits for it
        self.halted: str | None = None
        self.rack = table(HOSTS)
        self.signer = signer.make(path / "power.key")
        self.rules = rules
        self.watching = watching or Watching()
        self.keeper = self.begin()

    def begin(self) -> Keeper:
        """A keeper as it starts, with the record that is there."""
        papers = Papers(lambda document: documents.read(document, b"", self.signer.public_key))
        papers.tables["rack"] = self.rack
        node = Node("mgmt", [], "", HOSTS, random.Random(1), 1, papers.read, Terms())
        switches = {host: Switch(self, order, confirm_s=10.0) for order, host in enumerate(HOSTS)}
        clock = Clock(lambda: self.now_ns, self.sleep)
        durable = Record(self.path / "power.jsonl")
        self.keeper = Keeper(
            node,
            papers,
            self.signer,
            switches,
            self.rules,
            self.watching,
            durable,
            clock,
            halted=lambda: self.halted,
        )
        for host in HOSTS:
            self.hear(told(host, standing(host, self.rack), now_ns=self.now_ns))
        return self.keeper

    async def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)
        await asyncio.sleep(0)

    async def state(self, host: str) -> PowerState:
        self.looked.append(host)
        if host in self.silent:
            raise UnavailableError(f"{host}: its BMC does not answer")
        return self.states[host]

    async def power_w(self, host: str) -> float | None:  # noqa: ARG002  # the interface of an adapter
        return None

    async def on(self, host: str) -> None:
        self.calls.append((host, "on"))
        self.states[host] = PowerState.ON

    async def off(self, host: str) -> None:
        self.calls.append((host, "off"))
        if self.slow is not None:
            await self.slow.wait()
        self.states[host] = PowerState.OFF

    def hear(self, *records: Held) -> None:
        for held in records:
            self.keeper.node.gossip.records[held.record.owner] = held

    def hear_anew(self) -> None:
        """Who is awake tells again what it told last."""
        for host, held in self.keeper.node.gossip.records.items():
            if self.states[host] is PowerState.ON and host not in self.mute:
                self.hear(replace(held, born_ns=self.now_ns))

    def hear_yielded(self, host: str) -> None:
        self.hear(yielded(host, self.rack, now_ns=self.now_ns, age_s=0))

    def hear_busy(self, *hosts: str) -> None:
        for host in hosts:
            self.hear(told(host, standing(host, self.rack), busy=4, now_ns=self.now_ns, age_s=0))

    def bring(self, newer: Table) -> None:
        self.rack = newer
        self.keeper.papers.tables["rack"] = newer

    def certificates(self) -> list[Document]:
        return list(self.keeper.node.gossip.documents.values())

    async def step(self, seconds: float = 1.0) -> None:
        """A second, or as many as that, and all that it begins to its end."""
        for _ in range(round(seconds)):
            self.now_ns += SECOND_NS
            self.hear_anew()
            self.keeper.step()
            await self.keeper.role.settled()
            self.keeper.publish()

    async def put_to_sleep(self, *hosts: str) -> None:
        for host in hosts:
            self.hear_yielded(host)
        await self.step()
        assert self.keeper.asleep == tuple(sorted(hosts))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.keeper.durable.close()


def go(course: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await course

    asyncio.run(bounded())
