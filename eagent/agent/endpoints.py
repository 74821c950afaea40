"""The metrics of jobs that the operator has named: asked for once a second, and told for the jobs that they are of.

A counter of steps is asked for more often, because it tells when a step was done only as nearly as that, and unevenly,
because steps that keep time with it would seem to take the same whatever they take.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from eagent.agent import listener
from eagent.agent.jobs import Jobs
from eagent.agent.names import find_device
from eagent.agent.scrape import scrape
from eagent.endpoint import Endpoint
from eagent.errors import EagentError, InputError
from eagent.model import Device
from eagent.progress.choice import Shown
from eagent.progress.counter import Counted
from eagent.progress.jobs import Job, Key
from eagent.progress.recipes import RECIPES, Counter, Recipe

log = logging.getLogger(__name__)

PERIOD_S = 1.0
STEPS_S = 0.25  # where steps are counted, unless ...
COST = 20.0  # ... an answer takes longer than one part in so many of that
UNEVEN = 0.4  # how far a time between two of these may be from the usual, as a share
SLOW_S = 5.0  # where the last try failed
FIND_NS = 5_000_000_000

Fetch = Callable[[str, int, str], Awaitable[bytes]]


class Followed:
    """One endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Not asked yet."""
        recipe = RECIPES.get(endpoint.recipe) or Recipe((Counter(endpoint.counter),), endpoint.unit)
        self.endpoint = endpoint
        self.counted = Counted(recipe, dict(endpoint.labels))
        self.problem: str | None = None
        self._took_s = 0.0
        self._chance = random.Random(endpoint.port)

    @property
    def wait_s(self) -> float:
        """How long to the next asking."""
        if self.problem is not None:
            return SLOW_S
        if self.endpoint.recipe:
            return PERIOD_S
        usual_s = min(PERIOD_S, max(STEPS_S, COST * self._took_s))
        return usual_s * self._chance.uniform(1 - UNEVEN, 1 + UNEVEN)

    async def ask(self, fetch: Fetch, clock: Callable[[], int]) -> None:
        """Ask once."""
        begun_ns = clock()
        try:
            body = await fetch(self.endpoint.host, self.endpoint.port, self.endpoint.target)
            # The server counted somewhere between question and answer.
            self.counted.take(body, (begun_ns + clock()) // 2)
            self._took_s = (clock() - begun_ns) / 1e9
        except EagentError as problem:
            if self.problem is None:
                log.warning("metrics at %s: %s", self.endpoint.where, problem)
            self.problem = str(problem)
        else:
            if self.problem is not None:
                log.info("metrics at %s: well again", self.endpoint.where)
            self.problem = None

    def shown(self) -> Shown:
        """How far its job has come."""
        counted, where = self.counted, self.endpoint.where
        if counted.at_ns is None:
            return Shown(why=f"{where}: {self.problem}" if self.problem else f"{where} has not answered yet")
        return Shown(counted.units, counted.at_ns, counted.unit, counted.latencies, heard_ns=counted.told_ns or 0)


class Followers:
    """All endpoints."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        jobs: Jobs,
        devices: Callable[[], Sequence[Device]],
        clock: Callable[[], int],
        fetch: Fetch = scrape,
    ) -> None:
        """None is asked yet."""
        self.each = tuple(Followed(endpoint) for endpoint in endpoints)
        self._jobs = jobs
        self._devices = devices
        self._clock = clock
        self._fetch = fetch
        self._found: dict[Endpoint, tuple[int, tuple[Key, ...]]] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask until `stopping` is set."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.each:
                tasks.create_task(self._follow(each, stopping))

    async def _follow(self, each: Followed, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await each.ask(self._fetch, self._clock)
            try:
                async with asyncio.timeout(each.wait_s):
                    await stopping.wait()
            except TimeoutError:
                continue

    def shown(self, jobs: Sequence[Job], now_ns: int) -> Mapping[Key, Shown]:
        """What the endpoints tell of these jobs."""
        return {key: each.shown() for each in self.each for key in self._of(each.endpoint, jobs, now_ns)}

    @property
    def problems(self) -> list[str]:
        """What is wrong, a line each."""
        return [f"metrics at {each.endpoint.where}: {each.problem}" for each in self.each if each.problem]

    def _of(self, endpoint: Endpoint, jobs: Sequence[Job], now_ns: int) -> tuple[Key, ...]:
        if endpoint.gpus:
            uuids = {uuid for name in endpoint.gpus if (uuid := self._uuid(name))}
            return tuple(job.key for job in jobs if job.uuids & uuids)
        at_ns, found = self._found.get(endpoint, (None, ()))
        if at_ns is None or now_ns - at_ns >= FIND_NS:
            found = tuple(self._jobs.listening(endpoint.port, listener.listeners, listener.holds))
            self._found[endpoint] = now_ns, found
        return found

    def _uuid(self, name: str) -> str | None:
        try:
            return find_device(self._devices(), name).uuid
        except InputError:
            return None
