from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eagent.agent.lineage import Process
from eagent.agent.windows import Windows
from eagent.errors import InputError, RefusedError
from eagent.model import Channel, Device, Status
from eagent.telemetry.energy import Energy

S = 1_000_000_000
JOB = Process((10, 1), 1000)
RANK = Process((11, 5), 1000, frozenset({JOB.identity}))
OTHER = Process((20, 7), 2000)
ROOT = Process((1, 0), 0)
KNOWN = {process.identity[0]: process for process in (JOB, RANK, OTHER, ROOT)}


class FakeProcesses:
    def look(self, pid: int, at_ns: int) -> Process | None:
        assert at_ns > 0
        return KNOWN.get(pid)

    def may_name(self, pid: int, uid: int) -> bool:
        return (pid, uid) == (1, 0)


class FakeMeter:
    """100 W and one per place of the device, known from its first power record to its last."""

    def __init__(self, device: Device) -> None:
        self.watts = 100.0 + device.index
        self.first_ns = self.last_ns = 0

    def add(self, time_ns: int, value: int, channel: int, status: int, age_ns: int) -> None:
        assert (value, status, age_ns) >= (0, 0, -1)
        if channel == Channel.POWER_INSTANT_MW:
            self.first_ns, self.last_ns = self.first_ns or time_ns, time_ns

    def resolved_until_ns(self) -> int:
        return self.last_ns

    def energy(self, begin_ns: int, end_ns: int) -> Energy:
        if begin_ns < self.first_ns or end_ns > self.last_ns:
            return Energy(None, 0.0, 0.05, "power", ("gap",))
        joules = self.watts * (end_ns - begin_ns) / S
        return Energy(joules, joules / 100, 0.05, "power", ("aliasing",))


class World:
    """Windows over what a test feeds, with the test's own clock."""

    def __init__(self, *devices: Device, simulated: bool = False, **options: Any) -> None:
        self.now_ns = 10 * S
        self.windows = Windows(FakeProcesses(), lambda: self.now_ns, FakeMeter, **options)
        self.windows.bind(devices, simulated=simulated)
        self.count = len(devices)

    def feed(self, at_s: float, *pids: tuple[int, ...]) -> None:
        """One look at who holds the devices, in their order, and one refresh of each."""
        at_ns = int(at_s * S)
        records = []
        for place in range(self.count):
            on = pids[place] if place < len(pids) else ()
            records.append((at_ns, len(on), place, Channel.COMPUTE_PROCESSES, Status.OK, -1))
            records += [(at_ns, pid, place, Channel.COMPUTE_PID, Status.OK, -1) for pid in on]
            records.append((at_ns, 100_000, place, Channel.POWER_INSTANT_MW, Status.OK, -1))
        self.windows.add(records)

    async def ask(self, *spans: tuple[float, float], by: Process = JOB, names: tuple[str, ...] = ()) -> Any:
        in_ns = [(int(begin_s * S), int(end_s * S)) for begin_s, end_s in spans]
        return await self.windows.windows(by.identity[0], by.uid, in_ns, names)


@pytest.fixture
def world(new_device: Any) -> World:
    return World(new_device(0), new_device(1))


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await work()

    return asyncio.run(bounded())


def fed(world: World, *looks: tuple[float, tuple[tuple[int, ...], ...]]) -> World:
    for at_s, pids in looks:
        world.feed(at_s, *pids)
    return world


def test_a_window_gets_the_joules_of_what_the_callers_processes_held(world: World) -> None:
    fed(world, (7, ((11,), (20,))), (8, ((11,), (20,))), (9, ((11,), (20,))))
    answer = run(lambda: world.ask((7.25, 8.75), (7.5, 8.0)))
    assert answer["simulated"] is False
    first, second = answer["windows"]
    (gpu0,) = first["devices"]
    assert gpu0 == {
        "device": "gpu0",
        "uuid": "GPU-00aa",
        "energy_j": 150.0,
        "half_width_j": 1.5,
        "gain_j": 7.5,
        "source": "power",
        "flags": ["aliasing"],
        "others": 0,
        "why": None,
    }
    assert first["why"] is None
    assert [device["energy_j"] for device in second["devices"]] == [50.0]


