"""A station around a node and a transport that a test plays: what is done in which order, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eagent.errors import ConfigError, InputError, RefusedError
from eagent.mesh import codec
from eagent.mesh.effects import Announce, Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.messages import Ask, Delta, Document
from eagent.mesh.state import State
from eagent.mesh.station import Station

ASK = Ask("rack", 1, "a1", 5)
LOWER, STORE, RAISE = Lower("rack", 5), Store("rack", State("a1")), Raise("rack", 6)
TURNS = 1000


class FakeNode:
    """Writes down what it is told, and answers as scripted."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.next: dict[Any, list[Effect]] = {}

    def _note(self, *told: Any) -> list[Effect]:
        self.log.append(told)
        return self.next.pop(told[:2], [])

    def on_message(self, _: int, sender: str, message: Any) -> list[Effect]:
        return self._note("heard", sender, message)

    def on_tick(self, now_ns: int) -> list[Effect]:
        return self._note("tick", now_ns)

    def done(self, _: int, effect: Any) -> list[Effect]:
        return self._note("done", effect)

    def failed(self, _: int, effect: Any) -> list[Effect]:
        return self._note("failed", effect)


class FakeTransport:
    def __init__(self) -> None:
        self.arriving: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.sent: list[tuple[str, bytes]] = []
        self.state = "new"
        self.problem: Exception | None = None

    async def start(self) -> None:
        if self.problem:
            raise self.problem
        self.state = "started"

    async def close(self) -> None:
        self.state = "closed"

    async def receive(self) -> tuple[str, bytes]:
        return await self.arriving.get()

    def send(self, peer: str, payload: bytes) -> bool:
        if len(payload) > 100:
            raise InputError("too long")
        self.sent.append((peer, payload))
        return True


class World:
    """A station that runs while a test works."""

    def __init__(self) -> None:
        self.node, self.transport = FakeNode(), FakeTransport()
        self.performed: list[Any] = []
        self.problems: list[Exception | None] = []  # of the next effects
        self.hold = asyncio.Event()
        self.hold.set()
        made: Any = self.node, self.transport
        self.station = Station(*made, self.perform, clock=lambda: 7, sleep=self.sleep)
        self.stopping = asyncio.Event()
        self.rounds = 0

    async def sleep(self, seconds: float) -> None:
        assert 0 <= seconds <= 1
        self.rounds += 1
        await asyncio.sleep(0)

    async def perform(self, effect: Any) -> None:
        self.performed.append(effect)
        await self.hold.wait()
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem

    async def until(self, condition: Callable[[], Any]) -> None:
        for _ in range(TURNS):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError(self.node.log[-5:])


def live(work: Callable[[World], Awaitable[None]], *beside: Any) -> World:
    async def run() -> World:
        world = World()
        task = asyncio.create_task(world.station.run(world.stopping, *beside))
        try:
            await work(world)
        finally:
            world.stopping.set()
            await asyncio.wait([task])
        assert world.transport.state == "closed"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await task
        return world

    return asyncio.run(run())


def test_effects_are_brought_about_one_by_one_and_in_order() -> None:
    async def work(world: World) -> None:
        world.node.next["done", LOWER] = [STORE, Send("n2", ASK)]
        world.hold.clear()
        world.station.do([LOWER, RAISE, Announce(Standing("rack", "a1", 1, Stage.OPEN, ""))])
        await world.until(lambda: world.performed)
        world.transport.arriving.put_nowait(("n2", codec.encode(ASK)))
        await world.until(lambda: ("heard", "n2", ASK) in world.node.log)  # messages come while an effect is under way
        assert (world.performed, world.transport.sent) == ([LOWER], [])
        world.hold.set()
        await world.until(lambda: ("done", STORE) in world.node.log)
        assert world.performed == [LOWER, RAISE, STORE]
        assert world.transport.sent == [("n2", codec.encode(ASK))]

    live(work)


def test_what_does_not_come_about_is_told_to_the_node_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        world.problems = [RefusedError("no"), RefusedError("no"), RefusedError("never"), None]
        world.station.do([RAISE] * 3)
        await world.until(lambda: world.node.log.count(("failed", RAISE)) == 3)
        assert world.station.problem == "never"
        world.station.do([RAISE])
        await world.until(lambda: ("done", RAISE) in world.node.log)
        assert world.station.problem is None

    live(work)
    assert [record.getMessage() for record in caplog.records] == ["raise: no", "raise: never"]


def test_each_round_begins_with_the_last_chance_to_tell_the_node_something() -> None:
    async def work(world: World) -> None:
        world.station.before_round = lambda: world.node.log.append(("before",))
        world.node.next["tick", 7] = [Send("n2", ASK)]
        await world.until(lambda: world.rounds > 3)
        kinds = [entry[0] for entry in world.node.log]
        assert kinds[:4] == ["before", "tick"] * 2
        assert len(world.transport.sent) == 1

    live(work)


def test_what_can_not_be_read_is_counted_and_not_told() -> None:
    async def work(world: World) -> None:
        for packet in (b"", b"rubbish", codec.encode(ASK)[:-1]):
            world.transport.arriving.put_nowait(("n2", packet))
        world.transport.arriving.put_nowait(("n3", codec.encode(ASK)))
        await world.until(lambda: ("heard", "n3", ASK) in world.node.log)
        assert world.station.undecodable == 3
        assert [entry for entry in world.node.log if entry[0] == "heard"] == [("heard", "n3", ASK)]

    live(work)


def test_a_message_that_is_too_long_is_not_sent_and_ends_nothing() -> None:
    async def work(world: World) -> None:
        long = Delta((), (Document("table:rack", 1, b"x" * 200),), ())
        endless = Delta((), (Document("table:rack", 1, b"x" * 10**7),), ())
        world.station.do([Send("n2", long), Send("n2", endless), Send("n2", ASK)])
        assert world.transport.sent == [("n2", codec.encode(ASK))]

    live(work)


def test_it_stops_while_an_effect_is_under_way_and_the_node_is_not_told_that_it_is_done() -> None:
    async def work(world: World) -> None:
        world.hold.clear()
        world.station.do([LOWER, STORE])
        await world.until(lambda: world.performed)

    world = live(work)
    assert world.performed == [LOWER]
    assert all(entry[0] == "tick" for entry in world.node.log)


def test_no_listening_is_said_and_nothing_is_begun() -> None:
    async def run() -> None:
        world = World()
        world.transport.problem = ConfigError("in use")
        with pytest.raises(ConfigError, match="in use"):
            await world.station.run(world.stopping)
        assert (world.node.log, world.performed) == ([], [])

    asyncio.run(run())


def test_a_fault_is_raised_after_all_is_closed() -> None:
    async def work(world: World) -> None:
        world.problems = [ZeroDivisionError()]
        world.station.do([LOWER])
        await world.until(lambda: world.transport.state == "closed")

    with pytest.raises(ZeroDivisionError):
        live(work)


def test_what_runs_beside_it_ends_it_when_it_fails() -> None:
    async def beside() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def work(world: World) -> None:
        await world.until(lambda: world.transport.state == "closed")

    with pytest.raises(ZeroDivisionError):
        live(work, beside)
