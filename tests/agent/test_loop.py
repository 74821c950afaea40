"""Turns of the loop against a warden and a ring that a test plays. No time passes but what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.model import Budget, Knob, KnobName, Priority, Proposal, Reading, Status
from eagent.policy.goals import Goals, Pin

SECOND_NS = 1_000_000_000
FIRST, SECOND = "GPU-00aa", "GPU-01aa"
BUDGET = Budget(1000, 400, {FIRST: 150, SECOND: 150})


def asynchronous(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a test that awaits."""

    def run(host: Any) -> None:
        asyncio.run(test(host))

    run.__name__ = test.__name__
    return run


@asynchronous
async def test_without_budget_and_pins_it_observes_and_leases_nothing(host: Any) -> None:
    await host.turn(1, 200, 60)
    await host.turn(2, 200, 60)
    assert [each.power_w.value for each in host.governor.state.devices] == [200, 60]
    assert host.warden.leases == []
    assert host.governor.alarms == []


@asynchronous
async def test_a_budget_becomes_a_lease_that_follows_the_load(host: Any) -> None:
    host.warden.budget = BUDGET
    await host.turn(12, 395, 60)
    await host.turn(24, 60, 395)
    first, second = host.warden.leases[0], host.warden.leases[-1]
    assert first[FIRST] > first[SECOND]
    assert second[FIRST] < second[SECOND]
    assert all(sum(lease.values()) <= 600_000 for lease in host.warden.leases)
    assert host.governor.lease_until_ns == 10 * SECOND_NS


@asynchronous
async def test_an_unchanged_vector_is_sent_again_after_a_third_of_its_time(host: Any) -> None:
    host.governor.pins[FIRST] = Pin(FIRST, 250)
    for tick in range(13):  # three seconds and the moment after, at a time to live of three
        await host.turn(1 + tick * 0.25)
    sent = [entry for entry in host.warden.log if entry[0] == "lease"]
    assert len(sent) == 4
    assert {ttl_s for _, _, ttl_s in sent} == {3.0}


@asynchronous
async def test_a_changed_vector_is_sent_at_once(host: Any) -> None:
    host.governor.pins[FIRST] = Pin(FIRST, 250)
    await host.turn(1)
    host.governor.pins[FIRST] = Pin(FIRST, 260)
    await host.turn(1.01)
    assert [lease[FIRST] for lease in host.warden.leases] == [250_000, 260_000]


@asynchronous
async def test_the_lease_is_released_when_nothing_is_decided_any_more(host: Any) -> None:
    host.governor.pins[FIRST] = Pin(FIRST, 250, until_ns=2 * SECOND_NS)
    await host.turn(1)
    assert ("release",) not in host.warden.log
    await host.turn(2)
    await host.turn(3)
    assert host.warden.log.count(("release",)) == 1
    assert host.governor.lease_until_ns is None
    assert host.governor.pins == {}


@asynchronous
async def test_a_lease_asks_for_no_more_time_than_the_warden_gives(host: Any) -> None:
    host.warden.ttl_max_s = 1.0
    host.governor.pins[FIRST] = Pin(FIRST, 250)
    await host.turn(1)
    assert host.warden.log[-1][2] == 1.0


@asynchronous
async def test_a_refused_lease_is_an_alarm_until_it_is_granted(host: Any) -> None:
    host.governor.pins[FIRST] = Pin(FIRST, 250)
    host.warden.refusal = "the journal can't be written"
    await host.turn(1)
    assert host.governor.alarms == ["the journal can't be written"]
    assert host.governor.lease_until_ns is None
    host.warden.refusal = None
    await host.turn(3)
    assert host.governor.alarms == []
    assert host.governor.lease_until_ns is not None


@asynchronous
async def test_a_warden_that_is_away_is_waited_for_less_and_less_often(host: Any) -> None:
    host.warden.here = False
    for tick in range(41):  # ten seconds
        await host.turn(tick * 0.25)
    assert host.warden.log == [("connect",)] * 6  # at 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s
    assert "no warden at warden.sock: Connection refused" in host.governor.alarms
    assert host.governor.devices == ()
    host.warden.here = True
    await host.turn(12, 200, 60)
    assert host.governor.alarms == []
    assert len(host.governor.devices) == 2


@asynchronous
async def test_a_restarted_warden_finds_the_same_pins_and_budget_and_a_ring_that_is_read(host: Any) -> None:
    host.warden.budget = BUDGET
    host.governor.pins[FIRST] = Pin(FIRST, 150)
    await host.turn(1, 145, 60)
    assert host.warden.leases[-1][FIRST] == 150_000
    host.warden.here = False
    await host.turn(2)
    await host.turn(2.1)
    assert any("no warden" in alarm for alarm in host.governor.alarms)
    old = host.ring
    host.rings.append(type(old)())
    host.warden.here = True
    sent = len(host.warden.leases)
    await host.turn(4, 145, 62)
    assert old.closed
    assert host.governor.state.devices[1].power_w.value == 62
    assert host.warden.leases[sent][FIRST] == 150_000, "the new warden knows of no lease"
    assert host.governor.alarms == []


