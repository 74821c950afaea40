from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.model import NEVER, DeviceState, HostState, Knob, KnobName, Priority, Reading, Status
from eagent.policy.goals import Goals, Idling
from eagent.policy.idle import decide

CLOCKS = (210, 900, 915, 930, 1410)
CONSENTED = Goals(idle=Idling(consent=frozenset({"GPU-00", "GPU-01"})))


def ok(value: float) -> Reading:
    return Reading(value, Status.OK, "test")


@pytest.fixture
def quiet(gpus: Any) -> Any:
    """Makes the state of a GPU that a quiet process holds, and whose clocks are up."""

    def make(n: int = 0, **changes: Any) -> DeviceState:
        device = replace(gpus.device(n), clock=Knob(True), clocks_mhz=CLOCKS)
        state = DeviceState(
            device,
            gpu_utilisation=ok(0),
            busy_share=ok(0),
            compute_processes=ok(1),
            sm_clock_mhz=ok(1410),
        )
        return replace(state, **changes)

    return make


def ceilings(*states: DeviceState, goals: Goals = CONSENTED, gang: bool = False) -> dict[str, float]:
    gangs = (frozenset(state.device.uuid for state in states),) if gang else ()
    return {each.uuid: each.high for each in decide(HostState(states, gangs=gangs), goals, 0)}


def test_a_quiet_process_whose_operator_consented_gets_a_low_ceiling(quiet: Any) -> None:
    (proposal,) = decide(HostState((quiet(),)), CONSENTED, 0)
    assert (proposal.knob, proposal.high, proposal.priority) == (KnobName.GPU_CLOCK, 915, Priority.IDLE)
    assert "the operator consents" in proposal.reason


def test_without_consent_a_process_that_waits_is_left_alone(quiet: Any) -> None:
    assert ceilings(quiet(), goals=Goals()) == {}


def test_without_a_process_no_consent_is_needed_if_the_clocks_are_up(quiet: Any) -> None:
    assert ceilings(quiet(compute_processes=ok(0)), goals=Goals()) == {"GPU-00": 915}
    assert ceilings(quiet(compute_processes=ok(0), sm_clock_mhz=ok(210)), goals=Goals()) == {}


def test_what_we_hold_down_stays_down_while_it_is_idle(quiet: Any) -> None:
    assert ceilings(quiet(sm_clock_mhz=ok(915), clock_held=True)) == {"GPU-00": 915}
    assert ceilings(quiet(sm_clock_mhz=ok(915))) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_utilisation": ok(0.01)},
        {"busy_share": ok(0.2)},
        {"gpu_utilisation": NEVER},
        {"busy_share": Reading(None, Status.STALE)},
        {"compute_processes": Reading(None, Status.NOT_SUPPORTED)},
        {"compute_processes": NEVER},
    ],
)
def test_work_or_a_missing_reading_is_never_idle(quiet: Any, change: dict[str, Reading]) -> None:
    assert ceilings(quiet(clock_held=True, **change)) == {}


def test_a_gang_is_idle_only_together(quiet: Any) -> None:
    assert ceilings(quiet(0), quiet(1), gang=True) == {"GPU-00": 915, "GPU-01": 915}
    assert ceilings(quiet(0), quiet(1, gpu_utilisation=ok(1)), gang=True) == {}
    assert ceilings(quiet(0), quiet(1, gpu_utilisation=ok(1))) == {"GPU-00": 915}


def test_a_gpu_whose_clocks_cannot_be_locked_is_left_alone(quiet: Any) -> None:
    state = quiet()
    assert ceilings(replace(state, device=replace(state.device, clock=Knob(False, "no")))) == {}
