import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from eagent.engines.power.adapter import Clock, PowerState
from eagent.engines.power.role import Entry, Event, Role, Switch
from eagent.engines.power.wishes import SECOND_NS, Consent, Kind, Rules, Step, Wish
from eagent.errors import RefusedError, UnavailableError

ACT = Rules(act=True, protected=frozenset({"login"}), least_on_s=0, least_off_s=0)


class Hosts:
    """Hosts that are switched a while after they were told, in a time of their own; and a role for them."""

    off_s = 60.0

    def __init__(self, rules: Rules = ACT) -> None:
        self.now_s = 1000.0
        self.states = dict.fromkeys(("n1", "n2", "login"), PowerState.ON)
        self.obeys = True
        self.wrong: Exception | None = None
        self.held: asyncio.Event | None = None  # switching off waits for it
        self.told: list[Entry] = []
        self.calls: list[tuple[str, str]] = []
        self.tell: Callable[[Entry], None] = self.told.append
        clock = Clock(lambda: round(self.now_s * SECOND_NS), self.sleep)
        switches = {host: Switch(self, confirm_s=10.0) for host in self.states}
        self.role = Role(switches, rules, lambda entry: self.tell(entry), clock)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)

    async def state(self, host: str) -> PowerState:
        return self.states[host]

    async def power_w(self, host: str) -> float | None:
        return {PowerState.ON: 312.0, PowerState.OFF: 7.0}.get(self.states[host])

    async def on(self, host: str) -> None:
        await self._switch(host, PowerState.ON)

    async def off(self, host: str) -> None:
        if self.held is not None:
            await self.held.wait()
        await self._switch(host, PowerState.OFF)

    async def _switch(self, host: str, state: PowerState) -> None:
        self.calls.append((host, state))
        if self.wrong is not None:
            raise self.wrong
        if self.obeys:
            self.states[host] = state

    def wish(self, host: str, kind: Kind = Kind.SLEEP) -> Wish:
        now_ns = round(self.now_s * SECOND_NS)
        given = Consent(host, "life1", "slurm", True, True, True, now_ns, now_ns + 600 * SECOND_NS)
        return Wish(host, kind, "packer", "idle", now_ns, given if kind is Kind.SLEEP else None)

    @property
    def events(self) -> list[Event]:
        return [entry.event for entry in self.told]


def go(course: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await course

    asyncio.run(bounded())


async def turned(hosts: Hosts) -> None:
    hosts.role.turn()
    await hosts.role.settled()


def test_a_host_is_put_to_sleep_read_back_and_told_with_its_watts() -> None:
    hosts = Hosts()
    hosts.role.ask(hosts.wish("n1"))
    go(turned(hosts))
    assert hosts.events == [Event.ASKED, Event.BEGUN, Event.DONE]
    begun, done = hosts.told[1:]
    assert (begun.state, begun.power_w, begun.wish.who, begun.detail) == (PowerState.ON, 312.0, "packer", "idle")
    assert (done.state, done.power_w) == (PowerState.OFF, 7.0)
    assert hosts.role.record == tuple(hosts.told)


def test_observing_switches_nothing_and_plans_the_same() -> None:
    hosts = Hosts(replace(ACT, act=False))
    hosts.role.ask(hosts.wish("n1"))
    go(turned(hosts))
    assert (hosts.calls, hosts.events) == ([], [Event.ASKED])
    assert [(planned.wish.host, planned.step) for planned in hosts.role.plan()] == [("n1", Step.BEGIN)]


def test_a_host_that_is_not_read_back_as_it_should_be_has_failed() -> None:
    hosts = Hosts()
    hosts.obeys = False
    hosts.role.ask(hosts.wish("n1"))
    go(turned(hosts))
    assert (hosts.events[-1], hosts.told[-1].detail) == (
        Event.FAILED,
        "n1: its power is on, 10 s after it was switched off",
    )
    assert hosts.now_s >= 1010.0


def test_a_host_that_nobody_can_speak_for_has_failed() -> None:
    hosts = Hosts()
    hosts.states["n1"] = PowerState.UNKNOWN
    hosts.obeys = False
    hosts.role.ask(hosts.wish("n1"))
    go(turned(hosts))
    assert (hosts.events[-1], hosts.told[-1].power_w) == (Event.FAILED, None)
    assert "its power is unknown" in hosts.told[-1].detail


def test_a_host_that_is_so_already_is_not_switched() -> None:
    hosts = Hosts()
    hosts.role.ask(hosts.wish("n1", Kind.WAKE))
    go(turned(hosts))
    assert (hosts.calls, hosts.events) == ([], [Event.ASKED, Event.ALREADY])


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        (UnavailableError("n1: its BMC is silent"), "n1: its BMC is silent"),
        (ValueError("password=hush"), "ValueError, where no such error was expected"),
    ],
)
def test_what_goes_wrong_is_told_and_ends_no_role(wrong: Exception, detail: str) -> None:
    hosts = Hosts()
    hosts.wrong = wrong
    hosts.role.ask(hosts.wish("n1"))
    go(turned(hosts))
    assert (hosts.events[-1], hosts.told[-1].detail) == (Event.FAILED, detail)
    hosts.wrong = None
    hosts.role.ask(hosts.wish("n2"))
    go(turned(hosts))
    assert hosts.events[-1] is Event.DONE


