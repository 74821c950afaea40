"""CPU packages as the API tells of them, over a governor that a test steps."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from eagent.agent.agent import Agent
from eagent.errors import InputError
from eagent.model import Budget, Knob, KnobName, Priority, Proposal, Reading, Status
from eagent.policy import efficiency

SECOND_NS = 1_000_000_000
FIRST, PACKAGE = "GPU-00aa", "CPU-0"


class Asks:
    """In the place of all policies."""

    def __init__(self, *proposals: Proposal) -> None:
        self._proposals = list(proposals)

    def propose(self, *_: Any) -> list[Proposal]:
        return self._proposals

    def forget(self) -> None:
        pass

    def memory(self, _: str) -> Any:
        return efficiency.Memory()


def agent_of(host: Any) -> Agent:
    return Agent(host.governor, host.config, lambda: 2 * SECOND_NS, lambda: datetime(2026, 7, 22, tzinfo=UTC), "c01")


@pytest.fixture
def slowed(new_host: Any, new_device: Any, new_package: Any) -> Any:
    """A GPU and a package that a policy holds at 1.8 GHz, governed for a turn."""
    host = new_host(new_device(0), new_package(0), mode_cpu="act")
    reason = "the GPUs do not wait for it"
    host.governor._policies = Asks(Proposal("cpu", Priority.EFFICIENCY, PACKAGE, KnobName.CPU_CLOCK, 1850, reason))
    host.busy_cpus = Reading(3.25, Status.OK, "kernel cpu times", 1.0)
    host.frequencies = {PACKAGE: Reading(1795.5, Status.OK, "kernel cpufreq", age_s=0.25)}
    asyncio.run(host.turn(2, 200, 85))
    return host


def test_a_status_tells_of_packages_what_they_have(slowed: Any) -> None:
    status = agent_of(slowed).status()
    assert json.loads(json.dumps(status, allow_nan=False)) == status
    assert (status["busy_cpus"]["value"], status["busy_cpus"]["unit"]) == (3.25, "CPUs")
    gpu, package = status["devices"]
    assert (gpu["kind"], "gpu_clock" in gpu, "cpu_clock" in gpu) == ("gpu", True, False)
    assert (package["device"], package["kind"], package["uuid"], package["cpus"]) == ("cpu0", "cpu", PACKAGE, 32)
    assert list(package["readings"]) == ["power", "power_mean", "power_recent", "energy", "frequency"]
    assert package["readings"]["power"] == {
        "value": pytest.approx(85),
        "unit": "W",
        "status": "ok",
        "sensor": "rapl",
        "window_s": 0.1,
        "age_s": 0.0,
    }
    assert package["readings"]["frequency"] == {
        "value": 1795.5,
        "unit": "MHz",
        "status": "ok",
        "sensor": "kernel cpufreq",
        "window_s": 0.0,
        "age_s": 0.25,
    }
    assert package["cpu_clock"] == {
        "held_mhz": 1800,
        "ours_mhz": 1800,
        "baseline_mhz": 3400,
        "min_mhz": 800,
        "max_mhz": 3400,
        "state": "leased",
        "writable": True,
        "why": "",
        "foreign": None,
    }
    assert package["cpu_preference"] == {
        "held": "balance_power",
        "ours": "balance_power",
        "baseline": "balance_performance",
        "takes": ["performance", "balance_performance", "balance_power", "power"],
        "state": "leased",
        "writable": True,
        "why": "",
        "foreign": None,
    }
    assert (package["power_limit"]["state"], package["power_limit"]["max_w"]) == ("baseline", 250)


def test_a_package_whose_kernel_tells_no_frequency_has_none(slowed: Any) -> None:
    slowed.frequencies = {}
    frequency = agent_of(slowed).status()["devices"][1]["readings"]["frequency"]
    assert (frequency["value"], frequency["status"]) == (None, "missing")


def test_what_a_lost_warden_said_of_a_package_is_not_told_as_now(slowed: Any) -> None:
    slowed.warden.close()
    _, package = agent_of(slowed).status()["devices"]
    assert (package["cpu_clock"]["held_mhz"], package["cpu_clock"]["state"]) == (None, "unknown")
    assert (package["cpu_preference"]["held"], package["cpu_preference"]["state"]) == (None, "unknown")


def test_all_three_knobs_of_a_package_are_explained(slowed: Any) -> None:
    explained = agent_of(slowed).explain("cpu0")
    limit, clock, preference = explained["knobs"]
    assert (limit["knob"], limit["value"], limit["winner"]) == ("power_limit", 400.0, None)
    assert (clock["knob"], clock["unit"], clock["value"], clock["decided"]) == ("cpu_clock", "MHz", 1800, 1850)
    assert (clock["winner"]["policy"], clock["baseline"]) == ("cpu", 3400)
    assert (preference["knob"], preference["unit"]) == ("cpu_preference", "")
    assert (preference["value"], preference["decided"]) == ("balance_power", "balance_power")
    assert preference["baseline"] == "balance_performance"
    assert preference["winner"] == {
        "policy": "cpu",
        "priority": "efficiency",
        "low": None,
        "high": "balance_power",
        "reason": "its clock ceiling is so low that eagerness buys nothing: the GPUs do not wait for it",
        "until_s": None,
    }
    assert json.dumps(explained, allow_nan=False)


def test_the_plan_of_a_package_tells_the_preference_that_goes_with_its_ceiling(slowed: Any) -> None:
    (made,) = agent_of(slowed).plan()["proposals"]
    assert (made["device"], made["knob"], made["unit"], made["high"]) == ("cpu0", "cpu_clock", "MHz", 1850)
    assert (made["ceiling_mhz"], made["preference"]) == (1800, "balance_power")
    assert (made["acts"], made["draws_w"]) == (True, pytest.approx(85))


def test_the_plan_tells_when_a_wish_for_a_clock_is_one_for_no_ceiling(new_host: Any, new_package: Any) -> None:
    host = new_host(new_package(0))
    reason = "no process is on a GPU"
    host.governor._policies = Asks(Proposal("cpu", Priority.EFFICIENCY, PACKAGE, KnobName.CPU_CLOCK, 3400, reason))
    asyncio.run(host.turn(2))
    (made,) = agent_of(host).plan()["proposals"]
    assert (made["high"], made["ceiling_mhz"], made["preference"]) == (3400, None, None)


def test_a_package_whose_limit_cannot_be_set_is_said_to_be_a_part_of_the_fixed_draw(
    new_host: Any, new_device: Any, new_package: Any
) -> None:
    why = "RAPL has no limit here"
    host = new_host(new_device(0), new_package(0, power_limit=Knob(False, why)))
    host.warden.budget = Budget(1400, 400, {FIRST: 150})
    asyncio.run(host.turn(2))
    status = agent_of(host).status()
    assert status["devices"][1]["power_limit"]["why"] == f"{why}; its draw is a part of fixed_w"
    assert status["budget"]["limits_w"] == 400, "of the GPU alone"
    note = agent_of(host).explain("cpu0")["knobs"][0]["note"]
    assert note == f"the power limit can't be set here: {why}; its draw is a part of fixed_w"
    host.warden.budget = Budget(1400, 400, {FIRST: 150, PACKAGE: 250})
    asyncio.run(host.turn(4))
    status = agent_of(host).status()
    assert status["devices"][1]["power_limit"]["why"] == f"{why}; the budget counts it at 250 W"
    assert status["budget"]["limits_w"] == 650


def test_a_package_without_a_known_limit_has_none_and_not_zero(new_host: Any, new_package: Any) -> None:
    unknown = Knob(False, "RAPL has no limit here")
    host = new_host(new_package(0, min_limit_w=0, max_limit_w=0, default_limit_w=0, power_limit=unknown))
    asyncio.run(host.turn(2))
    limit = agent_of(host).status()["devices"][0]["power_limit"]
    assert (limit["min_w"], limit["max_w"], limit["requested_w"]) == (None, None, None)


@pytest.mark.parametrize(("configured_w", "safe_cap_w"), [(None, 250), (150.0, 150)])
def test_a_package_falls_to_its_configured_safe_cap_or_keeps_what_it_had(
    new_host: Any, new_device: Any, new_package: Any, configured_w: float | None, safe_cap_w: float
) -> None:
    host = new_host(new_device(0), new_package(0), fixed_w=100.0, cpu_safe_cap_w=configured_w)
    asyncio.run(host.turn(2))
    asyncio.run(agent_of(host).set_budget(1000, None, 180))
    assert host.warden.budget == Budget(1000, 100, {FIRST: 180, PACKAGE: safe_cap_w}), "the request's is the GPUs'"


def test_a_pin_on_a_package_is_held_in_whole_watts(new_host: Any, new_device: Any, new_package: Any) -> None:
    host = new_host(new_device(0), new_package(0))
    agent = agent_of(host)
    asyncio.run(host.turn(2))
    with pytest.raises(InputError, match="cpu0 takes limits from 125 to 250 W"):
        agent.set_pin("cpu0", 300, None)
    agent.set_pin("cpu0", 180.5, None)
    asyncio.run(host.turn(3))
    assert host.warden.leases[-1] == {PACKAGE: 180_000}


def test_restoring_tells_where_a_packages_knobs_go_back_to(slowed: Any) -> None:
    told = asyncio.run(agent_of(slowed).restore())
    assert told["devices"][1] == {
        "device": "cpu0",
        "uuid": PACKAGE,
        "baseline_w": 250.0,
        "baseline_mhz": 3400,
        "baseline_preference": "balance_performance",
    }
