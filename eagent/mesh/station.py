"""A node on its host: time, the transport, and the hands that do what the node asks for, around the sans-IO core.

What must be done (`Lower`, `Store`, `Raise`) is done one at a time and in order, while messages come and go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from eagent.errors import EagentError, InputError, ProtocolError
from eagent.mesh import codec
from eagent.mesh.effects import Awaited, Effect, Send
from eagent.mesh.node import Node
from eagent.mesh.transport import Transport, clock_ns

log = logging.getLogger(__name__)

ROUND_S = 1.0

Perform = Callable[[Awaited], Awaitable[None]]


class Station:
    """Runs a node. All on one event loop."""

    def __init__(
        self,
        node: Node,
        transport: Transport,
        perform: Perform,
        clock: Callable[[], int] = clock_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """A station that does not run yet.

        Args:
            node: The core. Its `start` is called by who makes the station, and its effects are handed to `do`.
            transport: Not started yet; the station starts and closes it.
            perform: Brings an effect about; an EagentError means that it did not come about.
            clock: Nanoseconds that go on while the host is suspended.
            sleep: Waits for some seconds.
        """
        self.node = node
        self.transport = transport
        self.clock = clock
        self.problem: str | None = None  # why the last effect did not come about; None: it did
        self.before_round: Callable[[], None] = lambda: None  # the last chance to tell the node something
        self.undecodable = 0  # messages, since the start
        self._perform = perform
        self._sleep = sleep
        self._todo: asyncio.Queue[Awaited] = asyncio.Queue()

    async def run(self, stopping: asyncio.Event, *beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take part until told to stop.

        Args:
            stopping: Set when it is to stop.
            beside: What runs as long as this; where one of them ends or fails, all does.

        Raises:
            ConfigError: there is no listening at this address.
        """
        await self.transport.start()
        tasks = [asyncio.create_task(each()) for each in (self._hear, self._tick, self._work, *beside)]
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stop, *tasks):
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await self.transport.close()
        for each in ended:
            if isinstance(each, Exception):  # a fault of ours: it must not be passed over
                raise each

    def do(self, effects: Iterable[Effect]) -> None:
        """Take up what the node asks for."""
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect)
            elif isinstance(effect, Awaited):
                self._todo.put_nowait(effect)

    async def _hear(self) -> None:
        while True:
            sender, packet = await self.transport.receive()
            try:
                message = codec.decode(packet)
            except ProtocolError as problem:
                self.undecodable += 1
                log.debug("from %s: %s", sender, problem)
                continue
            self.do(self.node.on_message(self.clock(), sender, message))

    async def _tick(self) -> None:
        await self._sleep(random.random() * ROUND_S)  # hosts that start together need not speak together
        while True:
            self.before_round()
            self.do(self.node.on_tick(self.clock()))
            await self._sleep(ROUND_S)

    async def _work(self) -> None:
        while True:
            effect = await self._todo.get()
            try:
                await self._perform(effect)
            except EagentError as problem:
                if self.problem != str(problem):  # the node tries again every round
                    log.warning("%s: %s", type(effect).__name__.lower(), problem)
                self.problem = str(problem)
                self.do(self.node.failed(self.clock(), effect))
            else:
                self.problem = None
                self.do(self.node.done(self.clock(), effect))

    def _send(self, effect: Send) -> None:
        with contextlib.suppress(ProtocolError, InputError):  # one that would be refused there is not sent
            self.transport.send(effect.peer, codec.encode(effect.message))