def test_two_users_do_not_see_each_others_devices(world: World) -> None:
    fed(world, (7, ((11,), (20,))), (9, ((11,), (20,))))
    for by, names, seen in ((JOB, (), ["gpu0"]), (OTHER, (), ["gpu1"]), (JOB, ("gpu1",), []), (ROOT, (), [])):
        (window,) = run(lambda by=by, names=names: world.ask((7.5, 8.5), by=by, names=names))["windows"]
        assert [device["device"] for device in window["devices"]] == seen
        assert bool(window["why"]) is not bool(seen)


def test_who_takes_part_on_a_shared_board_is_told_how_many_others_there_are(world: World) -> None:
    fed(world, (7, ((11, 20), ())), (9, ((11, 20), ())))
    (window,) = run(lambda: world.ask((7.5, 8.5)))["windows"]
    assert window["devices"][0]["others"] == 1


def test_root_may_name_any_device_and_only_root_a_cpu(new_device: Any, new_package: Any) -> None:
    world = World(new_device(0), new_package(0))
    fed(world, (7, ()), (9, ()))
    (window,) = run(lambda: world.ask((7.5, 8.5), by=ROOT, names=("cpu0", "gpu0")))["windows"]
    assert [device["device"] for device in window["devices"]] == ["cpu0", "gpu0"]
    with pytest.raises(RefusedError, match="CPU package is everybody's"):
        run(lambda: world.ask((7.5, 8.5), names=("cpu0",)))
    with pytest.raises(InputError, match="no device 'gpu7'"):
        run(lambda: world.ask((7.5, 8.5), names=("gpu7",)))


def test_a_caller_whose_user_is_not_that_of_its_pid_is_nobody(world: World) -> None:
    fed(world, (7, ((11,), ())), (9, ((11,), ())))
    for pid, uid in ((10, 2000), (0, 1000), (99, 1000)):
        (window,) = run(lambda pid=pid, uid=uid: world.windows.windows(pid, uid, [(7 * S, 8 * S)], []))["windows"]
        assert window["devices"] == []
        assert "can't see the process that asks" in window["why"]


def test_simulated_is_called_simulated(new_device: Any) -> None:
    world = fed(World(new_device(0), simulated=True), (7, ((11,),)), (9, ((11,),)))
    assert run(lambda: world.ask((7.5, 8.5)))["simulated"] is True


def test_windows_of_another_clock_are_refused_and_of_the_kernels_are_shifted(new_device: Any) -> None:
    world = fed(World(new_device(0), shift_ns=100 * S), (7, ((11,),)), (9, ((11,),)))
    world.now_ns = 10 * S
    with pytest.raises(InputError, match="ends in the future"):
        run(lambda: world.ask((7.5, 8.5)))
    (window,) = run(lambda: world.ask((7.5 - 100, 8.5 - 100)))["windows"]
    assert window["devices"][0]["energy_j"] == 100.0


def test_an_answer_waits_for_the_first_look_and_refresh_after_the_end(new_device: Any) -> None:
    world = fed(World(new_device(0)), (8, ((11,),)), (9, ((11,),)))
    world.now_ns = int(9.6 * S)

    async def work() -> None:
        answer = asyncio.ensure_future(world.ask((9.2, 9.5)))
        await asyncio.sleep(0)
        world.windows.add([(int(9.55 * S), 100_000, 0, Channel.POWER_INSTANT_MW, Status.OK, -1)])
        for _ in range(5):
            await asyncio.sleep(0)
        assert not answer.done(), "who held it at the end is not known yet"
        world.feed(10, (11,))
        (window,) = (await answer)["windows"]
        assert window["devices"][0]["energy_j"] == pytest.approx(30.0)

    run(work)