def test_what_cannot_be_told_is_not_done() -> None:
    hosts = Hosts()
    hosts.role.ask(hosts.wish("n1"))

    def full(entry: Entry) -> None:
        if entry.event is Event.BEGUN:
            raise OSError("no space left")
        hosts.told.append(entry)

    hosts.tell = full
    go(turned(hosts))
    assert hosts.calls == []
    assert hosts.events[-1] is Event.FAILED


def test_an_end_that_cannot_be_told_is_still_in_the_record_and_hinders_nothing() -> None:
    hosts = Hosts()

    def full(entry: Entry) -> None:
        if entry.event is not Event.BEGUN:
            raise OSError("no space left")

    hosts.tell = full
    hosts.role.ask(hosts.wish("n1"))
    go(turned(hosts))
    assert [entry.event for entry in hosts.role.record] == [Event.ASKED, Event.BEGUN, Event.DONE]
    assert hosts.role.untold == 2


def test_a_refusal_is_raised_and_told() -> None:
    hosts = Hosts()
    with pytest.raises(RefusedError, match="login: it is protected"):
        hosts.role.ask(hosts.wish("login"))
    assert hosts.events == [Event.REFUSED]


def test_a_consent_that_is_withdrawn_while_the_host_shuts_down_breaks_that_off() -> None:
    hosts = Hosts()

    async def course() -> None:
        hosts.held = asyncio.Event()
        hosts.role.ask(hosts.wish("n1"))
        hosts.role.turn()
        while Event.BEGUN not in hosts.events:
            await asyncio.sleep(0)
        hosts.role.withdraw("n1", "a job has come")
        await hosts.role.settled()

    go(course())
    assert (hosts.calls, hosts.events[-1], hosts.told[-1].detail) == ([], Event.WITHDRAWN, "a job has come")


def test_one_that_is_withdrawn_before_its_task_has_run_is_told_once() -> None:
    hosts = Hosts()

    async def course() -> None:
        hosts.role.ask(hosts.wish("n1"))
        hosts.role.turn()
        hosts.role.withdraw("n1", "a job has come")
        await hosts.role.settled()

    go(course())
    assert (hosts.calls, hosts.events) == ([], [Event.ASKED, Event.WITHDRAWN])


def test_the_end_of_the_role_breaks_off_what_runs_and_says_so() -> None:
    hosts = Hosts()

    async def course() -> None:
        hosts.held, stopping = asyncio.Event(), asyncio.Event()
        hosts.role.ask(hosts.wish("n1"))
        running = asyncio.create_task(hosts.role.run(stopping))
        while Event.BEGUN not in hosts.events:
            await asyncio.sleep(0)
        stopping.set()
        await running

    go(course())
    assert (hosts.calls, hosts.told[-1].detail) == ([], "the power role ends")


def test_a_host_that_is_wanted_while_it_is_put_to_sleep_is_woken_after_that() -> None:
    hosts = Hosts()

    async def course() -> None:
        hosts.held = asyncio.Event()
        hosts.role.ask(hosts.wish("n1"))
        hosts.role.turn()
        while Event.BEGUN not in hosts.events:
            await asyncio.sleep(0)
        hosts.now_s += 1
        hosts.role.ask(hosts.wish("n1", Kind.WAKE))
        hosts.role.turn()
        assert hosts.calls == []
        hosts.held.set()
        await hosts.role.settled()
        await turned(hosts)

    go(course())
    assert hosts.calls == [("n1", "off"), ("n1", "on")]
    assert hosts.states["n1"] is PowerState.ON
