"""Whether a host may sleep: only by positive evidence, all of it, for long enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.model import NEVER, DeviceState, HostState, Reading, Status
from eagent.policy.goals import Resting
from eagent.policy.sleep import Rest, busy_gpus, decide

SECOND_NS = 1_000_000_000
GOALS = Resting(600.0, 1.0, frozenset())
STALE = Reading(None, Status.STALE, "test")


def ok(value: float) -> Reading:
    return Reading(value, Status.OK, "test")


@pytest.fixture
def quiet(gpus: Any) -> HostState:
    """Two GPUs and a CPU that have nothing to do."""
    states = tuple(
        DeviceState(gpus.device(n), gpu_utilisation=ok(0), busy_share=ok(0), compute_processes=ok(0)) for n in range(2)
    )
    return HostState(states, busy_cpus=ok(0.2))


def after(state: HostState, *at_s: float, goals: Resting = GOALS) -> Rest:
    """What is decided at the last of these times, with the same state at all of them."""
    rest = None
    for each_s in at_s:
        rest = decide(state, goals, int(each_s * SECOND_NS), rest)
    assert rest is not None
    return rest


def test_a_host_may_sleep_after_it_has_had_nothing_to_do_for_long_enough(quiet: HostState) -> None:
    assert after(quiet, 100) == Rest(False, "it has had nothing to do for 0 s, and sleeps after 600 s", 100 * SECOND_NS)
    assert not after(quiet, 100, 699.9).wanted
    assert after(quiet, 100, 700) == Rest(True, "it has had nothing to do for 600 s", 100 * SECOND_NS)


def test_work_begins_the_wait_anew(quiet: HostState) -> None:
    busy = replace(quiet, busy_cpus=ok(1.1))
    rest = decide(busy, GOALS, 800 * SECOND_NS, after(quiet, 100, 700))
    assert rest == Rest(False, "1.1 CPUs are at work")
    assert decide(quiet, GOALS, 801 * SECOND_NS, rest).since_ns == 801 * SECOND_NS


@pytest.mark.parametrize("reading", [NEVER, STALE, Reading(0.0, Status.GPU_LOST), Reading(0.0, Status.STALE)])
@pytest.mark.parametrize("name", ["gpu_utilisation", "busy_share", "compute_processes"])
def test_a_gpu_that_can_not_be_read_keeps_the_host_awake(quiet: HostState, name: str, reading: Reading) -> None:
    first, second = quiet.devices
    state = replace(quiet, devices=(first, replace(second, **{name: reading})))
    assert after(state, 100, 5000) == Rest(False, "gpu1 is at work, or nobody can tell")
    assert busy_gpus(state, GOALS) == 1


@pytest.mark.parametrize("reading", [NEVER, STALE, Reading(0.0, Status.STALE)])
def test_cpus_that_can_not_be_read_keep_the_host_awake(quiet: HostState, reading: Reading) -> None:
    state = replace(quiet, busy_cpus=reading)
    assert after(state, 100, 5000) == Rest(False, "how busy the CPUs are can't be read")


def test_a_host_whose_gpus_are_not_seen_stays_awake(quiet: HostState) -> None:
    assert after(replace(quiet, devices=()), 100, 5000) == Rest(False, "no GPU is seen")


def test_a_process_that_waits_keeps_the_host_awake_without_consent(quiet: HostState) -> None:
    waiting = replace(quiet, devices=tuple(replace(each, compute_processes=ok(1)) for each in quiet.devices))
    assert not after(waiting, 100, 5000).wanted
    assert busy_gpus(waiting, GOALS) == 2
    consented = replace(GOALS, consent=frozenset({"GPU-00", "GPU-01"}))
    assert after(waiting, 100, 5000, goals=consented).wanted
    assert busy_gpus(waiting, consented) == 0
    assert not after(waiting, 100, 5000, goals=replace(GOALS, consent=frozenset({"GPU-00"}))).wanted


def test_as_many_busy_cpus_as_the_operator_allows_are_no_work(quiet: HostState) -> None:
    assert after(replace(quiet, busy_cpus=ok(1.0)), 100, 5000).wanted