def test_a_device_that_was_taken_since_the_last_look_is_in_the_answer(new_device: Any) -> None:
    world = fed(World(new_device(0), new_device(1)), (8, ((11,), ())), (9, ((11,), ())))
    world.now_ns = int(9.6 * S)

    async def work() -> None:
        answer = asyncio.ensure_future(world.ask((9.2, 9.5)))
        await asyncio.sleep(0)
        world.feed(10, (11,), (11,))
        (window,) = (await answer)["windows"]
        assert [device["device"] for device in window["devices"]] == ["gpu0", "gpu1"]

    run(work)


def test_an_answer_does_not_wait_for_ever(new_device: Any) -> None:
    world = fed(World(new_device(0)), (8, ((11,),)), (9, ((11,),)))
    world.now_ns = int(11.95 * S)  # 50 ms before the end of patience, on a clock that stands
    begun = time.monotonic()
    (window,) = run(lambda: world.ask((9.2, 9.5)))["windows"]
    assert time.monotonic() - begun < 5
    assert window["devices"][0]["energy_j"] is None
    assert window["devices"][0]["why"] == "too little of it was read: gap"


def test_what_was_before_the_agent_is_said_to_be_unknown(world: World) -> None:
    fed(world, (7, ((11,), ())), (9, ((11,), ())))
    early, across = run(lambda: world.ask((2, 3), (5, 8)))["windows"]
    assert early["devices"] == []
    assert early["why"].startswith("the agent has watched only since 5.0 s after the window began")
    assert across["devices"][0]["energy_j"] is None
    assert across["devices"][0]["why"] == "the agent has watched it only since 2.0 s after the window began"


def test_a_driver_that_does_not_tell_who_holds_a_gpu_is_named(new_device: Any) -> None:
    world = World(new_device(0))
    world.windows.add([(9 * S, 0, 0, Channel.COMPUTE_PROCESSES, Status.NOT_SUPPORTED, -1)])
    (window,) = run(lambda: world.ask((7.5, 8.5)))["windows"]
    assert window["why"].startswith("which processes hold gpu0 is not told here")


def test_an_agent_that_knows_no_gpu_says_so() -> None:
    (window,) = run(lambda: World().ask((7.5, 8.5)))["windows"]
    assert window == {"devices": [], "why": "this host has no GPU that the agent knows of"}


def test_meters_and_holders_outlive_a_new_hello(world: World, new_device: Any) -> None:
    fed(world, (7, ((11,), ())), (8, ((11,), ())))
    world.windows.bind([new_device(1), new_device(0)], simulated=False)
    world.feed(9, (), (11,))
    (window,) = run(lambda: world.ask((7.5, 8.5)))["windows"]
    assert [(device["uuid"], device["energy_j"]) for device in window["devices"]] == [("GPU-00aa", 100.0)]


def test_the_governor_feeds_whoever_taps_its_drain(new_host: Any) -> None:
    host = new_host()
    windows = Windows(FakeProcesses(), lambda: 100 * S, FakeMeter)
    host.governor._tap = windows
    run(lambda: host.turn(20, 250.0, 80.0))
    (window,) = run(lambda: windows.windows(1, 0, [(10 * S, 15 * S)], ["gpu1"]))["windows"]
    assert window["devices"][0]["energy_j"] == 505.0


@pytest.mark.parametrize("windows", [1, 256])
def test_a_long_request_lets_the_agent_take_its_turns(world: World, windows: int) -> None:
    fed(world, (7, ((11,), ())), (9, ((11,), ())))
    turns = 0

    def clock() -> int:  # each look at it is a millisecond later: so long does a window take
        world.now_ns += 1_000_000
        return world.now_ns

    world.windows._clock = clock

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def work() -> Any:
        counting = asyncio.ensure_future(count())
        answer = await world.ask(*[(7.5, 8.5)] * windows)
        counting.cancel()
        return answer

    assert len(run(work)["windows"]) == windows
    assert turns >= windows // 32
