"""Knobs that somebody else writes, as the agent tells of them and what it does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any

import pytest

from eagent.agent.agent import Agent
from eagent.agent.warden import ForeignWrite
from eagent.model import Budget, Channel, Knob, Status

SECOND_NS = 1_000_000_000
FIRST, SECOND = "GPU-00aa", "GPU-01aa"


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        asyncio.run(test(*arguments, **options))

    return run


def service(host: Any, at_s: float) -> Agent:
    return Agent(host.governor, host.config, lambda: int(at_s * SECOND_NS), host="c01")


def write(value: int | str = 300_000, fate: str = "stands", at_s: float = 10) -> ForeignWrite:
    return ForeignWrite(1, int(at_s * SECOND_NS), value, 250_000, fate)


@asynchronous
async def test_status_and_explain_tell_who_wrote_what_when_and_what_takes_it_back(host: Any) -> None:
    host.warden.foreign = {FIRST: write()}
    await host.turn(22)
    agent = service(host, 22)
    limit = agent.status()["devices"][0]["power_limit"]
    assert json.loads(json.dumps(limit["foreign"])) == {
        "count": 1,
        "ago_s": 12.0,
        "value": 300.0,
        "before": 250.0,
        "stands": True,
        "fate": "stands",
    }
    note = agent.explain("gpu0")["knobs"][0]["note"]
    assert note == (
        "300 W set by somebody else 12 s ago; left alone: `eagent restore`, a pin or a new budget takes it back"
    )
    assert limit["why"] == note
    assert agent.status()["devices"][1]["power_limit"]["foreign"] is None


@asynchronous
async def test_what_does_not_stand_any_more_is_told_for_a_minute(host: Any) -> None:
    host.warden.foreign = {FIRST: write(fate="overruled")}
    await host.turn(22)
    assert service(host, 22).status()["devices"][0]["power_limit"]["why"] == (
        "300 W set by somebody else 12 s ago, and overruled"
    )
    assert service(host, 71).status()["devices"][0]["power_limit"]["why"] == ""


@asynchronous
async def test_a_pin_takes_its_device_back_before_it_is_leased(host: Any) -> None:
    host.warden.foreign = {FIRST: write(), SECOND: write()}
    await host.turn(22)
    service(host, 22).set_pin("gpu0", 260, None)
    await host.turn(23)
    log = [entry[0] for entry in host.warden.log]
    assert host.warden.log[log.index("take_back")] == ("take_back", {FIRST})
    assert log.index("take_back") < log.index("lease")
    await host.turn(24)
    assert [entry[0] for entry in host.warden.log].count("take_back") == 1


@asynchronous
async def test_what_can_not_be_taken_back_is_an_alarm_and_tried_again(host: Any) -> None:
    await host.turn(1)
    service(host, 1).set_pin("gpu0", 260, None)
    host.warden.here = False
    await host.turn(2)
    host.warden.here = True
    for second in range(3, 9):
        await host.turn(second)
    assert ("take_back", {FIRST}) in host.warden.log


@asynchronous
async def test_restore_and_a_new_budget_take_all_back(host: Any) -> None:
    await host.turn(1)
    agent = service(host, 1)
    await agent.restore()
    assert host.warden.log[-1] == ("take_back", None)
    await agent.set_budget(1000, 200, 100)
    assert host.warden.log[-1] == ("take_back", None)


@asynchronous
async def test_under_a_budget_the_lease_counts_what_somebody_else_has_set(host: Any) -> None:
    host.warden.budget = Budget(700, 0, {FIRST: 100, SECOND: 100})
    host.warden.foreign = {FIRST: write(150_000)}
    await host.turn(22, 140, 380)
    lease = host.warden.leases[-1]
    assert lease[FIRST] == 150_000
    assert lease[SECOND] > 250_000


# ---- locks that can't be read ----------------------------------------------------------------------------------------


def show_busy(host: Any, mhz: int, begin_s: float, seconds: float) -> None:
    """The first GPU works at a clock that nothing is told to hold down."""
    for quarter in range(round(seconds * 4)):
        at_ns = int((begin_s + quarter / 4) * SECOND_NS)
        for channel, value in (
            (Channel.EVENT_REASONS, 0),
            (Channel.GPU_UTILISATION_PCT, 100),
            (Channel.SM_CLOCK_MHZ, mhz),
        ):
            host.ring.records.append((at_ns, value, 0, channel, Status.OK, -1))
    host.ring.beat(int((begin_s + seconds) * SECOND_NS))


@pytest.fixture
def lockable(new_host: Any, new_device: Any) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        return new_host(replace(new_device(0), clock=Knob(True), clocks_mhz=(210, 900, 1200, 1410)), **options)

    return make


@pytest.mark.parametrize("policy", ["respect", "report", "overrule"])
def test_a_lock_that_is_not_ours_is_told_as_inferred_with_its_evidence(lockable: Any, policy: str) -> None:
    async def run() -> None:
        host = lockable(foreign=policy)
        await host.turn(1)
        show_busy(host, 600, 10, 6)
        await host.turn(16)
        agent = service(host, 16)
        clock = agent.status()["devices"][0]["gpu_clock"]
        assert clock["inferred"] == {
            "what": "somebody else's is in force",
            "clock_mhz": 600,
            "expected_mhz": 987,
            "window_s": 5.75,
            "looks": 24,
        }
        assert agent.explain("gpu0")["knobs"][1]["note"].startswith(
            "inferred: somebody else's lock is in force: the SM clock was never above 600 MHz in 24 looks over 6 s"
        )
        assert any(line.startswith("gpu0: clock ceiling: inferred: ") for line in agent.status()["alarms"])
        assert not any(entry[0] == "lock_again" for entry in host.warden.log)  # we hold none
        host.ring.beat(20 * SECOND_NS)
        await host.turn(20)  # too old to speak for now
        assert service(host, 20).status()["alarms"] == []

    asyncio.run(run())


def test_a_lock_that_waits_for_its_turn_of_the_driver_is_not_told_to_be_out_of_force(lockable: Any) -> None:
    async def run() -> None:
        host = lockable()
        await host.turn(1)
        host.warden.clocks_mhz, host.warden.took_clocks = {FIRST: 900}, False
        await host.turn(2)
        for second in range(10, 20):
            show_busy(host, 1410, second, 1)
            await host.turn(second + 1)
            host.warden.clocks_mhz = {FIRST: 900}
        assert service(host, 20).status()["alarms"] == []

    asyncio.run(run())


@pytest.mark.parametrize(("policy", "times"), [("respect", 0), ("report", 0), ("overrule", 2)])
def test_only_with_overrule_a_lock_of_ours_is_written_again_and_seldom(lockable: Any, policy: str, times: int) -> None:
    async def run() -> None:
        host = lockable(foreign=policy)
        await host.turn(1)
        host.warden.clocks_mhz = {FIRST: 900}
        await host.turn(2)
        for second in range(10, 27):
            show_busy(host, 1410, second, 1)
            await host.turn(second + 1)
            host.warden.clocks_mhz = {FIRST: 900}
        told = service(host, 27).status()
        assert host.warden.log.count(("lock_again", {FIRST})) == times
        if times == 0:
            assert "eagent's lock of 900 MHz is not in force" in told["devices"][0]["gpu_clock"]["why"]

    asyncio.run(run())
