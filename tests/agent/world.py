"""One host of a site and its member, with a warden and a way to the others that a test plays. No time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from eagent.agent.member import Member
from eagent.config import Config, Mesh
from eagent.demo.site import DOMAIN, Site
from eagent.mesh.bounds import Counters
from eagent.model import Budget

W = 1000
FIXED_W, SAFE_W, RESERVE_W, NAMEPLATE_W = 500.0, 100.0, 700.0, 1300.0
TURNS = 20_000  # of the event loop, before a test gives up


class FakeTransport:
    """Keeps what is sent; a test says what arrives."""

    def __init__(self, name: str, secret_key: str, roster: Any, listen: str | None) -> None:  # noqa: ARG002
        self.roster = roster
        self.counters = Counters()
        self.sent: list[tuple[str, bytes]] = []
        self.arriving: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.started = self.closed = False

    async def start(self) -> None:
        self.started = True

    async def close(self) -> None:
        self.closed = True

    async def receive(self) -> tuple[str, bytes]:
        return await self.arriving.get()

    def send(self, peer: str, payload: bytes) -> bool:
        self.sent.append((peer, payload))
        return True

    def update_roster(self, roster: Any) -> None:
        self.roster = roster


class World:
    """One host of a site, n01, with its member."""

    def __init__(self, new_host: Any, path: Path, domains: tuple[str, ...] = (DOMAIN,), **options: Any) -> None:
        self.path = path
        (path / "site").mkdir()
        self.site = Site(path / "site", {"n01": "127.0.0.1:7433", "n02": "127.0.0.2:7433"})
        self.home = self.site.home("n01")
        self.mesh = Mesh(
            domains,
            self.site.signer.public_key.hex(),
            reserve_w=RESERVE_W,
            nameplate_w=NAMEPLATE_W,
            name="n01",
            roster=self.home / "roster.toml",
            key_file=self.home / "host.key",
            tables=self.home / "tables",
            psu_efficiency=1.0,
        )
        self.options = {"fixed_w": FIXED_W, "safe_cap_w": SAFE_W, "mesh": self.mesh, **options}
        self.host = new_host(**self.options)
        self.transports: list[FakeTransport] = []
        self.now_s = 100.0
        self.member = self.born(self.mesh)

    def born(self, mesh: Mesh) -> Member:
        """A new process: nothing is known but what is on the disk and in the warden."""
        self.member = Member(
            self.host.governor,
            replace(Config(), **self.options),
            mesh,
            self.path / "mesh",
            clock=lambda: int(self.now_s * 1e9),
            sleep=self.sleep,
            make_transport=self.make_transport,
        )
        return self.member

    def make_transport(self, *wished: Any) -> Any:
        self.transports.append(FakeTransport(*wished))
        return self.transports[-1]

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        await asyncio.sleep(0)

    @property
    def warden(self) -> Any:
        return self.host.warden

    @property
    def governor(self) -> Any:
        return self.host.governor

    @property
    def domain(self) -> dict[str, Any]:
        found = self.member.status()["domains"]
        return found[0] if found else {}

    def table(self, epoch: int = 1, grant_w: float = 1000.0, reserve_w: float = RESERVE_W, life: str = "") -> None:
        """Sign a table of this host alone and put it into its directory."""
        lives = {"n01": life or self.domain["life"]}
        text = self.site.table(epoch, 5000, 0, reserve_w, {"n01": grant_w}, lives=lives)
        self.site.tell("n01", epoch, text)

    async def turn(self, *watts: float) -> None:
        self.now_s += 1
        await self.host.turn(self.now_s, *watts)

    async def until(self, condition: Callable[[], Any]) -> None:
        for turn in range(TURNS):
            if condition():
                return
            if turn % 20 == 0:
                await self.turn()
            await asyncio.sleep(0)
        raise AssertionError(self.member.alarms)

    def live(self, work: Callable[[World], Any]) -> None:
        """Let the member run while `work` is done."""

        async def run() -> None:
            stopping = asyncio.Event()
            await self.turn()
            task = asyncio.create_task(self.member.run(stopping))
            try:
                await work(self)
            finally:
                stopping.set()
                await asyncio.wait_for(task, 30)

        asyncio.run(run())

    @property
    def asked_w(self) -> list[float]:
        """All envelopes and sums of leases that the warden was asked for, in their order."""
        return [
            entry[1].envelope_w if entry[0] == "budget_set" else sum(entry[1].values()) / W
            for entry in self.warden.log
            if entry[0] in ("budget_set", "lease")
        ]


def envelope(watts: float) -> Budget:
    return Budget(FIXED_W + watts, FIXED_W, {"GPU-00aa": SAFE_W, "GPU-01aa": SAFE_W})


def begun(world: World) -> bool:
    return world.governor.waiting is None


@contextmanager
def running(world: World) -> Iterator[list[Callable[[World], Any]]]:
    """Let what is appended be done after the host has begun."""
    steps: list[Callable[[World], Any]] = []
    yield steps

    async def work(world: World) -> None:
        await world.until(lambda: begun(world))
        for step in steps:
            await step(world)

    world.live(work)