@asynchronous
async def test_a_silent_loop_is_said_and_its_devices_are_not_taken_for_idle(host: Any) -> None:
    host.warden.budget = Budget(1000, 400, {FIRST: 350, SECOND: 150})
    await host.turn(2, 60, 60)
    await host.turn(7)
    first, _ = host.governor.state.devices
    assert first.power_w.status is Status.STALE
    assert host.warden.leases[-1][FIRST] >= 350_000
    assert any("reading half hangs in a call of the driver for 5 s" in alarm for alarm in host.governor.alarms)


@asynchronous
async def test_the_warden_is_asked_when_its_ring_tells_of_changes_and_now_and_then(host: Any) -> None:
    asked_s = []
    status, here = host.warden.status, [0.0]

    async def counted() -> Any:
        asked_s.append(here[0])
        return await status()

    host.warden.status = counted
    for tenth in range(10, 300):
        here[0] = tenth / 10
        if tenth == 50:
            host.warden.alarms = ("gpu0: power limit: changed by somebody else",)
        await host.turn(here[0], 80, 80)
    assert asked_s == [1.0, 5.0, 15.0, 25.0]
    assert host.warden.alarms[0] in host.governor.alarms


@asynchronous
async def test_a_device_whose_privilege_is_gone_leaves_the_vector(host: Any) -> None:
    host.governor.pins.update({FIRST: Pin(FIRST, 250), SECOND: Pin(SECOND, 250)})
    await host.turn(1)
    assert set(host.warden.leases[-1]) == {FIRST, SECOND}
    host.warden.devices = (host.devices[0], _unwritable(host.devices[1]))
    await host.turn(3)
    assert set(host.warden.leases[-1]) == {FIRST}
    assert host.governor.devices[1].power_limit.why == "refused"


def _unwritable(device: Any) -> Any:
    return replace(device, power_limit=replace(device.power_limit, writable=False, why="refused"))


@asynchronous
async def test_the_wardens_alarms_are_told_while_it_stands_by_them(host: Any) -> None:
    host.warden.alarms = ("gpu0: power limit: changed 1 times by somebody else",)
    await host.turn(1)
    assert host.governor.alarms == ["gpu0: power limit: changed 1 times by somebody else"]
    host.warden.close()
    assert host.governor.alarms == []


@asynchronous
async def test_an_orderly_end_gives_the_lease_back_first(host: Any) -> None:
    host.governor.pins[FIRST] = Pin(FIRST, 250)
    await host.turn(1)
    await host.governor.close()
    assert host.warden.log[-1] == ("release",)
    assert not host.warden.connected
    assert host.ring.closed


@asynchronous
async def test_an_end_without_a_warden_or_a_lease_is_an_end(host: Any) -> None:
    await host.turn(1)
    await host.governor.close()
    assert ("release",) not in host.warden.log
    host.warden.here = False
    host.governor.pins[FIRST] = Pin(FIRST, 250)
    host.governor.lease_until_ns = 5 * SECOND_NS
    host.warden.connected = True
    await host.governor.close()


@pytest.mark.parametrize("gang", [("gpu0", "gpu1"), (FIRST, "0000:04:00.0")])
def test_a_gang_of_the_configuration_gets_one_cap(new_host: Any, gang: tuple[str, ...]) -> None:
    host = new_host(gangs=(gang,))
    host.warden.budget = BUDGET
    asyncio.run(host.turn(2, 395, 60))
    assert len(set(host.warden.leases[-1].values())) == 1


def test_a_gang_with_an_unknown_device_is_left_out_and_told(new_host: Any) -> None:
    host = new_host(gangs=(("gpu0", "gpu7"),))
    host.warden.budget = BUDGET
    asyncio.run(host.turn(2, 395, 60))
    assert len(set(host.warden.leases[-1].values())) == 2
    assert any("gang gpu0, gpu7 is ignored: no device 'gpu7'" in alarm for alarm in host.governor.alarms)


class Script:
    """In the place of all policies: asks for what a test says, and keeps what it was asked with."""

    def __init__(self, *proposals: Proposal) -> None:
        self.proposals = list(proposals)
        self.asked: list[tuple[Any, Goals]] = []

    def propose(self, state: Any, goals: Goals, now_ns: int) -> list[Proposal]:  # noqa: ARG002  # the registry's shape
        self.asked.append((state, goals))
        return self.proposals


def slow_cpu(clock_mhz: float, policy: str = "cpu") -> Proposal:
    return Proposal(policy, Priority.EFFICIENCY, "CPU-0", KnobName.CPU_CLOCK, clock_mhz, "the GPUs wait for nothing")


@pytest.mark.parametrize("mode", ["act", "observe"])
def test_a_ceiling_of_the_cpus_becomes_a_lease_only_when_its_policy_may_act(
    new_host: Any, new_device: Any, new_package: Any, mode: str
) -> None:
    host = new_host(new_device(0), new_package(0), mode_cpu=mode)
    host.governor._policies = Script(slow_cpu(1850))
    asyncio.run(host.turn(2, 200, 80))
    held = ({"CPU-0": 1800}, {"CPU-0": "balance_power"})
    assert (host.warden.clocks_mhz, host.warden.preferences) == (held if mode == "act" else ({}, {}))
    asyncio.run(host.turn(2.25))
    cpu = host.governor.state.cpus[0]
    assert (cpu.clock_held, cpu.ceiling_mhz) == ((True, 1800) if mode == "act" else (False, 3400))
    assert cpu.prior_ceiling_mhz == 3400
    assert [each.policy for each in host.governor.proposals] == ["cpu"]


def test_policies_see_the_ceilings_of_packages_while_the_warden_reads_them_back(
    new_host: Any, new_device: Any, new_package: Any
) -> None:
    host = new_host(new_device(0), new_package(0), mode_cpu="act")
    host.governor._policies = Script(slow_cpu(1850))
    for at_s in (2, 2.25):
        asyncio.run(host.turn(at_s, 200, 80))
    gpu, package = host.governor.state.devices
    assert (package.ceiling_mhz, package.prior_ceiling_mhz) == (1800, 3400)
    assert (gpu.ceiling_mhz, gpu.prior_ceiling_mhz) == (None, None)
    host.warden.here = False
    asyncio.run(host.turn(4, 200, 80))
    assert host.governor.state.cpus[0].ceiling_mhz is None


def test_a_policy_without_a_mode_only_observes(new_host: Any, new_package: Any) -> None:
    host = new_host(new_package(0), mode_cpu="act")
    host.governor._policies = Script(slow_cpu(1850, "of tomorrow"))
    asyncio.run(host.turn(2, 80))
    assert host.warden.leases == []


def test_policies_see_the_busy_cpus_and_how_much_slower_work_may_get(new_host: Any) -> None:
    host = new_host(cpu_slowdown=0.05)
    host.governor._policies = script = Script()
    host.busy_cpus = Reading(3.5, Status.OK, "kernel cpu times", 1.0)
    asyncio.run(host.turn(2))
    state, goals = script.asked[-1]
    assert (state.busy_cpus.value, goals.feeding.slowdown) == (3.5, 0.05)


def test_a_halt_gives_the_cpus_their_clocks_back(new_host: Any, new_package: Any) -> None:
    host = new_host(new_package(0), mode_cpu="act")
    host.governor._policies = Script(slow_cpu(1850))
    asyncio.run(host.turn(2, 80))
    assert host.warden.clocks_mhz
    host.governor._halted = lambda: "maintenance"
    asyncio.run(host.turn(3, 80))
    assert host.warden.log[-1] == ("release",)
    assert host.warden.preferences == {}


def test_each_knob_is_writable_or_not_as_the_warden_says_now(new_host: Any, new_package: Any) -> None:
    host = new_host(new_package(0), mode_cpu="act")
    host.governor._policies = Script(slow_cpu(1850))
    asyncio.run(host.turn(2, 80))
    refused = Knob(False, "somebody has mounted /sys read-only")
    host.warden.devices = (replace(host.devices[0], clock=refused, preference=refused),)
    asyncio.run(host.turn(4, 80))
    (device,) = host.governor.devices
    assert (device.clock, device.preference, device.power_limit) == (refused, refused, Knob(True))
    assert host.warden.log[-1] == ("release",)


def test_a_gang_is_of_gpus(new_host: Any, new_device: Any, new_package: Any) -> None:
    host = new_host(new_device(0), new_package(0), gangs=(("gpu0", "cpu0"),))
    asyncio.run(host.turn(2))
    assert any("gang gpu0, cpu0 is ignored: no device 'cpu0'; known are gpu0" in each for each in host.governor.alarms)


@asynchronous
async def test_a_loop_that_sheds_is_an_alarm_until_it_sheds_no_more(host: Any) -> None:
    await host.turn(1, 200, 60)
    host.ring.stats = {**host.ring.stats, "shed_since_ns": SECOND_NS}
    await host.turn(2, 200, 60)
    assert host.governor.alarms == [
        "reading takes too much of the driver's time: not every publication of the power sensors is read"
    ]
    host.ring.stats = {**host.ring.stats, "shed_since_ns": 0}
    await host.turn(3, 200, 60)
    assert host.governor.alarms == []


@asynchronous
async def test_turns_come_once_a_period_or_when_woken_and_end_when_told(host: Any) -> None:
    times = iter(range(0, 100 * SECOND_NS, SECOND_NS))  # a clock that jumps past every deadline: no turn waits
    stopping, turns = asyncio.Event(), []
    step = host.governor.step

    async def counted(now_ns: int) -> None:
        turns.append(now_ns)
        await step(now_ns)
        if len(turns) == 3:
            stopping.set()
            host.governor.wake()

    host.governor.step = counted
    await asyncio.wait_for(host.governor.run(lambda: next(times), stopping), timeout=5)
    assert len(turns) == 3
